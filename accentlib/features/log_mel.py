"""Waves to log-mels, computed in the same way for training, embedding and prediction."""

import math
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..config import FEATURE_FIELDS, Config, InputError
from .audio import read_audio, to_mono

AT_ONCE = 128  # frames transformed at once: they stay in the processor's cache
FULL_SCALE = 32768.0  # the published features are computed from 16-bit sample values


@lru_cache(maxsize=16)
def mel_edges(sample_rate: int, n_mels: int) -> np.ndarray:
    """Edges of the mel bands, Hz, ``(n_mels + 2,)``; band i is centred at edge i + 1, and ends at i + 2.
    They are evenly spaced on Slaney's mel scale, as librosa's: linear to 1000 Hz, then logarithmic."""
    top = sample_rate / 2
    mel = np.linspace(0, 15 + 27 * math.log(top / 1000, 6.4) if top > 1000 else 15 * top / 1000, n_mels + 2)
    return np.where(mel < 15, mel * 1000 / 15, 1000 * 6.4 ** ((mel - 15) / 27))


@lru_cache(maxsize=16)
def mel_filters(sample_rate: int, n_fft: int, n_mels: int) -> np.ndarray:
    """Triangular mel filters of height one, ``(n_fft // 2 + 1, n_mels)``, float32, up to half the rate."""
    edges, bins = mel_edges(sample_rate, n_mels), np.fft.rfftfreq(n_fft, 1 / sample_rate)[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]  # (bins, n_mels)
    falling = (edges[2:] - bins) / np.diff(edges)[1:]  # (bins, n_mels)
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)


def log_mel(wave: np.ndarray, sample_rate: int, n_fft: int = 512, *, n_mels: int = 80,
            window_seconds: float = 0.025, hop_seconds: float = 0.010,
            preemphasis: float = 0.97) -> np.ndarray:  # fmt: skip
    """Log-mel spectrogram ``(frames, n_mels)``, float32, as the published extractor computes it.

    The wave is scaled to 16-bit values and pre-emphasised: ``y[n] = x[n] - preemphasis * x[n-1]``, and
    ``y[0] = (1 - preemphasis) * x[0]``. The magnitudes (not powers) of an STFT without centring, with Hamming
    windows, are summed in mel bands from 0 Hz to half the rate; the result is ``log(max(1, mel))``.
    Raises InputError if the wave is shorter than n_fft samples, or the window longer.

    Parameters
    ----------
    wave : np.ndarray
        ``(samples,)`` in [-1, 1], at ``sample_rate`` Hz.
    n_fft : int
        FFT size, samples (512 in the paper's code, 2048 in the accent fork)."""
    length, hop = round(window_seconds * sample_rate), round(hop_seconds * sample_rate)
    if hop < 1 or length < 1:
        raise InputError(f"window and step must have at least one sample, not {length} and {hop}")
    if length > n_fft:
        raise InputError(
            f"at {sample_rate} Hz a window of {window_seconds:g} s has {length} samples, n_fft is {n_fft}:"
            f" use sample_rate 16000 (or that of the other files), or n_fft {2 ** (length - 1).bit_length()}"
        )
    if len(wave) < n_fft:
        seconds, least = len(wave) / sample_rate, n_fft / sample_rate
        raise InputError(f"too short: {seconds:.3f} s, at least {least:.3f} s are needed")
    # In float32 the FFT's rounding error reaches 3e-4 in the quiet bands of real speech.
    scaled = np.multiply(wave, FULL_SCALE, dtype=np.result_type(wave, np.float32))  # exact: a power of two
    emphasised = np.empty(len(wave))
    np.multiply(scaled[:-1], -preemphasis, out=emphasised[1:], dtype=np.float64)
    emphasised[1:] += scaled[1:]
    emphasised[0] = (1 - preemphasis) * float(scaled[0])
    window, left = np.zeros(n_fft), (n_fft - length) // 2
    window[left : left + length] = np.hamming(length + 1)[:-1]
    frames = np.lib.stride_tricks.sliding_window_view(emphasised, n_fft)[::hop]  # (frames, n_fft)
    filters, mel = mel_filters(sample_rate, n_fft, n_mels), np.empty((len(frames), n_mels), np.float32)
    for start in range(0, len(frames), AT_ONCE):
        part = slice(start, start + AT_ONCE)
        spectrum = np.fft.rfft(frames[part] * window)  # (frames, n_fft // 2 + 1)
        np.matmul(np.abs(spectrum.astype(np.complex64)), filters, out=mel[part])
    return np.log(np.maximum(mel, 1, out=mel), out=mel)


def moments(log_mels: np.ndarray, normalization: str = "cmn") -> tuple[np.ndarray, np.ndarray | float]:
    """Per-band mean and scale ``(mels,)``; the scale is 1 for cmn, the standard deviation for cmvn."""
    mean = log_mels.mean(axis=0, dtype=np.float32)
    if normalization == "cmn":
        return mean, 1.0
    deviation = (log_mels - mean).std(axis=0, dtype=np.float32)
    return mean, np.where(deviation > 0.01, deviation, 1)


def normalise(log_mels: np.ndarray, normalization: str = "cmn") -> np.ndarray:
    """Normalise each mel band of an utterance by its :func:`moments`: ``(frames, mels)``, float32."""
    mean, scale = moments(log_mels, normalization)
    return (log_mels - mean) / scale


def mfccs(log_mels: np.ndarray, count: int) -> np.ndarray:
    """The first MFCCs of mean-normalised log-mels, ``(frames, count)``."""
    import scipy.fft

    return scipy.fft.dct(normalise(log_mels), axis=1, norm="ortho")[:, :count]


def speech(wave: np.ndarray, sample_rate: int, decibels: float) -> np.ndarray:
    """Mask ``(samples,)`` of all but pauses: ``decibels`` below the loudest 40 ms, 0.1 s away from speech."""
    frame, hop, around = (round(seconds * sample_rate) for seconds in (0.04, 0.01, 0.1))
    sums = np.concatenate([[0], np.cumsum(np.pad(np.square(wave, dtype=np.float64), frame // 2))])
    energies = sums[frame::hop] - sums[:-frame:hop]  # (frames,)
    starts = hop * np.flatnonzero(energies > energies.max() * 10 ** (-decibels / 10))
    edges = np.zeros(len(wave) + 1, int)
    np.add.at(edges, np.maximum(starts - around, 0), 1)
    np.add.at(edges, np.minimum(starts + hop + around, len(wave)), -1)
    return edges[:-1].cumsum() > 0


def cut_pauses(wave: np.ndarray, sample_rate: int, decibels: float) -> np.ndarray:
    """Shorten the pauses of a wave ``(samples,)`` to 0.2 s, or 0.1 s at its ends (see :func:`speech`)."""
    return wave[speech(wave, sample_rate, decibels)]


def at_rate(config: Config, rate: int) -> Config:
    """The configuration for audio of ``rate`` Hz, which replaces a ``sample_rate`` of 0."""
    return config if config.sample_rate else config.replace(sample_rate=rate)


def wave_log_mel(wave: np.ndarray, config: Config) -> np.ndarray:
    """:func:`log_mel` of a mono wave at ``config.sample_rate``, with the configuration's options."""
    options = made_with(config)
    if decibels := options.pop("trim_silence"):
        wave = cut_pauses(wave, config.sample_rate, decibels)
    return log_mel(wave, **options)


def file_log_mel(path: str | Path, config: Config) -> np.ndarray:
    """Log-mels ``(frames, n_mels)``, before normalisation, computed from audio or read from a ``.pickle``.

    Raises InputError, which names the file, if it is unusable or its features were made with other options.
    """
    if str(path).endswith(".pickle"):
        from ..published.pickles import read_made_with  # only for a published feature file

        return read_made_with(path, config)
    wave, rate = read_audio(path)
    config = at_rate(config, rate)
    try:
        return wave_log_mel(to_mono(wave, rate, config.sample_rate), config)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def made_with(config: Config) -> dict:
    """The options of a configuration that features depend on."""
    return {name: getattr(config, name) for name in FEATURE_FIELDS}
