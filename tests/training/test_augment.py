"""Noise and rooms on log-mels, against the same noise and rooms added to waves."""

import numpy as np
import pytest
from helpers import BUNDLED

from accentlib.config import Config
from accentlib.features.audio import load_audio
from accentlib.features.log_mel import mel_edges, wave_log_mel
from accentlib.training.augment import fluctuation, noise, noise_and_rooms, reverberation

CONFIG = Config(sample_rate=16_000, n_mels=40)
HOP = 160  # samples


@pytest.fixture(scope="module")
def waves() -> list[np.ndarray]:
    return [load_audio(path, 16_000) for path in sorted((BUNDLED / "clips" / "american").glob("*.ogg"))[:5]]


def power_of(wave: np.ndarray) -> np.ndarray:
    return np.exp(2 * wave_log_mel(wave, CONFIG))


def distance(power: np.ndarray, other: np.ndarray) -> float:
    """Mean distance of powers ``(frames, mels)``, dB."""
    return float(np.abs(10 * np.log10(power / other)).mean())


def unevenness(power: np.ndarray) -> float:
    """Mean change from frame to frame, dB."""
    return float(np.abs(np.diff(10 * np.log10(power), axis=0)).mean())


def in_colour(samples: int, slope: float, rng: np.random.Generator) -> np.ndarray:
    """Noise whose power density falls with frequency, to the power of ``slope``."""
    spectrum = np.fft.rfft(rng.standard_normal(samples))
    spectrum[1:] *= np.arange(1, len(spectrum)) ** (-slope / 2)
    spectrum[0] = 0
    return np.fft.irfft(spectrum, samples)


@pytest.mark.parametrize("slope", [0.0, 1.0])
@pytest.mark.parametrize("snr", [20.0, 10.0])
def test_noise_on_log_mels_is_noise_on_the_wave(waves, snr, slope):
    rng, colour = np.random.default_rng(0), mel_edges(16_000, 40)[1:-1] ** -slope
    for wave in waves:
        added = in_colour(len(wave), slope, rng)
        added *= np.sqrt((wave**2).mean() / (added**2).mean() * 10 ** (-snr / 10))
        clean, truth = power_of(wave), power_of((wave + added).astype(np.float32))
        alone = power_of(added.astype(np.float32))
        mean = noise(clean, snr, colour, CONFIG)
        assert distance(mean, alone.mean(axis=0)) < 4.0
        ours = clean + mean * fluctuation(len(clean), rng, CONFIG)
        assert distance(ours, truth) < 3.0  # both are random; most is from frame to frame
        assert distance(ours.mean(axis=0), truth.mean(axis=0)) < 1.0
        assert unevenness(ours) == pytest.approx(unevenness(truth), rel=0.15)


@pytest.mark.parametrize("rt60", [0.3, 0.6])
@pytest.mark.parametrize("kept", [0.1, 0.4])
def test_a_room_on_log_mels_is_a_room_on_the_wave(waves, kept, rt60):
    rng = np.random.default_rng(0)
    times = np.arange(round(1.5 * rt60 * 16_000)) / 16_000
    tail = rng.standard_normal(len(times)) * 10 ** (-3 * times / rt60)  # -60 dB of power in RT60
    tail[:HOP] = 0
    decay = 10 ** (-6 * 0.01 / rt60)
    tail *= np.sqrt(kept * decay / (1 - decay) / (tail**2).sum())
    tail[0] = 1  # the direct sound
    for wave in waves:
        truth = power_of(np.convolve(wave, tail)[: len(wave)].astype(np.float32))
        clean = power_of(wave)
        ours = clean + reverberation(clean, kept, rt60, 0.01) * fluctuation(len(clean), rng, CONFIG)
        assert distance(ours, truth) < 4.0
        assert distance(ours.mean(axis=0), truth.mean(axis=0)) < 1.0
        assert distance(ours, truth) < 0.6 * distance(clean, truth)
        assert unevenness(ours) == pytest.approx(unevenness(truth), rel=0.15)


def test_noise_and_rooms_leave_a_share_of_clips_as_they_are_and_never_change_the_clip(waves):
    log_mels = wave_log_mel(waves[0], CONFIG)
    before, changed = log_mels.copy(), []
    for seed in range(1500):
        other = noise_and_rooms(log_mels, np.random.default_rng(seed), CONFIG)
        assert other.shape == log_mels.shape and other.dtype == np.float32 and np.isfinite(other).all()
        changed.append(np.abs(other - log_mels).max() > 1e-3)
    assert 1 - np.mean(changed) == pytest.approx(1 / 2 * 2 / 3, abs=0.04)
    np.testing.assert_array_equal(log_mels, before)
    again = [noise_and_rooms(log_mels, np.random.default_rng(7), CONFIG) for _ in range(2)]
    np.testing.assert_array_equal(*again)
