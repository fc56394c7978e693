"""Waves to log-mel features: the one path of training, embedding and prediction."""

import warnings
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..config import FEATURE_FIELDS, Config, InputError
from .audio import load_audio, native_rate

AT_ONCE = 128  # frames whose spectra are computed at once: they stay in the processor's cache
FULL_SCALE = 32768.0  # the published features are made of 16-bit sample values


@lru_cache(maxsize=16)
def mel_filters(sample_rate: int, n_fft: int, n_mels: int) -> np.ndarray:
    """Triangular mel filters, from 0 Hz to half the sample rate, of height one.

    Returns
    -------
    np.ndarray
        ``(n_fft // 2 + 1, n_mels)``, float32.
    """
    filters = _librosa().filters.mel(sr=sample_rate, n_fft=n_fft, n_mels=n_mels, norm=None)
    return np.ascontiguousarray(filters.T, dtype=np.float32)


@lru_cache(maxsize=16)
def mel_centres(sample_rate: int, n_mels: int) -> np.ndarray:
    """Centre frequencies of the mel bands, Hz, ``(n_mels,)``."""
    return _librosa().mel_frequencies(n_mels + 2, fmin=0, fmax=sample_rate / 2)[1:-1]


def _librosa():
    with warnings.catch_warnings(action="ignore"):
        import librosa
        import pooch  # noqa: F401  librosa's; in a notebook its tqdm warns that ipywidgets are missing
    return librosa


@lru_cache(maxsize=16)
def _window(window_seconds: int, n_fft: int) -> np.ndarray:
    """A periodic Hamming window in the middle of n_fft points."""
    from scipy.signal.windows import hamming

    left = (n_fft - window_seconds) // 2
    return np.pad(hamming(window_seconds, sym=False), (left, n_fft - window_seconds - left))


def log_mel(
    wave: np.ndarray,
    sample_rate: int,
    n_fft: int = 512,
    *,
    n_mels: int = 80,
    window_seconds: float = 0.025,
    hop_seconds: float = 0.010,
    preemphasis: float = 0.97,
) -> np.ndarray:
    """Log-mel spectrogram as the published extractor computes it, before normalisation.

    The wave is scaled to 16-bit values and pre-emphasised; the magnitudes (not powers) of an STFT
    without centring are summed in mel bands; the result is ``log(max(1, mel))``.

    Parameters
    ----------
    wave : np.ndarray
        ``(samples,)`` in [-1, 1].
    sample_rate : int
        Hz.
    n_fft : int
        Points of the FFT (512 in the paper's code, 2048 in the accent fork).
    n_mels : int
        Mel bands from 0 Hz to half the sample rate.
    window_seconds, hop_seconds : float
        Hamming window and step, s.
    preemphasis : float
        ``y[n] = x[n] - preemphasis * x[n-1]``, and ``y[0] = (1 - preemphasis) * x[0]``.

    Returns
    -------
    np.ndarray
        ``(frames, n_mels)``, float32.

    Raises InputError if the wave is shorter than n_fft samples.
    """
    import scipy.fft

    win_samples, hop = round(window_seconds * sample_rate), round(hop_seconds * sample_rate)
    if hop < 1 or win_samples < 1:
        raise InputError(f"window and step must have samples, not {win_samples} and {hop}")
    if win_samples > n_fft:
        raise InputError(
            f"at {sample_rate} Hz a window of {window_seconds:g} s has {win_samples} samples, more than n_fft {n_fft}:"
            f" resample it (sample_rate 16000, or the rate of the other files), or use n_fft {2 ** (win_samples - 1).bit_length()}"
        )
    if len(wave) < n_fft:
        needed = n_fft / sample_rate
        raise InputError(f"too short: {len(wave) / sample_rate:.3f} s, at least {needed:.3f} s are needed")
    # In float32 the FFT's rounding reaches 3e-4 in the quiet bands of real speech.
    emphasised = np.multiply(wave, FULL_SCALE, dtype=np.float64)
    emphasised[1:] -= preemphasis * emphasised[:-1]
    emphasised[0] *= 1 - preemphasis

    window = _window(win_samples, n_fft)
    frames = np.lib.stride_tricks.sliding_window_view(emphasised, n_fft)[::hop]  # (frames, n_fft)
    mel = np.empty((len(frames), n_mels), np.float32)
    filters = mel_filters(sample_rate, n_fft, n_mels)
    for start in range(0, len(frames), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        spectrum = scipy.fft.rfft(frames[part] * window)  # (frames, n_fft // 2 + 1)
        np.matmul(np.abs(spectrum.astype(np.complex64)), filters, out=mel[part])
    return np.log(np.maximum(mel, 1, out=mel), out=mel)


def moments(log_mels: np.ndarray, normalization: str = "cmn") -> tuple[np.ndarray, np.ndarray | float]:
    """What the normalisation of an utterance takes off each mel band, and what it divides it by.

    Parameters
    ----------
    log_mels : np.ndarray
        ``(frames, mels)``.
    normalization : {"cmn", "cmvn"}
        The band's mean; with cmvn also its deviation, where that is over 0.01.

    Returns
    -------
    mean : np.ndarray
        ``(mels,)``.
    scale : np.ndarray or float
        ``(mels,)``, or 1.
    """
    mean = log_mels.mean(axis=0, dtype=np.float32)
    if normalization == "cmn":
        return mean, 1.0
    deviation = (log_mels - mean).std(axis=0, dtype=np.float32)
    return mean, np.where(deviation > 0.01, deviation, 1)


def normalise(log_mels: np.ndarray, normalization: str = "cmn") -> np.ndarray:
    """Per-utterance normalisation of each mel band, by its :func:`moments`: ``(frames, mels)``, float32."""
    mean, scale = moments(log_mels, normalization)
    return (log_mels - mean) / scale


def mfccs(log_mels: np.ndarray, count: int) -> np.ndarray:
    """The first MFCCs of mean-normalised log-mels, ``(frames, count)``."""
    import scipy.fft

    return scipy.fft.dct(normalise(log_mels), axis=1, norm="ortho")[:, :count]


def speech(wave: np.ndarray, sample_rate: int, decibels: float) -> np.ndarray:
    """Where there is speech: voice activity by energy, as librosa.effects.split finds it, and 0.1 s around it.

    Parameters
    ----------
    wave : np.ndarray
        ``(samples,)``.
    sample_rate : int
        Hz.
    decibels : float
        A pause is what lies so many dB below the loudest 40 ms.

    Returns
    -------
    np.ndarray
        ``(samples,)``, bool.
    """
    frame, hop, around = (round(seconds * sample_rate) for seconds in (0.04, 0.01, 0.1))
    parts = _librosa().effects.split(wave, top_db=decibels, frame_length=frame, hop_length=hop)
    spoken = np.zeros(len(wave), bool)
    for start, stop in parts:
        spoken[max(0, start - around) : stop + around] = True
    return spoken


def cut_pauses(wave: np.ndarray, sample_rate: int, decibels: float) -> np.ndarray:
    """Shorten the pauses of a wave ``(samples,)`` to 0.2 s, at the ends to 0.1 s (see :func:`speech`)."""
    return wave[speech(wave, sample_rate, decibels)]


def at_rate(config: Config, rate: int) -> Config:
    """The configuration for audio of ``rate`` Hz: where ``sample_rate`` is 0, it becomes that."""
    return config if config.sample_rate else config.replace(sample_rate=rate)


def wave_log_mel(wave: np.ndarray, config: Config) -> np.ndarray:
    """:func:`log_mel` of a mono wave at ``config.sample_rate``, with the configuration's numbers."""
    if config.trim_silence:
        wave = cut_pauses(wave, config.sample_rate, config.trim_silence)
    return log_mel(
        wave,
        config.sample_rate,
        config.n_fft,
        n_mels=config.n_mels,
        window_seconds=config.window_seconds,
        hop_seconds=config.hop_seconds,
        preemphasis=config.preemphasis,
    )


def file_log_mel(path: str | Path, config: Config) -> np.ndarray:
    """Log-mels of one file, before normalisation: computed from audio, or read from a ``.pickle``.

    Returns
    -------
    np.ndarray
        ``(frames, n_mels)``, float32.

    Raises InputError if the file cannot be used, or was made with other numbers than the configuration's;
    one line that names it.
    """
    if str(path).endswith(".pickle"):
        from ..published.pickles import read_made_with  # only for a published feature file

        return read_made_with(path, config)
    if not config.sample_rate:
        config = at_rate(config, native_rate(path))
    wave = load_audio(path, config.sample_rate)
    try:
        return wave_log_mel(wave, config)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def made_with(config: Config) -> dict[str, int | float]:
    """The numbers of a configuration that features depend on."""
    return {name: getattr(config, name) for name in FEATURE_FIELDS}
