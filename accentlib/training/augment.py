"""Augmentation of training windows: speed, vocal tract, masks, and changes of the wave."""

from functools import lru_cache

import numpy as np

from ..config import Config
from ..features.log_mel import mel_edges, mel_filters

ROOMS, NOISES = 1 / 3, 1 / 2  # shares of clips


def interpolate(rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Rows at fractional positions along the first axis, by linear interpolation."""
    left = np.minimum(positions.astype(np.int64), len(rows) - 1)
    weight = (positions - left).astype(rows.dtype)[:, None]
    return rows[left] * (1 - weight) + rows[np.minimum(left + 1, len(rows) - 1)] * weight


def change_speed(log_mels: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Log-mels ``factor`` times as fast at the same pitch, and the original position of each frame."""
    positions = np.linspace(0, len(log_mels) - 1, max(1, round(len(log_mels) / factor)))
    return interpolate(log_mels, positions), positions


def change_tract(log_mels: np.ndarray, factor: float, sample_rate: int) -> np.ndarray:
    """Vocal tract length perturbation of ``(frames, mels)``: move the energy at f Hz to ``factor`` * f.
    Jaitly and Hinton, Vocal Tract Length Perturbation improves speech recognition, ICML workshop 2013."""
    centres = mel_edges(sample_rate, log_mels.shape[1])[1:-1]
    return interpolate(log_mels.T, np.interp(centres / factor, centres, np.arange(len(centres)))).T


def spec_augment(log_mels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mask two random groups of mel bands and of frames of normalised ``(frames, mels)`` with 0, their mean,
    in place; return the array. Park et al., SpecAugment, arXiv 1904.08779."""
    for rows, part in [(log_mels.T, 6), (log_mels, 8)] * 2:
        width = rng.integers(0, len(rows) // part + 1)
        start = rng.integers(0, len(rows) - width + 1)
        rows[start : start + width] = 0
    return log_mels


@lru_cache(maxsize=16)
def white(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Power of white noise in the mel bands after pre-emphasis, and the bands' widths: ``(mels,)`` each."""
    filters = mel_filters(config.sample_rate, config.n_fft, config.n_mels)  # (bins, mels)
    emphasis = np.abs(1 - config.preemphasis * np.exp(-1j * np.linspace(0, np.pi, len(filters))))
    return np.maximum(emphasis @ filters, 1e-3) ** 2, np.maximum(filters.sum(axis=0), 1e-3)


@lru_cache(maxsize=16)
def fluctuations(config: Config) -> np.ndarray:
    """The power of a random sound in each frame and band ``(8192, mels)``, as a multiple of its mean: the
    narrower a band and the shorter the window, the fewer values are summed, and the more it varies."""
    hertz = white(config)[1] * config.sample_rate / config.n_fft
    shape = 1 + 0.6 * hertz * config.window_seconds  # of a gamma distribution; 0.6 was fitted to white noise
    numbers = np.random.default_rng(0).standard_gamma(shape, (8192, config.n_mels)) / shape
    return numbers.astype(np.float32)


def fluctuation(frames: int, rng: np.random.Generator, config: Config) -> np.ndarray:
    """So many frames of :func:`fluctuations`, from a random one on: drawing all anew would be slow."""
    table = fluctuations(config)
    return table.take(rng.integers(len(table)) + np.arange(frames), axis=0, mode="wrap")


def reverberation(power: np.ndarray, kept: float, rt60: float, hop_seconds: float) -> np.ndarray:
    """Mean power ``(frames, mels)`` a room adds: a share ``kept`` of each frame's, 60 dB less in RT60 (s).
    Late reverberation as a decay of power: Lebart, Boucher and Denbigh, Acta Acustica 87, 2001."""
    from scipy.signal import lfilter

    decay = 10 ** (-6 * hop_seconds / rt60)
    return lfilter(*np.array([[0, kept * decay], [1, -decay]], np.float32), power, axis=0)


def noise(power: np.ndarray, decibels: float, colour: np.ndarray, config: Config) -> np.ndarray:
    """The mean power ``(mels,)`` of a noise ``decibels`` below the wave whose log-mels have this ``power``
    ``(frames, mels)``; ``colour`` ``(mels,)`` is its spectral density, 1 for white noise."""
    flat, widths = white(config)
    own, of_noise = power.mean(axis=0) @ (widths / flat), colour @ widths
    return (flat * colour * own / of_noise * 10 ** (-decibels / 10)).astype(np.float32)


def noise_and_rooms(log_mels: np.ndarray, rng: np.random.Generator, config: Config) -> np.ndarray:
    """Log-mels ``(frames, mels)``, before normalisation, as if recorded elsewhere: one in three in a room
    (RT60 0.15 to 0.8 s, 5 to 42 % of each frame's power kept), one in two with noise (5 to 40 dB SNR; its
    spectrum falls by 0 to 4.5 dB an octave, and is uneven)."""
    power = np.exp(2 * log_mels)  # they are logarithms of magnitudes
    if rng.random() < ROOMS:
        tail = reverberation(power, rng.uniform(0.05, 0.42), rng.uniform(0.15, 0.8), config.hop_seconds)
        power += tail * fluctuation(len(power), rng, config)
    if rng.random() < NOISES:
        bands, knots = np.arange(config.n_mels), np.linspace(0, config.n_mels - 1, 6)
        colour = np.exp(2 * np.interp(bands, knots, rng.normal(0, 1, 6)))
        colour *= mel_edges(config.sample_rate, config.n_mels)[1:-1] ** -rng.uniform(0, 1.5)
        power += noise(power, rng.uniform(5, 40), colour, config) * fluctuation(len(power), rng, config)
    return 0.5 * np.log(power)


def augment_wave(wave: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Pitch shift, time stretch, white noise or no change of a wave ``(samples,)`` in [-1, 1], each once in
    four, as in the published accent fork."""
    from librosa.effects import pitch_shift, time_stretch

    kind = rng.integers(4)
    if kind == 1:
        return pitch_shift(wave, sr=sample_rate, n_steps=int(rng.integers(-4, 4)), bins_per_octave=16)
    if kind == 2:
        return time_stretch(wave, rate=rng.uniform(0.7, 1.2))
    if kind == 3:
        return wave + 0.005 * rng.standard_normal(len(wave), dtype=np.float32)
    return wave


def training_window(log_mels: np.ndarray, rng: np.random.Generator, config: Config, frames: int,
                    phones: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray | None]:  # fmt: skip
    """A random, augmented window of a normalised clip ``(frames, mels)``: ``frames`` frames, or all of fewer;
    and its part of ``phones`` ``(frames,)``, the phone number of each frame of the clip."""
    speed = rng.uniform(1 - config.speed_range, 1 + config.speed_range)
    tract = rng.uniform(1 - config.tract_range, 1 + config.tract_range)
    wanted = max(1, round(frames * speed))
    start = rng.integers(0, max(0, len(log_mels) - wanted) + 1)
    window, phones = log_mels[start:][:wanted], phones if phones is None else phones[start:][:wanted]
    if config.speed_range:
        window, positions = (x[:frames] for x in change_speed(window, speed))
        phones = phones if phones is None else phones[positions.round().astype(int)]
    if config.tract_range:
        window = change_tract(window, tract, config.sample_rate)
    if config.spec_augment:
        window = spec_augment(window.copy(), rng)
    return window, phones
