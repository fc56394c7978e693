"""Which phones carry the accent: what the network attends to, and what it misses when they are hidden."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from ..corpora.phones import UNKNOWN, FramePhones
from ..features.log_mel import normalise
from ..features.store import FeatureStore
from ..network.accent_net import AccentNet
from .inference import forward_log_mels, log_mel_attention


def frame_attention(model: AccentNet, log_mels: np.ndarray) -> np.ndarray:
    """How much each frame counts in the pooled vector, 1 if all counted alike: ``(frames, heads + 1)``.

    The last column is all heads together, weighed as double attention weighs them. An encoder's step lasts
    several frames, which share its attention.

    Parameters
    ----------
    model : AccentNet
        With attention.
    log_mels : np.ndarray
        ``(frames, mels)``, before normalisation.
    """
    frames, heads = log_mel_attention(model, normalise(log_mels, model.config.normalization))
    if heads is None:
        heads = np.full(frames.shape[1], 1 / frames.shape[1])
    relative = len(frames) * np.column_stack([frames, frames @ heads])  # (steps, heads + 1)
    return np.repeat(relative, model.config.frames_a_step, axis=0)[: len(log_mels)]


def attention_by_phone(
    model: AccentNet, table: pd.DataFrame, store: FeatureStore, phones: FramePhones
) -> pd.DataFrame:
    """Mean attention to each phone, 1 if all frames counted alike.

    Parameters
    ----------
    model : AccentNet
        With attention.
    table : pandas.DataFrame
        The clips, with a column ``path``.
    store : FeatureStore
        Their log-mels.
    phones : FramePhones
        What is spoken in them.

    Returns
    -------
    pandas.DataFrame
        A row a phone, the most attended first: a column a head, ``all`` (the heads together, as they are
        weighed), ``seconds`` (how long it is heard in all clips).
    """
    sums = np.zeros((len(phones.names), model.config.heads + 1))
    frames = np.zeros(len(phones.names))
    for path in table["path"]:
        spoken = phones.frames(path, len(store[path]))
        known = spoken != UNKNOWN
        np.add.at(sums, spoken[known], frame_attention(model, store[path])[known])
        np.add.at(frames, spoken[known], 1)
    heard = frames > 0
    columns = [*(f"head {i + 1}" for i in range(model.config.heads)), "all"]
    means = pd.DataFrame(sums[heard] / frames[heard, None], columns=columns)
    means.insert(0, "phone", np.array(phones.names)[heard])
    means["seconds"] = frames[heard] * model.config.hop_seconds
    return means.sort_values("all", ascending=False, ignore_index=True)


def hidden(log_mels: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Log-mels ``(frames, mels)`` of which some frames, ``(frames,)`` bool, say nothing: they are the others' mean."""
    if not frames.any() or frames.all():
        return log_mels
    return np.where(frames[:, None], log_mels[~frames].mean(axis=0, dtype=np.float32), log_mels)


def hide_phones(
    model: AccentNet,
    table: pd.DataFrame,
    store: FeatureStore,
    phones: FramePhones,
    names: Sequence[str],
    *,
    seed: int = 0,
) -> pd.DataFrame:
    """How much surer of the true accent the network is with a phone than without it.

    Each phone is hidden wherever it is spoken; as a control, as many frames of the same clip are hidden
    elsewhere, the same spans moved round by a random time.

    Parameters
    ----------
    model, table, store, phones
        As for :func:`attention_by_phone`; the table needs the column ``accent``.
    names : sequence of str
        The phones.
    seed : int
        Of the control.

    Returns
    -------
    pandas.DataFrame
        A row a phone: ``clips`` in which it is spoken, ``loss`` and ``control``: how much the logarithm of the
        true accent's probability falls in these clips, on average, by hiding the phone and by hiding other frames.
    """
    rng = np.random.default_rng(seed)
    truth = np.array([model.labels.index(accent) for accent in table["accent"]])

    def log_probability(log_mels: list[np.ndarray], rows: np.ndarray) -> np.ndarray:
        logits = torch.from_numpy(forward_log_mels(model, log_mels)[1]) / model.calibration.temperature
        return logits.log_softmax(dim=1).numpy()[np.arange(len(rows)), truth[rows]]

    whole = log_probability([store[path] for path in table["path"]], np.arange(len(table)))
    rows = []
    for name in names:
        number = phones.names.index(name)
        spoken = [phones.frames(path, len(store[path])) == number for path in table["path"]]
        having = np.flatnonzero([frames.any() for frames in spoken])
        if not len(having):
            continue
        moved = [np.roll(spoken[i], rng.integers(len(spoken[i]))) for i in having]
        paths = table["path"].iloc[having]
        row = {"phone": name, "clips": len(having)}
        for what, masks in (("loss", [spoken[i] for i in having]), ("control", moved)):
            log_mels = [hidden(store[path], mask) for path, mask in zip(paths, masks, strict=True)]
            row[what] = float((whole[having] - log_probability(log_mels, having)).mean())
        rows.append(row)
    return pd.DataFrame(rows).sort_values("loss", ascending=False, ignore_index=True)
