"""Audio files, and waves in memory, to mono waves at one sample rate."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from ..config import InputError
from ..files import file_and_segment, is_file

AUDIO_SUFFIXES = tuple(".wav .flac .ogg .opus .mp3 .oga .aif .aiff .aifc .au .caf .w64 .sph".split())
SILENCE = 1e-4  # amplitude below which a wave counts as silent (-80 dBFS)
SILENT = f"silent (amplitude below {SILENCE})"
BLOCK = 1 << 20  # samples decoded at once
LOUDEST = 8.0  # largest sample of a float array; larger ones are integers that were not scaled
MOST_CHANNELS = 32  # of an array
SCALES = {"int16": (2**15, 0), "int32": (2**31, 0), "uint8": (128, 128)}  # full scale, and the value of zero
RATES = (4_000, 1_000_000)  # Hz; resampling from the rate of a damaged header could fill the memory
NOT_FINITE = "contains samples that are not numbers (NaN or infinite)"


def load_audio(path: str | Path, sample_rate: int) -> np.ndarray:
    """Read any file that soundfile reads, as a mono wave ``(samples,)``, float32 in [-1, 1]. Of the path
    "interview.wav#t=12.5,14" only the segment from 12.5 to 14 s is decoded.

    It is resampled (soxr) to ``sample_rate`` Hz (0: not). Raises InputError if not audio, cut or silent."""
    return to_mono(*read_audio(path), sample_rate, name=str(path))


def read_audio(path: str | Path | BytesIO) -> tuple[np.ndarray, int]:
    """Mean of a file's channels, ``(samples,)``, and its rate in Hz; raises as :func:`audio_blocks`."""
    blocks = []
    for rate, block in audio_blocks(path):  # noqa: B007  all blocks have the same rate
        blocks.append(block[:, 0] if block.shape[1] == 1 else block.mean(axis=1))  # (samples,)
    return np.concatenate(blocks), rate


def audio_blocks(path: str | Path | BytesIO) -> Iterator[tuple[int, np.ndarray]]:
    """Yield a file's rate (Hz) and next block ``(at most BLOCK samples, channels)``, float32 in [-1, 1].
    InputError if the file is missing, empty, not audio or (after its last block) truncated."""
    prefix, segment = "" if isinstance(path, BytesIO) else f"{path}: ", None
    if not isinstance(path, BytesIO):
        path, segment = file_and_segment(path)
        if not is_file(path):
            raise InputError(f"{prefix}no such file")
    if (path.getbuffer().nbytes if isinstance(path, BytesIO) else Path(path).stat().st_size) == 0:
        raise InputError(f"{prefix}empty file")
    samples = 0
    try:
        with sf.SoundFile(path) as file:
            if not RATES[0] <= (rate := file.samplerate) <= RATES[1]:
                raise InputError(f"{prefix}its header says {rate} samples a second, which is not speech")
            wanted = _seek(file, segment, prefix) if segment else file.frames
            # Unused memory costs time, so ask for what is left; a header may promise too little.
            least = 0 if segment else 1024
            while len(block := file.read(min(BLOCK, max(least, wanted - samples)), "float32", True)):
                if not np.isfinite(block).all():
                    raise InputError(prefix + NOT_FINITE)
                samples += len(block)
                yield rate, block
            if samples < wanted or (not segment and _is_cut_short(path, file)):
                raise InputError(f"{prefix}truncated (the end of the file is missing)")
    except (sf.LibsndfileError, RuntimeError, OSError) as error:
        reason = str(error).rsplit(": ", 1)[-1].rstrip(".")
        if "does not exist" in reason:  # libsndfile's message for an MP3 without a frame
            reason = "Format not recognised"
        raise InputError(f"{prefix}not readable as audio, or damaged ({reason})") from None
    if not samples:
        raise InputError(f"{prefix}no samples in it")


def _seek(file: sf.SoundFile, segment: tuple[float, float], prefix: str) -> int:
    """Go to a segment's first sample; the number of its samples."""
    start, stop = (round(seconds * file.samplerate) for seconds in segment)
    if start >= stop:
        raise InputError(f"{prefix}its segment ends before it starts")
    if stop > file.frames:
        length = f"{file.frames / file.samplerate:.3f} s"
        raise InputError(f"{prefix}its segment ends after the recording, which has {length}")
    file.seek(start)
    return stop - start


def _is_cut_short(path: str | Path | BytesIO, audio: sf.SoundFile) -> bool:
    """Whether a header promises more than the file holds, which libsndfile does not report as an error."""
    if audio.format == "OGG":  # whatever its name; the last page must have the end-of-stream flag
        with BytesIO(path.getvalue()) if isinstance(path, BytesIO) else Path(path).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 65_536))  # a page has at most 64 kB
            page = (tail := file.read()).rfind(b"OggS", 0, -5)
        return page < 0 or not tail[page + 5] & 0x04
    # libsndfile's log has the true size beside the one in the chunk's header
    data_lines = [line for line in audio.extra_info.splitlines() if line.strip().startswith("data ")]
    return any("should be" in line and "0xFFFFFFFF" not in line for line in data_lines)


def as_wave(wave: Any, rate: Any) -> tuple[np.ndarray, int]:
    """Check a wave in memory (its channels may come first) and its rate (Hz), or raise InputError.
    Returns ``(samples[, channels])``, float32 in [-1, 1], and the rate."""
    if np.ndim(rate) or isinstance(rate, (str, bytes)) or rate is None:
        raise InputError(f"the sample rate is a {type(rate).__name__}; pass (wave, sample rate)")
    if not RATES[0] <= rate <= RATES[1]:
        raise InputError(f"a sample rate of {rate} Hz is outside the range {RATES[0]} to {RATES[1]} Hz")
    if hasattr(wave, "detach"):  # a tensor, perhaps on a GPU, perhaps of bfloat16
        wave = wave.detach().cpu().float() if wave.is_floating_point() else wave.cpu()
    wave = np.asarray(wave)
    if wave.dtype.name in SCALES:
        scale, zero = SCALES[wave.dtype.name]
        wave = (wave.astype(np.float32) - zero) / scale
    elif wave.dtype.kind != "f":
        raise InputError(f"samples of type {wave.dtype}; use floats in [-1, 1], int16, int32 or uint8")
    channels, samples = min(wave.shape, default=0), max(wave.shape, default=0)
    if wave.ndim not in (1, 2) or (wave.ndim == 2 and channels > min(MOST_CHANNELS, samples - 1)):
        raise InputError(f"an array of shape {wave.shape} is neither (samples,) nor (samples, channels)")
    if wave.ndim == 2 and wave.shape[0] == channels:
        wave = wave.T  # (samples, channels)
    if not np.isfinite(wave).all():
        raise InputError(NOT_FINITE)
    if (peak := np.abs(wave).max(initial=0)) > LOUDEST:
        raise InputError(f"samples reach {peak:g}; scale them to [-1, 1] (16 bits: divide by 32768)")
    return wave.astype(np.float32), int(rate)


def native_rate(path: str | Path) -> int:
    """The sample rate of an audio file, Hz. Raises InputError if it is missing or not audio."""
    if not is_file(file := file_and_segment(path)[0]):
        raise InputError(f"{path}: no such file")
    try:
        return sf.info(file).samplerate
    except (sf.LibsndfileError, RuntimeError, TypeError):
        raise InputError(f"{path}: not readable as audio") from None


def to_mono(wave: np.ndarray, rate: int, sample_rate: int, *, name: str = "") -> np.ndarray:
    """Average the channels ``(samples[, channels])`` and resample (Hz; 0: not); InputError if silent."""
    wave = np.asarray(wave, dtype=np.float32)
    if wave.ndim == 2:
        wave = wave.mean(axis=1)
    if not len(wave) or np.ptp(wave) < 2 * SILENCE:  # a constant is silence too
        raise InputError((f"{name}: " if name else "") + (SILENT if len(wave) else "no samples in it"))
    if sample_rate not in (0, rate):
        import soxr

        wave = soxr.resample(wave, rate, sample_rate)
    return wave
