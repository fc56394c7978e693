"""The stages of a network as a table: what goes out of each, what it learns, and how much speech it sees."""

import pandas as pd
import torch
from torch import nn

from ..config import InputError
from .accent_net import AccentNet, evaluating
from .ensemble import Ensemble
from .padding import as_image, frame_mask
from .pooling import DoubleMultiHeadAttentionPooling
from .vgg import VGG


@torch.inference_mode()
def stages(model: AccentNet, seconds: float = 4.0) -> pd.DataFrame:
    """A row for each stage of a network with a VGG, from an utterance of so many ``seconds`` to the cosines.

    Columns: stage; part (of the stage); shape (of its output, without the batch) and axes (their names);
    parameters; seen (s of speech that one step of the output depends on, the receptive field: everything
    after the pooling). Raises InputError if the front end is not a VGG, or the model is an ensemble."""
    config = model.config
    if isinstance(model, Ensemble):
        raise InputError("stages are those of one network: give one of the ensemble's, model.networks[0]")
    if not isinstance(model.front_end, VGG):
        raise InputError(f"stages are those of a VGG, not of a {config.front_end}")
    rate, window, hop = config.sample_rate or 16_000, config.window_seconds, config.hop_seconds
    frames = 1 + (round(seconds * rate) - config.n_fft) // round(hop * rate)
    rows: list[tuple] = [("recording", "wave", (round(seconds * rate),), "samples", 0, 1 / rate)]

    def add(stage: str, part: str, x: torch.Tensor, axes: str, seen: float, *learned: nn.Module) -> None:
        count = sum(weight.numel() for module in learned for weight in module.parameters())
        rows.append((stage, part, tuple(x.shape[1:]), axes, count, seen))

    log_mels = torch.zeros(1, frames, config.n_mels)
    add("log-mel", "log-mel", log_mels, "frames, mels", window)
    with evaluating(model):
        x, seen, step = as_image(log_mels, None), 1, 1  # seen, step: frames
        for i, block in enumerate(model.front_end.blocks, 1):
            x, _ = block(x, None)
            halves = 2**i <= config.frames_a_step
            seen += (5 if halves else 4) * step  # two convolutions see 2 more steps each, the maximum 1
            step *= 2 if halves else 1
            add("VGG", f"block {i}", x, "channels, steps, mels", (seen - 1) * hop + window, block)
        encoded, steps = model.encode(log_mels)
        pooled, _ = model.pool(encoded, steps)
        if isinstance(model.pooling, DoubleMultiHeadAttentionPooling):
            contexts, _ = model.pooling.contexts(encoded, frame_mask(steps, encoded.shape[1]))
            add("pooling", "over steps", contexts, "heads, values", seconds, model.pooling.frame_attention)
            rest = nn.ParameterList([model.pooling.query])
            add("pooling", "over heads", pooled, "values", seconds, rest)
        else:
            add("pooling", config.pooling_method, pooled, "values", seconds, model.pooling)
        x = model.embed_pooled(pooled)
        add("embedding", "fc1, fc2, norm", x, "values", seconds, model.fc1, model.fc2, model.norm)
        add("accents", "fc3, cosines", model.cosines(x), "accents", seconds, model.fc3, model.am_softmax)
    return pd.DataFrame(rows, columns=["stage", "part", "shape", "axes", "parameters", "seen"])
