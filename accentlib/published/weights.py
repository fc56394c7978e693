"""Models of the published trainer: its names of weights and settings, translated to ours."""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..config import FEATURE_FIELDS, MODEL_FIELDS, Config, InputError, current_names
from ..network.accent_net import AccentNet
from ..network.checkpoint import empty_model, load_weights
from ..training.schedule import make_optimizer

RENAMED = {  # beginnings of names, the longest first
    "poolingLayer.utteranceAttention.": "pooling.frame_attention.", "predictionLayer.W": "am_softmax.weight",
    "poolingLayer.headsAttention.att": "pooling.query", "poolingLayer.att": "pooling.query",
    "poolingLayer.": "pooling.", "b2.": "norm.", "preLayer.": "fc3.",
}  # fmt: skip
UNUSED = ("b1.", "b3.")  # batch norms that the published network builds and never calls
BUFFERS = ("running_mean", "running_var", "num_batches_tracked")
OPTIMIZER_STATE = {"Adam": ("step", "exp_avg", "exp_avg_sq"), "SGD": (), "RMSprop": ("step", "square_avg")}
OF_MODEL = {*FEATURE_FIELDS, *MODEL_FIELDS, "normalization", "head_drop", "scale", "margin", "annealing"}


def our_name(name: str) -> str:
    """Our name of a published weight."""
    for theirs, ours in RENAMED.items():
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return re.sub(r"^front_end\.conv(\d)", lambda m: f"front_end.blocks.{int(m[1]) - 1}.conv", name)


def our_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Published settings that are options here as well, under our names; NumPy's numbers as Python's."""
    options = Config().to_dict()
    ours = {name: value for name, value in current_names(settings).items() if name in options}
    return {name: v.item() if isinstance(v, np.generic) else v for name, v in ours.items()}


def published_config(settings: Mapping[str, Any]) -> Config:
    """Features and model of published settings; missing ones have the paper's values, others are ignored."""
    return Config.from_dict({name: v for name, v in our_options(settings).items() if name in OF_MODEL})


def from_published(state_dict: Mapping[str, torch.Tensor | np.ndarray], settings: Mapping) -> AccentNet:
    """Make a model in evaluation mode, with labels "0", "1", ..., from weights under their published names.

    ``settings`` has ``num_accents`` (number of classes) and published options (``kernel_size``, ...; by
    default the paper's). Without ``sample_rate``, each file keeps its own rate. Raises InputError if settings
    are missing or out of range, or the weights do not fit them."""
    classes = settings.get("num_accents", settings.get("num_spkrs"))  # the speaker version's name
    if not isinstance(classes, (int, np.integer)) or classes < 1:
        raise InputError(f"the settings need num_accents, the number of classes, not {classes!r}")
    if not all(isinstance(w, (torch.Tensor, np.ndarray)) for w in state_dict.values()):
        raise InputError("its weights are not tensors")
    names = {str(name): w for name, w in state_dict.items()}
    weights = {our_name(n): torch.as_tensor(w) for n, w in names.items() if not n.startswith(UNUSED)}
    if not any(classes in w.shape for w in weights.values()):
        raise InputError(f"num_accents is {classes}, but no weight has that size")
    model = empty_model(published_config(settings), [str(label) for label in range(classes)])
    load_weights(model, weights, name="published weights")
    model.trained_on = None
    return model.eval()


def published_training(content: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a published ``.chkpt`` to a checkpoint that resumes at the next epoch, without a best score."""
    settings = vars(content["settings"])
    model = from_published(content["model"], settings)
    step, epoch = content.get("step", "missing"), content.get("epoch", "missing")
    if not all(type(count) is int and count >= 0 for count in (step, epoch)):
        raise InputError(f"step and epoch must be whole numbers, not {step!r} and {epoch!r}")
    config, weights = our_options(settings), model.state_dict()
    training: dict[str, Any] = {
        "model": weights, "averaged": None, "optimizer": optimizer_state(content, model, config),
        "counters": {"step": step, "epoch": epoch + 1}, "history": [], "random": [],
    }  # fmt: skip
    return {"config": config, "labels": model.labels, "model": weights, "training": training}


def optimizer_state(content: Mapping, model: AccentNet, options: Mapping) -> dict[str, Any] | None:
    """State of a published checkpoint's optimizer, in the order of our weights; None if it does not fit."""
    # Published optimizers number the weights in the order of the checkpoint, without the buffers.
    learned = [str(name) for name in content["model"] if not str(name).endswith(BUFFERS)]
    number = {our_name(name): i for i, name in enumerate(learned) if not name.startswith(UNUSED)}
    kind, states = options.get("optimizer", "Adam"), {}
    try:
        (group,) = content["optimizer"]["param_groups"]
        for i, (name, weight) in enumerate(model.named_parameters()):
            stored = content["optimizer"]["state"].get(number[name], {})
            states[i] = {k: torch.as_tensor(stored[k], dtype=torch.float32) for k in OPTIMIZER_STATE[kind]}
            if any(x.shape != (weight.shape if k != "step" else ()) for k, x in states[i].items()):
                return None
        rate, decay = float(group["lr"]), float(group["weight_decay"])
        optimizer = make_optimizer(model, Config(optimizer=kind, learning_rate=rate, weight_decay=decay))
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError):  # of any file
        return None
    return optimizer.state_dict() | {"state": states}
