"""Honest probabilities: how sure an answer is, and when to say "unsure", chosen on validation speakers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..config import Config
from ..features.store import FeatureStore
from ..network.accent_net import AccentNet, Calibration
from ..network.checkpoint import load_model, save_calibrated
from .inference import forward_log_mels, window_pieces

RIGHT_WHEN_SURE = 2 / 3  # how often an answer must be right, or it is "unsure"
FEWEST = 10  # answers from which that share is worked out; fewer never make a model surer


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities ``(clips, accents)`` of logits that are divided by a temperature."""
    import scipy.special

    return scipy.special.softmax(logits / temperature, axis=1)


def surprise(logits: np.ndarray, truth: np.ndarray) -> float:
    """Mean of -log p of the true classes ``(clips,)``, for logits ``(clips, accents)``."""
    import scipy.special

    return -float(scipy.special.log_softmax(logits, axis=1)[np.arange(len(truth)), truth].mean())


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """The temperature that makes the true accents most probable: it changes no answer, only how sure it is.

    Guo et al., On Calibration of Modern Neural Networks, arXiv 1706.04599, section 4.2. With fewer
    than FEWEST clips the temperature is at least 1: all of them may be right by luck, which 0 would suit best.

    Parameters
    ----------
    logits : np.ndarray
        ``(clips, accents)``, of clips that were not trained on.
    truth : np.ndarray
        ``(clips,)``, class numbers.
    """
    from scipy.optimize import minimize_scalar

    bounds = (-3 if len(truth) >= FEWEST else 0, 5)
    found = minimize_scalar(lambda log_t: surprise(logits / np.exp(log_t), truth), bounds=bounds)
    return float(np.exp(found.x))


def fit_window_gain(logits: np.ndarray, windows: np.ndarray, truth: np.ndarray) -> float:
    """How much surer several windows make than one: the g in [0, 1] that suits best if logits count ``n^g`` times.

    0: as sure as one window, for all say the same; 1: each says something of its own. It is 0 with fewer than
    FEWEST recordings.

    Parameters
    ----------
    logits : np.ndarray
        ``(recordings, accents)``: the mean over each one's windows, divided by the temperature.
    windows : np.ndarray
        ``(recordings,)``: how many they are.
    truth : np.ndarray
        ``(recordings,)``, class numbers.
    """
    from scipy.optimize import minimize_scalar

    if windows.max() == 1 or len(truth) < FEWEST:
        return 0.0
    found = minimize_scalar(lambda g: surprise(logits * windows[:, None] ** g, truth), bounds=(0, 1))
    return float(found.x)


def unsure_threshold(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """The least probability from which on answers are right RIGHT_WHEN_SURE of the time; 1 if none is.

    Parameters
    ----------
    probabilities : np.ndarray
        ``(clips, accents)``, of clips that were not trained on.
    truth : np.ndarray
        ``(clips,)``, class numbers.
    """
    best, answers = probabilities.max(axis=1), np.arange(1, len(truth) + 1)
    surest = np.argsort(-best, kind="stable")
    right = np.cumsum((probabilities.argmax(axis=1) == truth)[surest]) / answers
    enough = np.flatnonzero((right >= RIGHT_WHEN_SURE) & (answers >= FEWEST))
    return float(best[surest][enough[-1]]) if len(enough) else 1.0


def cut_clips(log_mels: Sequence[np.ndarray], config: Config) -> tuple[list[np.ndarray], np.ndarray]:
    """Recordings as the clips that a model hears one by one: their log-mels, and which recording each is of."""
    pieces = window_pieces(log_mels, config)
    return [log_mels[i][start:stop] for i, start, stop in pieces], np.array([i for i, *_ in pieces])


def calibrate(model: AccentNet, log_mels: Sequence[np.ndarray], accents: Sequence[str]) -> None:
    """Set a model's temperature and its threshold for "unsure" by recordings of people that it did not train on.

    With an ``evaluation_window`` temperature and threshold are those of single clips of that length, for a
    recording to come may be as short; how much surer more of them make is fitted to the whole recordings.

    Parameters
    ----------
    model : AccentNet
        Its ``calibration`` is set.
    log_mels : sequence of np.ndarray
        ``(frames, mels)`` each, before normalisation.
    accents : sequence of str
        The true accent of each.
    """
    clips, of_recording = cut_clips(log_mels, model.config)
    truth = np.array([model.labels.index(accent) for accent in accents])
    model.calibration = Calibration()
    _, logits = forward_log_mels(model, clips)
    temperature = fit_temperature(logits, truth[of_recording])
    unsure_below = unsure_threshold(softmax(logits, temperature), truth[of_recording])
    _, logits = forward_log_mels(model, log_mels)
    window_gain = fit_window_gain(logits / temperature, np.bincount(of_recording), truth)
    model.calibration = Calibration(temperature, window_gain, unsure_below)


def calibrate_checkpoint(
    path: str | Path, table: pd.DataFrame, store: FeatureStore, device: torch.device
) -> AccentNet:
    """The model of a checkpoint, calibrated (:func:`calibrate`) by these rows, and the checkpoint with it."""
    model = load_model(path).to(device)
    calibrate(model, [store[clip] for clip in table["path"]], table["accent"])
    save_calibrated(path, model)
    return model
