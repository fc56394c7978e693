"""Which phones carry the accent: attention to phones, and reasons of an answer."""

import numpy as np
import pandas as pd
import torch

from ..config import InputError
from ..corpora.phones import FramePhones, ipa
from ..features.log_mel import normalise
from ..features.store import FeatureStore, clip_ids
from ..network.accent_net import AccentNet, evaluating
from ..network.pooling import Weights
from .inference import Clips, as_clips, clip_log_mel, cut_clips, log_mel_attention


def relative_attention(weights: Weights) -> np.ndarray:
    """Attention to each step as a multiple of uniform attention, ``(steps, heads + 1)``; the last column
    combines the heads."""
    frames, heads = weights
    if heads is None:
        heads = np.full(frames.shape[1], 1 / frames.shape[1])
    return len(frames) * np.column_stack([frames, frames @ heads])


def frame_attention(model: AccentNet, log_mels: np.ndarray) -> np.ndarray:
    """:func:`relative_attention` to each frame of log-mels ``(frames, mels)``: ``(frames, heads + 1)``."""
    relative = relative_attention(log_mel_attention(model, [log_mels])[0])
    return np.repeat(relative, model.config.frames_a_step, axis=0)[: len(log_mels)]


def attention_by_phone(model: AccentNet, table: pd.DataFrame, store: FeatureStore,
                       phones: FramePhones) -> pd.DataFrame:  # fmt: skip
    """Mean attention to each phone in the clips of a table, as a multiple of uniform attention.

    Returns rows of phone, ``head 1`` and so on, ``all`` (combined, highest first), ``seconds`` in total."""
    sums: np.ndarray = np.zeros((len(phones.names), 1))  # (phones, heads + 1) from the first clip on
    counts = np.zeros(len(phones.names))
    for clip_id in clip_ids(table):
        spoken = phones.frames(clip_id, len(store[clip_id])) == np.arange(len(phones.names))[:, None]
        sums = sums + spoken @ frame_attention(model, store[clip_id])
        counts += spoken.sum(axis=1)
    columns = [*(f"head {i + 1}" for i in range(sums.shape[1] - 1)), "all"]
    means = pd.DataFrame(sums / np.maximum(counts, 1)[:, None], columns=columns)
    means.insert(0, "phone", phones.names)
    means["seconds"] = counts * model.config.hop_seconds
    return means[counts > 0].sort_values("all", ascending=False, ignore_index=True)


@torch.inference_mode()
def explain(model: AccentNet, clip: Clips, accent: str = "") -> pd.DataFrame:
    """Which phones of a clip gave the answer: by how much its log-odds fall if a phone is left out.

    A phone is where the network's phone layer hears it. To leave it out, its share of each step of the front
    end's output is replaced by the mean of the other steps. A clip is as in :func:`accentlib.infer`;
    ``accent`` is the answer to explain, by default the model's. Returns a row for each phone heard, strongest
    reason first: ``accent``, ``phone``, ``ipa``, ``seconds``, ``reason`` (nats; below 0, the phone speaks
    against the answer). Raises InputError if the clip is unreadable, or the model learned no phones."""
    config, labels = model.config, model.labels
    if not model.phones:
        raise InputError("this model learned no phones (--phone_weight), so it cannot explain its answers")
    if accent and accent not in labels:
        raise InputError(f"the model does not know {accent!r}; it knows {', '.join(labels)}")
    ((clip_id, clip),) = as_clips(clip)
    log_mels = normalise(clip_log_mel(clip_id, clip, config), config.normalization)
    windows, _ = cut_clips([log_mels], config)
    logits, shares = torch.zeros(len(model.phones) + 1, len(labels)), torch.zeros(len(model.phones))
    with evaluating(model):
        for window in windows:
            encoded, steps = model.encode(torch.from_numpy(window)[None].to(next(model.parameters()).device))
            heard = model.hear(encoded)[0].T  # (phones, steps)
            rest = (1 - heard).clamp(min=1e-6)  # a phone may fill all steps
            means = rest @ encoded[0].float() / rest.sum(1, keepdim=True)  # (phones, size)
            without = encoded + heard.unsqueeze(-1) * (means.unsqueeze(1) - encoded)  # (phones, steps, size)
            pooled, _ = model.pool(torch.cat([without, encoded]), steps.expand(len(without) + 1))
            logits += model.classify(model.embed_pooled(pooled)).cpu()
            shares += heard.mean(1).cpu() / len(windows)
    scaled = logits / len(windows) ** (1 - model.calibration.window_gain) / model.calibration.temperature
    answer = labels.index(accent) if accent else int(scaled[-1].argmax())
    odds = scaled[:, answer] - scaled[:, [i for i in range(len(labels)) if i != answer]].logsumexp(1)
    table = pd.DataFrame({"accent": labels[answer], "phone": model.phones, "ipa": ipa(model.phones)})
    table["seconds"] = shares.numpy() * len(log_mels) * config.hop_seconds
    table["reason"] = (odds[-1] - odds[:-1]).numpy()
    table = table[table["seconds"] >= config.frames_a_step * config.hop_seconds]
    return table.sort_values("reason", ascending=False, ignore_index=True)
