"""Pickles as the published trainer keeps them, read without running code: features and configurations."""

import codecs
import json
import pickle
import pickletools
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ..config import FEATURE_FIELDS, Config, InputError, current_names, reason
from ..files import is_file, replacing

MARK = b"\naccentlib features "  # begins the line behind the array that says how it was made
TAIL = 4096  # bytes at the end in which that line is looked for


class PlainUnpickler(pickle.Unpickler):
    """Admits NumPy arrays and plain containers, strings and numbers, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """The few functions that NumPy arrays are rebuilt with; their names changed with NumPy 2."""
        module = module.replace("numpy.core", "numpy._core")
        if (module, name) == ("_codecs", "encode"):  # bytes, in pickles of protocol 2 and below
            return _latin1
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it holds a {module}.{name}")
        return ALLOWED[module, name]


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it holds text encoded as {encoding!r}")
    return codecs.encode(text, encoding)


ALLOWED = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy._core.multiarray", "_reconstruct"): np._core.multiarray._reconstruct,
    ("numpy._core.multiarray", "scalar"): np._core.multiarray.scalar,
    ("numpy._core.numeric", "_frombuffer"): np._core.numeric._frombuffer,
}


def read_pickle(path: str | Path) -> Any:
    """What a pickle of plain types holds, such as the ``config.pkl`` of a training run.

    Raises InputError if the file is missing, damaged, or holds other types.
    """
    path = Path(path)
    if not is_file(path):
        raise InputError(f"{path}: no such file")
    with path.open("rb") as file:
        content = file.read()
        try:
            _check_notes(content)
            return PlainUnpickler(BytesIO(content)).load()
        except Exception as error:  # a damaged pickle can raise nearly anything
            raise InputError(
                f"{path}: not a pickle of arrays and plain types alone ({reason(error)})"
            ) from None


def _check_notes(content: bytes) -> None:
    """Refuse a pickle that numbers its notes beyond its own bytes: memory would be taken for all numbers up to it."""
    for code, number, _ in pickletools.genops(content):
        if code.name in ("PUT", "LONG_BINPUT") and number > len(content):
            raise pickle.UnpicklingError(f"a note numbered {number}")


def read_features(path: str | Path, n_mels: int = 80) -> np.ndarray:
    """Log-mels of a feature file, in either published layout.

    An array ``(mels, frames)``, or a dict that holds it under ``features``.

    Returns
    -------
    np.ndarray
        ``(frames, mels)``, float32, before normalisation.

    Raises InputError if the file is missing, damaged, or holds something else.
    """
    content = read_pickle(path)
    if isinstance(content, dict):
        if "features" not in content:
            raise InputError(f"{path}: a dict without the key 'features'")
        content = content["features"]
    if not isinstance(content, np.ndarray) or content.dtype.kind not in "fiu":
        raise InputError(f"{path}: holds no array of numbers")
    if content.ndim != 2 or content.shape[0] != n_mels or content.shape[1] == 0:
        raise InputError(f"{path}: an array of {content.shape}, not of ({n_mels} mels, frames)")
    with np.errstate(over="ignore"):
        log_mels = np.ascontiguousarray(content.T, dtype=np.float32)
    if not np.isfinite(log_mels).all():  # after the cast: float64 holds more than float32
        raise InputError(f"{path}: contains values that are not numbers (NaN or infinite)")
    return log_mels


def holds_features(path: str | Path) -> bool:
    """Whether a pickle holds an array ``(mels, frames)`` in either published layout, whatever its numbers.

    Raises InputError if it is damaged, or holds other types.
    """
    content = read_pickle(path)
    content = content.get("features") if isinstance(content, dict) else content
    return isinstance(content, np.ndarray) and content.ndim == 2


def write_features(path: str | Path, log_mels: np.ndarray, made: dict[str, Any]) -> None:
    """Write log-mels ``(frames, mels)`` as the published extractor does: a pickled array ``(mels, frames)``.

    How it was made stands in a line behind the pickle, where readers of pickles no longer look.
    """
    with replacing(path) as temporary, temporary.open("wb") as file:
        pickle.dump(np.ascontiguousarray(log_mels.T), file, protocol=4)
        file.write(MARK + json.dumps(made).encode())


def read_made(path: str | Path) -> dict[str, Any]:
    """How a feature file was made; an empty dict where it does not say (the published extractor's do not)."""
    with Path(path).open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL))
        tail = file.read()
    if MARK not in tail:
        return {}
    try:
        return json.loads(tail[tail.rindex(MARK) + len(MARK) :])
    except ValueError:
        return {}


def read_made_with(path: str | Path, config: Config) -> np.ndarray:
    """Log-mels ``(frames, n_mels)`` of a feature file.

    Raises InputError as :func:`read_features`, or if the file says that it was made with other settings.
    """
    log_mels, made = read_features(path, config.n_mels), current_names(read_made(path))
    for name in FEATURE_FIELDS:
        if name in made and getattr(config, name) not in (0, made[name]):
            raise InputError(f"{path}: was made with {name} {made[name]}, not {getattr(config, name)}")
    return log_mels
