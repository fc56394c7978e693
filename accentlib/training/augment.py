"""Make one speaker into many: what is done to training windows only."""

import numpy as np

from ..config import Config
from ..features.log_mel import mel_centres


def interpolate(rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Rows between rows: linear interpolation at fractional positions along the first axis."""
    left = np.minimum(positions.astype(np.int64), len(rows) - 1)
    right = np.minimum(left + 1, len(rows) - 1)
    weight = (positions - left).astype(rows.dtype)[:, None]
    return rows[left] * (1 - weight) + rows[right] * weight


def speed_positions(frames: int, factor: float) -> np.ndarray:
    """Which of ``frames`` frames is heard when, with fractions, if all is spoken ``factor`` times as fast."""
    return np.linspace(0, frames - 1, max(1, round(frames / factor)))


def change_speed(log_mels: np.ndarray, factor: float) -> np.ndarray:
    """Speak ``factor`` times as fast, at the same pitch: ``(frames, mels)`` to fewer or more frames."""
    return interpolate(log_mels, speed_positions(len(log_mels), factor))


def change_tract(log_mels: np.ndarray, factor: float, sample_rate: int) -> np.ndarray:
    """Vocal tract length perturbation: what was at f Hz is moved to ``factor`` * f.

    ``(frames, mels)`` in and out. Jaitly and Hinton, Vocal Tract Length Perturbation improves speech
    recognition, ICML workshop 2013.
    """
    n_mels = log_mels.shape[1]
    centres = mel_centres(sample_rate, n_mels)
    positions = np.interp(centres / factor, centres, np.arange(n_mels))
    return interpolate(log_mels.T, positions).T


def spec_augment(log_mels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Hide two random groups of mel bands and two random groups of frames, at the band's mean of 0.

    ``(frames, mels)``, normalised, changed in place and returned. Park et al., SpecAugment,
    arXiv 1904.08779.
    """
    frames, mels = log_mels.shape
    for _ in range(2):
        width = rng.integers(0, mels // 6 + 1)
        start = rng.integers(0, mels - width + 1)
        log_mels[:, start : start + width] = 0
        width = rng.integers(0, frames // 8 + 1)
        start = rng.integers(0, frames - width + 1)
        log_mels[start : start + width] = 0
    return log_mels


def augment_wave(wave: np.ndarray, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """One of pitch shift, time stretch and white noise, or nothing; each one time in four.

    As in the published accent fork: -4 to 3 steps of 16 per octave; 0.7 to 1.2 times as fast; noise of
    deviation 0.005. ``(samples,)`` in [-1, 1] to as many samples, or with a stretch fewer or more.
    """
    import librosa

    kind = rng.integers(4)
    if kind == 1:
        return librosa.effects.pitch_shift(
            wave, sr=sample_rate, n_steps=rng.integers(-4, 4), bins_per_octave=16
        )
    if kind == 2:
        return librosa.effects.time_stretch(wave, rate=rng.uniform(0.7, 1.2))
    if kind == 3:
        return wave + 0.005 * rng.standard_normal(len(wave), dtype=np.float32)
    return wave


def training_window(
    log_mels: np.ndarray,
    rng: np.random.Generator,
    config: Config,
    frames: int,
    phones: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray | None]:
    """A random window of a normalised utterance, changed as the configuration says, and what is spoken in it.

    Parameters
    ----------
    log_mels : np.ndarray
        ``(frames, mels)``.
    rng : np.random.Generator
        Source of every random choice.
    config : Config
        speed_range, tract_range, spec_augment.
    frames : int
        Length of the window; a shorter utterance is kept whole.
    phones : np.ndarray, optional
        ``(frames,)``, the number of the phone in each frame.

    Returns
    -------
    window : np.ndarray
        ``(frames, mels)`` or fewer frames.
    phones : np.ndarray or None
        ``(frames,)``, of the window's frames.
    """
    speed = rng.uniform(1 - config.speed_range, 1 + config.speed_range)
    tract = rng.uniform(1 - config.tract_range, 1 + config.tract_range)
    wanted = max(1, round(frames * speed))
    start = rng.integers(0, max(0, len(log_mels) - wanted) + 1)
    window = log_mels[start : start + wanted]
    if config.speed_range:
        window = change_speed(window, speed)[:frames]
    if config.tract_range:
        window = change_tract(window, tract, config.sample_rate)
    if config.spec_augment:
        window = spec_augment(window.copy(), rng)
    if phones is not None:
        phones = phones[start : start + wanted]
        if config.speed_range:
            phones = phones[speed_positions(len(phones), speed).round().astype(int)][:frames]
    return window, phones
