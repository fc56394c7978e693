"""Checkpoints of plain types, written whole or not at all, read without running code."""

import argparse
import warnings
import zipfile
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any

import torch

from .config import Config, InputError
from .files import is_file, replacing
from .model import AccentNet, empty_model, load_weights
from .published import from_published, published_training

FORMAT = 1
CALIBRATION = {"temperature": (1e-3, 1e3), "window_gain": (0, 1), "unsure_below": (0, 1)}  # from, to
MODELS = resources.files(__package__) / "models"
SHIPPED = MODELS / "real_speech.pt"
NAMED = {"real_speech": SHIPPED, "accents_mini": MODELS / "accents_mini.pt"}


def save_checkpoint(path: str | Path, model: AccentNet, training: dict[str, Any] | None = None) -> None:
    """Write a model, and what training needs to go on, to one file.

    Parameters
    ----------
    path : str or Path
        Written under a temporary name, then renamed: a reader never sees half a file.
    model : AccentNet
        Its weights, configuration, label names, calibration and the fingerprints of its training clips are stored.
    training : dict, optional
        Optimizer, counters and random states, of plain types and tensors.
    """
    content = {
        "format": FORMAT,
        "config": model.config.to_dict(),
        "labels": model.labels,
        "sounds": model.sounds,
        "calibration": _calibration_of(model),
        "trained_on": None if model.trained_on is None else torch.tensor(sorted(model.trained_on)),
        "model": model.state_dict(),
        "training": training,
    }
    _write(path, content)


def _write(path: str | Path, content: dict[str, Any]) -> None:
    buffer = BytesIO()  # onto a full disk PyTorch would write with an error that does not say so
    torch.save(content, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def _calibration_of(model: AccentNet) -> dict[str, float]:
    return {name: getattr(model, name) for name in CALIBRATION}


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint, on the CPU.

    Raises InputError if the file is missing, damaged, holds more than plain types, or is no checkpoint.
    """
    return _check_format(_load_plain(Path(path)), path)


def read_training(path: str | Path) -> dict[str, Any]:
    """What training goes on from: a checkpoint, which may be a published ``.chkpt``.

    Raises InputError as :func:`read_checkpoint`, or if a published one does not hold what its settings say.
    """
    content = _load_plain(Path(path))
    if not _is_published(content):
        return _check_format(content, path)
    try:
        return published_training(content)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _is_published(content: dict[str, Any]) -> bool:
    return isinstance(content.get("settings"), argparse.Namespace) and isinstance(content.get("model"), dict)


def _check_format(content: dict[str, Any], path: str | Path) -> dict[str, Any]:
    kinds = {"format": int, "config": dict, "labels": list, "sounds": list, "model": dict}
    whole = {"sounds": []} | content  # older than sounds are
    fits = {"training"} <= whole.keys() and all(isinstance(whole.get(k), kind) for k, kind in kinds.items())
    if not fits or content["format"] != FORMAT:
        raise InputError(f"{path}: not a checkpoint of accentlib (format {FORMAT})")
    names = [*whole["labels"], *whole["sounds"], *whole["config"], *whole["model"]]
    if not whole["labels"] or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: damaged (its labels, sounds, options and weights have no names)")
    if not all(isinstance(weight, torch.Tensor) for weight in whole["model"].values()):
        raise InputError(f"{path}: damaged (its weights are no tensors)")
    return content


def _load_plain(path: Path) -> dict[str, Any]:
    """A dict of weights and plain types; of classes, only the namespace of published settings is made."""
    if path.is_dir():
        raise InputError(f"{path}: a folder; the model of a run is best.pt in it")
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # of pickles in a form that is refused anyway
            torch.serialization.safe_globals([argparse.Namespace]),
        ):
            content = torch.load(path, map_location="cpu", weights_only=True)
            if zipfile.is_zipfile(path):  # PyTorch checks no sums
                with zipfile.ZipFile(path) as archive:
                    assert archive.testzip() is None
    except Exception:  # a damaged file can raise nearly anything
        raise InputError(
            f"{path}: not a readable checkpoint (damaged, or it holds more than weights and plain types)"
        ) from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a checkpoint (it holds a {type(content).__name__})")
    return content


def load_model(path: str | Path = SHIPPED) -> AccentNet:
    """The model of a checkpoint, by default the one that hears real people, on the CPU and in evaluation mode.

    Parameters
    ----------
    path : str or Path
        A ``.pt`` of a run, a ``.chkpt`` of the published trainer, or, where no file is called so, the name of a
        model that comes with the package: ``real_speech`` or ``accents_mini``.

    Raises
    ------
    InputError
        If the checkpoint is not readable or its weights do not fit its configuration.
    """
    named = NAMED.get(str(path))
    content = _load_plain(named if named and not is_file(path) else Path(path))
    if _is_published(content):
        try:
            return from_published(content["model"], vars(content["settings"]))
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
    content = _check_format(content, path)
    model = empty_model(Config.from_dict(content["config"]), content["labels"], content.get("sounds", ()))
    load_weights(model, content["model"], name=str(path))
    for name, value in _calibration(content, path).items():
        setattr(model, name, value)
    model.trained_on = trained_on(content)
    return model.eval()


def trained_on(content: dict[str, Any]) -> frozenset[int] | None:
    """The fingerprints (:func:`accentlib.files.fingerprint`) of a checkpoint's training clips; None if it is older."""
    noted = content.get("trained_on")
    return frozenset(noted.tolist()) if isinstance(noted, torch.Tensor) and noted.ndim == 1 else None


def _calibration(content: dict[str, Any], path: str | Path) -> dict[str, float]:
    """The calibration of a checkpoint; empty where it is older than calibration is."""
    if "calibration" not in content:
        return {}
    calibration = content["calibration"]
    if isinstance(calibration, dict):
        numbers = {name: calibration.get(name) for name in CALIBRATION}
        if all(
            type(x) in (int, float) and low <= x <= high
            for x, (low, high) in zip(numbers.values(), CALIBRATION.values(), strict=True)
        ):
            return numbers
    raise InputError(f"{path}: its calibration {calibration!r:.200} cannot be used")


def save_calibrated(path: str | Path, model: AccentNet) -> None:
    """Write a model's calibration into its checkpoint; what else is in it stays."""
    _write(path, read_checkpoint(path) | {"calibration": _calibration_of(model)})
