"""Files that are written whole or not at all."""

import glob
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary name beside ``path`` to write under; on success it is renamed to ``path``.

    So a reader sees the old file or the new one, never half of one, even if the writer is killed. The name is this
    process's own, for another one may be writing the same file.
    """
    path = Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with naming(path):
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def remove_leftovers(path: str | Path) -> None:
    """Delete what processes that were killed while :func:`replacing` ``path`` left of it."""
    path = Path(path)
    for left in path.parent.glob(f"{glob.escape(path.name)}.*.tmp"):
        if left.name.removeprefix(f"{path.name}.").removesuffix(".tmp").isdecimal():
            left.unlink()


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Let an OSError that names no file, such as that of a full disk, name this one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def is_file(path: str | Path) -> bool:
    """Whether there is such a file; False, too, of what cannot be a path (too long, with a NUL)."""
    return os.path.isfile(path)  # noqa: PTH113  pathlib's raises


def fingerprint(path: str | Path) -> int:
    """A number for a file's content, by its size and the 4 kB in its middle, wherever it lies; 0 if it is unreadable."""
    try:
        with Path(path).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size // 2 - 2048))
            digest = hashlib.blake2b(f"{size}\n".encode() + file.read(4096), digest_size=8).digest()
    except (OSError, ValueError):  # ValueError: a NUL in its name
        return 0
    return int.from_bytes(digest, signed=True)


def write_table(path: str | Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV, whole or not at all."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)
