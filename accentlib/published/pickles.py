"""Pickles of the published trainer, read without running code: features and configurations."""

import json
import pickle
import pickletools
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ..config import FEATURE_FIELDS, Config, InputError, current_names, reason
from ..files import is_file, replacing

MARK = b"\naccentlib features "  # begins the note behind the pickle, where other readers do not look
TAIL = 4096  # bytes at the end of the file in which to look for the mark
ALLOWED = {  # what rebuilds NumPy arrays
    ("numpy", "ndarray"), ("numpy", "dtype"), ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"), ("numpy._core.numeric", "_frombuffer"),
}  # fmt: skip


class PlainUnpickler(pickle.Unpickler):
    """Load NumPy arrays and plain containers, strings and numbers, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        module = module.replace("numpy.core", "numpy._core")  # renamed in NumPy 2
        if (module, name) == ("_codecs", "encode"):
            return str.encode  # of bytes up to protocol 2; codecs.encode would convert to more than bytes
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it holds a {module}.{name}")
        return super().find_class(module, name)


def read_pickle(path: str | Path) -> Any:
    """Content of a pickle, such as a run's ``config.pkl``. Raises InputError if its types are not plain."""
    if not is_file(path):
        raise InputError(f"{path}: no such file")
    content = Path(path).read_bytes()
    try:
        for code, number, _ in pickletools.genops(content):
            # The unpickler takes memory for all memo indices up to this one.
            if code.name in ("PUT", "LONG_BINPUT") and (number or 0) > len(content):
                raise pickle.UnpicklingError(f"memo index {number}")
        return PlainUnpickler(BytesIO(content)).load()
    except Exception as why:  # a damaged pickle can raise nearly anything
        raise InputError(f"{path}: not a pickle of arrays and plain types alone ({reason(why)})") from None


def write_features(path: str | Path, log_mels: np.ndarray, made: dict[str, Any]) -> None:
    """Pickle log-mels ``(frames, mels)`` as published, transposed, and append how they were ``made``."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        pickle.dump(np.ascontiguousarray(log_mels.T), file, protocol=4)
        file.write(MARK + json.dumps(made).encode())


def read_made(path: str | Path) -> dict[str, Any]:
    """Note on how a feature file was made, as stored; empty if there is none (the published extractor's)."""
    with Path(path).open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - TAIL))
        _, mark, note = file.read().rpartition(MARK)
    try:
        return dict(json.loads(note)) if mark else {}
    except (TypeError, ValueError, RecursionError):  # damaged
        return {}


def read_made_with(path: str | Path, config: Config) -> np.ndarray:
    """Log-mels ``(frames, n_mels)``, float32, of ``(mels, frames)`` in a pickle, or in its ``features``."""
    content = read_pickle(path)
    if isinstance(content, dict) and "features" not in content:
        raise InputError(f"{path}: a dict without the key 'features'")
    content = content["features"] if isinstance(content, dict) else content
    if not isinstance(content, np.ndarray) or content.dtype.kind not in "fiu":
        raise InputError(f"{path}: holds no array of numbers")
    if content.ndim != 2 or content.shape[0] != config.n_mels or content.shape[1] == 0:
        raise InputError(f"{path}: an array of {content.shape}, not of ({config.n_mels} mels, frames)")
    with np.errstate(over="ignore"):
        log_mels = np.ascontiguousarray(content.T, dtype=np.float32)
    if not np.isfinite(log_mels).all():  # after the cast: float64 holds more than float32
        raise InputError(f"{path}: contains values that are not numbers (NaN or infinite)")
    made = current_names(read_made(path))
    for name in FEATURE_FIELDS:
        if name in made and getattr(config, name) not in (0, made[name]):
            raise InputError(f"{path}: was made with {name} {made[name]}, not {getattr(config, name)}")
    return log_mels
