"""Files written whole or not at all, and tables read as text."""

import csv
import glob
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from .config import InputError, reason

if TYPE_CHECKING:  # `accentlib --help` does not wait for pandas
    import pandas as pd

# W3C Media Fragments 1.0: "interview.wav#t=12.5,14" is a segment of that file, from and to s
SEGMENT = re.compile(r"#t=(\d+\.?\d*),(\d+\.?\d*)$")
SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # first bytes of .xlsx and .ods, and of .xls


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path to write to, and rename it to ``path`` on success: never half a file."""
    path = Path(path)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    with naming(path):
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def remove_leftovers(path: str | Path) -> None:
    """Delete the temporary files of processes that were killed while :func:`replacing` ``path``."""
    path = Path(path)
    for left in path.parent.glob(f"{glob.escape(path.name)}.*.tmp"):
        if left.name.removeprefix(f"{path.name}.").removesuffix(".tmp").isdecimal():
            left.unlink()


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Name ``path`` in an OSError that names no file, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def is_file(path: str | Path) -> bool:
    """Whether there is such a file; False for what cannot be a path (too long, with a NUL)."""
    return os.path.isfile(path)  # noqa: PTH113  pathlib's raises


def file_and_segment(path: str | Path) -> tuple[str, tuple[float, float] | None]:
    """The file of a path, and the times (s) of its segment, None if the path is the whole file's."""
    if found := SEGMENT.search(str(path)):
        return str(path)[: found.start()], (float(found[1]), float(found[2]))
    return str(path), None


def segment_path(path: str | Path, start: float, end: float) -> str:
    """The path of a segment (s) of a file, which :func:`file_and_segment` takes apart."""
    return f"{path}#t={start:.3f},{end:.3f}"


def fingerprint(path: str | Path) -> int:
    """A hash of a file's size, the 4 kB in its middle and its segment; 0 if it is unreadable."""
    path, segment = file_and_segment(path)
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  pathlib's takes twice as long
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size // 2 - 2048))
            content = f"{size}\n{segment or ''}".encode() + file.read(4096)
            digest = hashlib.blake2b(content, digest_size=8).digest()
    except (OSError, ValueError):  # ValueError: a NUL in its name
        return 0
    return int.from_bytes(digest, "big", signed=True)


def write_table(path: str | Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV, whole or not at all."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def read_table(file: str | Path, *, separators: str = ",;\t|") -> "pd.DataFrame":
    """Read a CSV table of strings, separated by what its first line has most of; "NA" may be a name, too.
    Raises InputError if the file is missing or cannot be read."""
    import pandas as pd

    file = Path(file)
    if not file.is_file():
        raise InputError(f"{file}: {'a folder; give the table in it' if file.is_dir() else 'no such file'}")
    with file.open("rb") as content:
        if content.read(8).startswith(SPREADSHEETS):
            raise InputError(f"{file}: a spreadsheet; save it as CSV in UTF-8, and give that")
    try:
        with file.open(encoding="utf-8-sig") as lines:
            first = lines.readline()
        separator = max(separators, key=first.count)
        # A tab-separated table (Common Voice's) has lone quotation marks in its texts.
        quoting = csv.QUOTE_NONE if separator == "\t" else csv.QUOTE_MINIMAL
        options = {"quoting": quoting, "dtype": str, "keep_default_na": False, "encoding": "utf-8-sig"}
        table = pd.read_csv(file, sep=separator, **options)
        return table.reset_index(drop=True)  # rows that are too long make an index
    except UnicodeDecodeError:
        raise InputError(f"{file}: not readable as a CSV table (not in UTF-8; save it as that)") from None
    except ValueError as error:  # pandas' ParserError and EmptyDataError are ValueErrors
        raise InputError(f"{file}: not readable as a CSV table ({reason(error)})") from None
