"""Checkpoints of plain types, written whole or not at all, and read without running code."""

import dataclasses
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Iterable, Sequence
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from ..config import Config, InputError, reason
from ..files import fingerprint, is_file, replacing
from .accent_net import AccentNet, Calibration, Familiar
from .ensemble import Ensemble

RANGES = {"temperature": (1e-3, 1e3), "window_gain": (0, 1), "unsure_below": (0, 1)}  # of a Calibration
MODELS = Path(str(resources.files("accentlib"))) / "models"
SHIPPED = MODELS / "real_speech.pt"
NAMED = {name: MODELS / f"{name}.pt" for name in ("real_speech", "accents_mini", "accents_mini_phones")}


class _Undrawn(TorchFunctionMode):
    """Skip ``normal_`` on the meta device: it would import torch's compiler (2 s)."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        return args[0] if func is torch.Tensor.normal_ else func(*args, **(kwargs or {}))


def empty_model(config: Config, labels: list[str], phones: Sequence[str] = ()) -> AccentNet:
    """A model for :func:`load_weights`, on the meta device. Raises InputError for sizes beyond any memory."""
    try:
        with torch.device("meta"), _Undrawn():
            return AccentNet(config, labels, phones)
    except (RuntimeError, TypeError, ValueError, OverflowError) as error:
        raise InputError(f"no model has such sizes ({reason(error)})") from None


def load_weights(model: AccentNet, weights: dict[str, torch.Tensor], *, name: str) -> None:
    """Put weights into a model. Raises InputError, which calls them ``name``, if a shape differs."""
    shapes = [{k: tuple(w.shape) for k, w in of.items()} for of in (model.state_dict(), weights)]
    for key in dict.fromkeys([*shapes[0], *shapes[1]]):
        here, there = (of.get(key, "no such weight") for of in shapes)
        if here != there:
            raise InputError(f"{name}: {key} is {there} in the checkpoint and {here} in the model")
    meta = next(model.parameters()).is_meta  # then the model takes the file's own tensors
    types = {name: own.dtype for name, own in model.state_dict().items()}
    model.load_state_dict({name: x.to(types[name]) for name, x in weights.items()}, assign=meta)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not in its stubs


def save_checkpoint(path: str | Path, model: AccentNet, training: dict[str, Any] | None = None) -> None:
    """Write a model, with calibration and fingerprints of its training clips, to one file.
    ``training`` is the state to resume from: optimizer, counters, random states, as plain types and tensors.
    """
    clips = None if model.trained_on is None else torch.tensor(sorted(model.trained_on))
    content = {
        "format": 1, "config": model.config.to_dict(), "labels": model.labels, "phones": model.phones,
        "trained_on": clips, "model": model.state_dict(), "training": training,
    }  # fmt: skip
    _write(path, content | _fitted(model))


def save_calibrated(path: str | Path, model: AccentNet) -> None:
    """Write a model's calibration, and what is familiar to it, into its checkpoint; the rest stays."""
    _write(path, read_checkpoint(path) | _fitted(model))


def _fitted(model: AccentNet) -> dict[str, Any]:
    familiar = None if model.familiar is None else model.familiar._asdict()
    return {"calibration": dataclasses.asdict(model.calibration), "familiar": familiar}


def _write(path: str | Path, content: dict[str, Any]) -> None:
    buffer = BytesIO()  # PyTorch's own error on a full disk does not say that it is full
    torch.save(content, buffer)
    with replacing(path) as temporary:
        temporary.write_bytes(buffer.getbuffer())


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Content of a checkpoint, on the CPU. Raises InputError if it is missing, damaged or not plain."""
    return _check_format(_load_plain(Path(path)), path)


def read_training(path: str | Path) -> dict[str, Any]:
    """As :func:`read_checkpoint`, also for a published ``.chkpt``, which must agree with its settings."""
    content = _load_plain(Path(path))
    return _published(content, path, training=True) or _check_format(content, path)


def _published(content: dict[str, Any], path: str | Path, *, training: bool) -> Any:
    """The model or the training state of a published checkpoint; None if the content is not of one."""
    settings, weights = content.get("settings"), content.get("model")
    if not isinstance(settings, Namespace) or not isinstance(weights, dict):
        return None
    from ..published.weights import from_published, published_training

    try:
        return published_training(content) if training else from_published(weights, vars(settings))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _check_format(content: dict[str, Any], path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint under the names of this version."""
    kinds = {"format": int, "config": dict, "labels": list, "phones": list, "model": dict, "training": object}
    content = {"phones": content.get("sounds", []), **content}  # their name until version 0.1
    fits = kinds.keys() <= content.keys() and all(isinstance(content[k], of) for k, of in kinds.items())
    if not fits or content["format"] != 1:
        raise InputError(f"{path}: not a checkpoint of accentlib (format 1)")
    names = [*content["labels"], *content["phones"], *content["config"], *content["model"]]
    tensors = all(isinstance(weight, torch.Tensor) for weight in content["model"].values())
    if not content["labels"] or not tensors or not all(isinstance(name, str) for name in names):
        raise InputError(f"{path}: damaged (labels, options or weights are missing or of the wrong type)")
    return {name: _renamed(value) for name, value in content.items()}


def _renamed(value: Any) -> Any:
    """Weights of version 0.1, at any depth of a checkpoint, under the names of this one."""
    if not isinstance(value, dict):
        return value
    new = {name: name.replace("sound_layer.", "phone_layer.") for name in value if isinstance(name, str)}
    return {new.get(name, name): _renamed(of) for name, of in value.items()}


def _load_plain(path: Path) -> dict[str, Any]:
    """A dict of weights and plain types; the only class allowed is the namespace of published settings."""
    if path.is_dir():
        raise InputError(f"{path}: a folder; the model of a run is best.pt in it")
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        # warnings are about pickle formats that are refused anyway
        with warnings.catch_warnings(action="ignore"), torch.serialization.safe_globals([Namespace]):
            content = torch.load(path, map_location="cpu", weights_only=True)
            if zipfile.is_zipfile(path):  # PyTorch checks no sums
                with zipfile.ZipFile(path) as archive:
                    assert archive.testzip() is None
    except Exception:  # a damaged file can raise nearly anything
        what = "not a readable checkpoint (damaged, or it holds more than weights and plain types)"
        raise InputError(f"{path}: {what}") from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: not a checkpoint (it holds a {type(content).__name__})")
    return content


def load_model(path: str | Path = SHIPPED) -> AccentNet:
    """The model of a checkpoint, on the CPU and in evaluation mode.
    ``path`` is a ``.pt`` of a run, a published ``.chkpt``, or, where no file has that name, a model of the
    package: ``real_speech`` (the default), ``accents_mini`` or ``accents_mini_phones``. Raises InputError if
    it is unreadable, or its weights do not fit its configuration."""
    named = NAMED.get(str(path))
    content = _load_plain(named if named and not is_file(path) else Path(path))
    if (published := _published(content, path, training=False)) is not None:
        return published
    content = _check_format(content, path)
    settings = Config.from_dict(content["config"]), content["labels"], content["phones"]
    of_ensemble = {name.split(".")[1] for name in content["model"] if name.startswith("networks.")}
    model = Ensemble([empty_model(*settings) for _ in of_ensemble]) if of_ensemble else empty_model(*settings)
    load_weights(model, content["model"], name=str(path))
    if "calibration" in content:  # early ones have none
        model.calibration = _calibration(content["calibration"], path)
    if content.get("familiar") is not None:  # early ones have none
        model.familiar = _familiar(content["familiar"], model.size * model.config.encoder_size, path)
    model.trained_on = trained_on(content)
    return model.eval()


def _familiar(stored: Any, values: int, path: str | Path) -> Familiar:
    try:
        familiar = Familiar(**{name: x.float() for name, x in stored.items()})
        components = len(familiar.variances)
        lengths = familiar.usual.shape[-1]
        shapes = [(values,), (values,), (components, values), (components,), (), (2, lengths), ()]
        assert [tuple(x.shape) for x in familiar] == shapes and all(x.isfinite().all() for x in familiar)
    except (TypeError, AttributeError, AssertionError):
        raise InputError(f"{path}: damaged (what is familiar to it cannot be used)") from None
    return familiar


def _calibration(stored: Any, path: str | Path) -> Calibration:
    numbers: dict[str, Any] = {name: stored.get(name) for name in RANGES} if isinstance(stored, dict) else {}
    fits = [type(x) in (int, float) and RANGES[n][0] <= x <= RANGES[n][1] for n, x in numbers.items()]
    if fits and all(fits):
        return Calibration(**numbers)
    raise InputError(f"{path}: its calibration {stored!r:.200} cannot be used")


def trained_on(content: dict[str, Any]) -> frozenset[int] | None:
    """Fingerprints of a checkpoint's training clips; None if it does not store them."""
    clips = content.get("trained_on")
    return frozenset(clips.tolist()) if isinstance(clips, torch.Tensor) and clips.ndim == 1 else None


def known_clips(model: AccentNet, paths: Iterable[str]) -> int | None:
    """How many of these files the model was trained on; None if it does not know."""
    known = model.trained_on
    return None if known is None else sum(fingerprint(path) in known for path in paths)
