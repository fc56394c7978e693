"""Audio files to mono waves at one sample rate."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile as sf

from .config import InputError
from .files import is_file

AUDIO_SUFFIXES = (
    ".wav", ".flac", ".ogg", ".opus", ".mp3", ".oga", ".aif", ".aiff", ".aifc", ".au", ".caf", ".w64", ".sph",
)  # fmt: skip
SILENCE = 1e-4  # a wave that swings by less than this (-80 dBFS) to either side is taken as silent
SILENT = f"silent (it swings by less than {SILENCE})"
BLOCK = 1 << 20  # samples that are decoded at once
RATES = (4_000, 1_000_000)  # Hz; resampling from what a damaged header says would fill the memory


def load_audio(path: str | Path, sample_rate: int) -> np.ndarray:
    """Read any file that soundfile reads, as mono at the wanted rate.

    Parameters
    ----------
    path : str or Path
        Audio of any rate, channel count and sample format.
    sample_rate : int
        Hz to which the wave is resampled (soxr, high quality) where the file has another rate; 0 keeps
        the file's own.

    Returns
    -------
    np.ndarray
        ``(samples,)``, float32 in [-1, 1].

    Raises InputError if the file is missing, empty, not audio, truncated or silent; one line that names
    it.
    """
    rates, blocks = zip(*((rate, _mean_channel(block)) for rate, block in audio_blocks(path)), strict=True)
    return to_mono(np.concatenate(blocks), rates[0], sample_rate, name=str(path))


def audio_blocks(path: str | Path) -> Iterator[tuple[int, np.ndarray]]:
    """Read a file piece by piece, as it is: an hour in stereo would not fit into a small memory.

    Yields
    ------
    rate : int
        Hz.
    block : np.ndarray
        ``(samples, channels)``, float32 in [-1, 1], a million samples at most.

    Raises InputError if the file is missing, empty, not audio or truncated (after its last block); one
    line that names it.
    """
    path = Path(path)
    if not is_file(path):
        raise InputError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise InputError(f"{path}: empty file")
    samples = 0
    try:
        with sf.SoundFile(path) as file:
            if not RATES[0] <= file.samplerate <= RATES[1]:
                raise InputError(
                    f"{path}: its header says {file.samplerate} samples a second, which is not speech"
                )
            # no larger than what is left, for memory that is not used costs time too; a header may promise too little
            while len(block := file.read(_left(file, samples), dtype="float32", always_2d=True)):
                if not np.isfinite(block).all():
                    raise InputError(f"{path}: contains samples that are not numbers (NaN or infinite)")
                samples += len(block)
                yield file.samplerate, block
            truncated = samples < file.frames or _is_cut_short(path, file)
    except (sf.LibsndfileError, RuntimeError, OSError) as error:
        reason = str(error).rsplit(": ", 1)[-1].rstrip(".")
        if "does not exist" in reason:  # libsndfile's word for an MP3 without a frame
            reason = "Format not recognised"
        raise InputError(f"{path}: not readable as audio, or damaged ({reason})") from None
    if truncated:
        raise InputError(f"{path}: truncated (the end of the file is missing)")
    if not samples:
        raise InputError(f"{path}: no samples in it")


def _left(file: sf.SoundFile, samples: int) -> int:
    """How many samples to read next, after so many."""
    return min(BLOCK, max(1024, file.frames - samples))


def _mean_channel(wave: np.ndarray) -> np.ndarray:
    """``(samples, channels)`` to ``(samples,)``."""
    return wave[:, 0] if wave.shape[1] == 1 else wave.mean(axis=1)


def native_rate(path: str | Path) -> int:
    """The rate of an audio file, Hz.

    Raises InputError if it is missing or not audio.
    """
    if not is_file(path):
        raise InputError(f"{path}: no such file")
    try:
        return sf.info(path).samplerate
    except (sf.LibsndfileError, RuntimeError, TypeError):
        raise InputError(f"{path}: not readable as audio") from None


def to_mono(wave: np.ndarray, rate: int, sample_rate: int, *, name: str = "wave") -> np.ndarray:
    """Average the channels and resample.

    Parameters
    ----------
    wave : np.ndarray
        ``(samples,)`` or ``(samples, channels)``, float in [-1, 1].
    rate, sample_rate : int
        Hz of the wave, and wanted (0: as it is).
    name : str
        What an error message calls the wave.

    Returns
    -------
    np.ndarray
        ``(samples,)``, float32.

    Raises InputError if the wave is silent.
    """
    wave = np.asarray(wave, dtype=np.float32)
    if wave.ndim == 2:
        wave = _mean_channel(wave)
    if not len(wave) or np.ptp(wave) < 2 * SILENCE:  # a constant is silence too
        raise InputError(f"{name}: {SILENT}")
    if sample_rate not in (0, rate):
        import soxr

        wave = soxr.resample(wave, rate, sample_rate)
    return wave


def _is_cut_short(path: Path, sound: sf.SoundFile) -> bool:
    """Whether a header promises more than the file holds; libsndfile reads on without an error."""
    if sound.format == "OGG":  # whatever the name says; its last page must say that it is the last
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 65_536))  # a page is at most this long
            tail = file.read()
        page = tail.rfind(b"OggS")
        return page < 0 or not tail[page + 5] & 0x04
    # libsndfile writes what it found beside what the chunk header says
    data_lines = [line for line in sound.extra_info.splitlines() if line.strip().startswith("data ")]
    return any("should be" in line and "0xFFFFFFFF" not in line for line in data_lines)
