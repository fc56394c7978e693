"""Models of the published trainer: its names for weights and settings, translated to ours."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..config import FEATURE_FIELDS, MODEL_FIELDS, Config, InputError, current_names
from ..network.accent_net import AccentNet
from ..network.checkpoint import empty_model, load_weights
from ..training.schedule import make_optimizer

RENAMED = (
    (r"^front_end\.conv(\d)(\d)\.", lambda m: f"front_end.blocks.{int(m[1]) - 1}.conv{m[2]}."),
    (r"^poolingLayer\.utteranceAttention\.", "pooling.frame_attention."),
    (r"^poolingLayer\.(headsAttention\.)?att$", "pooling.query"),
    (r"^poolingLayer\.", "pooling."),
    (r"^b2\.", "norm."),
    (r"^preLayer\.", "fc3."),
    (r"^predictionLayer\.W$", "am_softmax.weight"),
)
FIELDS = (
    *FEATURE_FIELDS, "normalization", *MODEL_FIELDS, "head_drop", "scale", "margin", "annealing",
)  # fmt: skip
OPTIMIZER_STATE = {  # what each optimizer keeps of a weight
    "Adam": ("step", "exp_avg", "exp_avg_sq"),
    "SGD": (),
    "RMSprop": ("step", "square_avg"),
}
UNUSED = ("b1.", "b3.")  # batch norms that the published network builds and never calls


def our_name(name: str) -> str:
    """Our name of a published weight."""
    for pattern, replacement in RENAMED:
        name, count = re.subn(pattern, replacement, name)
        if count:
            return name
    return name


def published_config(settings: Mapping[str, Any]) -> Config:
    """The configuration that published settings stand for; what they do not say is the paper's.

    Paths and what was for training alone (whatever its values, it is over) are passed over.
    """
    ours = our_options(settings)
    return Config.from_dict({name: ours[name] for name in FIELDS if name in ours})


def our_options(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Our names and the values of the published settings that are options here as well."""
    ours = {name: plain(value) for name, value in current_names(settings).items()}
    return {field.name: ours[field.name] for field in dataclasses.fields(Config) if field.name in ours}


def plain(value: Any) -> Any:
    """A number of NumPy as Python's own; anything else as it is."""
    return value.item() if isinstance(value, np.generic) else value


def from_published(
    state_dict: Mapping[str, torch.Tensor | np.ndarray], settings: Mapping[str, Any]
) -> AccentNet:
    """A model with weights of the published trainer.

    Parameters
    ----------
    state_dict : dict of str to torch.Tensor or np.ndarray
        Weights under their published names.
    settings : dict
        Options under their published names (``kernel_size``, ``scalingFactor`` and so on), and
        ``num_accents``, the number of classes. What is left out has its published default. The features'
        sample rate is that of each file, unless ``sample_rate`` says otherwise.

    Returns
    -------
    AccentNet
        In evaluation mode; its labels are "0", "1" and so on.

    Raises InputError if settings are missing or out of range, or the weights do not fit them.
    """
    classes = plain(settings.get("num_accents", settings.get("num_spkrs")))  # the speaker version's name
    if not isinstance(classes, int) or classes < 1:
        raise InputError(f"the settings need num_accents, the number of classes, not {classes!r}")
    if not all(isinstance(w, (torch.Tensor, np.ndarray)) for w in state_dict.values()):
        raise InputError("its weights are no tensors")
    used = {str(name): w for name, w in state_dict.items() if not str(name).startswith(UNUSED)}
    weights = {our_name(name): torch.as_tensor(w) for name, w in used.items()}
    if not any(classes in w.shape for w in weights.values()):
        raise InputError(f"num_accents is {classes}, which is the size of none of the weights")
    model = empty_model(published_config(settings), [str(label) for label in range(classes)])
    load_weights(model, weights, name="published weights")
    model.trained_on = None
    return model.eval()


def published_training(content: Mapping[str, Any]) -> dict[str, Any]:
    """What a training run goes on from, of the content of a published ``.chkpt``.

    Returns
    -------
    dict
        ``config`` (the options that the settings name), ``labels``, ``model`` and ``training``, as in a
        checkpoint of :func:`accentlib.network.checkpoint.save_checkpoint`. The next epoch follows the stored one; no
        best score is stored; the optimizer's state is None if it does not fit the weights.

    Raises InputError as :func:`from_published`, or if step and epoch are missing.
    """
    settings = vars(content["settings"])
    model = from_published(content["model"], settings)
    step, epoch = plain(content.get("step")), plain(content.get("epoch"))
    if not all(type(count) is int and count >= 0 for count in (step, epoch)):
        raise InputError(f"step and epoch must be whole numbers, not {step!r} and {epoch!r}")
    config, weights = our_options(settings), model.state_dict()
    training = {
        "model": weights,
        "averaged": None,
        "optimizer": optimizer_state(content, model, config),
        "counters": {"step": step, "epoch": epoch + 1},
        "history": [],
        "random": [],
    }
    return {"config": config, "labels": model.labels, "model": weights, "training": training}


def optimizer_state(
    content: Mapping[str, Any], model: AccentNet, options: Mapping[str, Any]
) -> dict[str, Any] | None:
    """The optimizer's state of a published checkpoint, in the order of our weights; None if it does not fit.

    Published optimizers number the weights in the order in which the checkpoint names them, without what
    batch norms count.
    """
    counts = ("running_mean", "running_var", "num_batches_tracked")
    learned = [str(name) for name in content["model"] if not str(name).endswith(counts)]
    number = {our_name(name): i for i, name in enumerate(learned) if not name.startswith(UNUSED)}
    kind, states = options.get("optimizer", "Adam"), {}
    try:
        (group,) = content["optimizer"]["param_groups"]
        for i, (name, weight) in enumerate(model.named_parameters()):
            stored = content["optimizer"]["state"].get(number[name], {})
            states[i] = {k: torch.as_tensor(stored[k], dtype=torch.float32) for k in OPTIMIZER_STATE[kind]}
            if any(x.shape != (weight.shape if k != "step" else ()) for k, x in states[i].items()):
                return None
        rates = {"learning_rate": float(group["lr"]), "weight_decay": float(group["weight_decay"])}
        optimizer = make_optimizer(model, Config(optimizer=kind, **rates))
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError):  # of any file
        return None
    return optimizer.state_dict() | {"state": states}
