"""Calibration on validation speakers: the temperature of probabilities, and the threshold for "unsure"."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from ..network.accent_net import AccentNet, Calibration
from .inference import cut_clips, forward_log_mels, softmax

RIGHT_WHEN_SURE = 2 / 3  # accuracy of the predictions that are not "unsure"
FEWEST = 10  # clips needed to estimate that accuracy, or to raise probabilities


def log_likelihood(logits: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Log-probability ``(clips,)`` of the true classes ``(clips,)`` under logits ``(clips, accents)``."""
    return torch.from_numpy(logits).log_softmax(dim=1).numpy()[np.arange(len(truth)), truth]


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """The temperature that makes the true classes most probable (Guo et al., arXiv 1706.04599, 4.2)."""
    bounds = (-3 if len(truth) >= FEWEST else 0, 5)  # if all of a few clips are right by chance, 0 is best
    best = minimize_scalar(lambda x: -log_likelihood(logits / np.exp(x), truth).mean(), bounds=bounds)
    return float(np.exp(best.x))


def fit_window_gain(logits: np.ndarray, windows: np.ndarray, truth: np.ndarray) -> float:
    """Fit g in [0, 1]: mean logits over n windows, divided by the temperature, are multiplied by ``n ** g``.
    It is 0 if the windows of a recording are alike or recordings are few, 1 if windows are independent."""
    if windows.max() == 1 or len(truth) < FEWEST:
        return 0.0
    n = windows[:, None]
    return float(minimize_scalar(lambda g: -log_likelihood(logits * n**g, truth).mean(), bounds=(0, 1)).x)


def unsure_threshold(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The lowest probability above which RIGHT_WHEN_SURE of the predictions are right; 1 if there is none."""
    best, counts = probabilities.max(axis=1), np.arange(1, len(truth) + 1)
    surest = np.argsort(-best, kind="stable")
    right = np.cumsum((probabilities.argmax(axis=1) == truth)[surest]) / counts
    enough = np.flatnonzero((right >= RIGHT_WHEN_SURE) & (counts >= FEWEST))
    return float(best[surest][enough[-1]]) if len(enough) else 1.0


def calibrate(model: AccentNet, log_mels: Sequence[np.ndarray], accents: Sequence[str]) -> None:
    """Fit ``model.calibration`` to recordings of speakers outside the training split and their true accents.

    Log-mels are ``(frames, mels)`` each, before normalisation. Temperature and threshold are fitted to single
    windows of ``evaluation_window`` s (new recordings may be so short), the gain to whole recordings."""
    windows, of_recording = cut_clips(log_mels, model.config)
    truth = np.array([model.labels.index(accent) for accent in accents])
    model.calibration = Calibration()
    _, logits, _ = forward_log_mels(model, windows)
    temperature = fit_temperature(logits, truth[of_recording])
    unsure_below = unsure_threshold(softmax(logits, temperature), truth[of_recording])
    _, logits, _ = forward_log_mels(model, log_mels)
    window_gain = fit_window_gain(logits / temperature, np.bincount(of_recording), truth)
    model.calibration = Calibration(temperature, window_gain, unsure_below)
