"""Checkpoints of plain types, written whole or not at all, read without running code."""

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch

from .config import Config, InputError
from .files import replacing
from .model import AccentNet

FORMAT = 1


def save_checkpoint(path: str | Path, model: AccentNet, training: dict[str, Any] | None = None) -> None:
    """Write a model, and what training needs to go on, to one file.

    Parameters
    ----------
    path : str or Path
        Written under a temporary name, then renamed: a reader never sees half a file.
    model : AccentNet
        Its weights, configuration and label names are stored.
    training : dict, optional
        Optimizer, counters and random states, of plain types and tensors.
    """
    content = {
        "format": FORMAT,
        "config": model.config.to_dict(),
        "labels": model.labels,
        "model": model.state_dict(),
        "training": training,
    }
    with replacing(path) as temporary:
        torch.save(content, temporary)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU.

    Raises InputError if the file is missing, damaged, holds more than plain types, or is no checkpoint.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        with warnings.catch_warnings(action="ignore"):  # of pickles in a form that is refused anyway
            content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError):
        raise InputError(
            f"{path}: not a readable checkpoint (damaged, or it holds more than weights and plain types)"
        ) from None
    keys = {"format", "config", "labels", "model", "training"}
    if not isinstance(content, dict) or not keys <= content.keys() or content["format"] != FORMAT:
        raise InputError(f"{path}: not a checkpoint of accentlib (format {FORMAT})")
    return content


def load_model(path: str | Path) -> AccentNet:
    """The model of a checkpoint, on the CPU and in evaluation mode.

    Raises InputError if the checkpoint is not readable or its weights do not fit its configuration.
    """
    content = read_checkpoint(path)
    model = AccentNet(Config.from_dict(content["config"]), content["labels"])
    load_weights(model, content["model"], name=str(path))
    return model.eval()


def load_weights(model: AccentNet, weights: dict[str, torch.Tensor], *, name: str) -> None:
    """Put weights into a model.

    Raises InputError if they are of another shape; both shapes are named.
    """
    wanted = model.state_dict()
    for key in dict.fromkeys([*wanted, *weights]):
        here = tuple(wanted[key].shape) if key in wanted else "no such weight"
        there = tuple(weights[key].shape) if key in weights else "no such weight"
        if here != there:
            raise InputError(f"{name}: {key} is {there} in the checkpoint and {here} in the model")
    model.load_state_dict(weights)
