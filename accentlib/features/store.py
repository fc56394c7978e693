"""The log-mels of a whole corpus in one memory-mapped file, computed once.

The format is NumPy's own ``.npy``, for NumPy maps it without copying, every tool reads it, and its header
leaves room for an array to grow by rows.
"""

import json
import mmap
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from ..config import Config, InputError
from ..files import is_file, naming
from .audio import AUDIO_SUFFIXES, native_rate
from .log_mel import file_log_mel, made_with
from .parallel import on_all_cores

LET_GO = 256  # clips after which what was read is left to the page cache
HEADER = 128  # bytes that NumPy gives the header of such an array, whatever its length


def clip_ids(table: pd.DataFrame) -> list[str]:
    """What the clips of a table are keyed by, everywhere: its column ``id``, or else their paths."""
    return list(table["id" if "id" in table else "path"])


class FeatureStore:
    """Log-mels, before normalisation, of the clips of a corpus. Open one with :func:`open_store`.

    A folder with ``log_mel.npy`` (``(all frames, n_mels)``, float32) and ``clips.jsonl``: what the features
    were made with, then a line a clip: path, size and change time of its file, first frame, frames, and
    what is wrong with it. Both only grow: a clip that changed is added again, and its last line counts.
    """

    def __init__(self, folder: Path, features: dict, clips: dict[str, list]):
        self.folder, self.n_mels = folder, features["n_mels"]
        self.problems: dict[str, str] = {path: clip[-1] for path, clip in clips.items() if clip[-1]}
        self._place = {path: (clip[2], clip[3]) for path, clip in clips.items() if not clip[-1]}
        self._open()

    def _open(self) -> None:
        rows = max(start + frames for start, frames in self._place.values())
        with (self.folder / "log_mel.npy").open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        data = np.frombuffer(self._map, np.float32, rows * self.n_mels, HEADER)
        self._data = data.reshape(rows, self.n_mels)
        self._reads = 0

    def __getstate__(self) -> dict:
        return {name: value for name, value in vars(self).items() if name not in ("_map", "_data")}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._open()  # in a loader's process: mapped there too, and not copied

    def __contains__(self, path: str) -> bool:
        return path in self._place

    def __getitem__(self, path: str) -> np.ndarray:
        """The log-mels of one clip, ``(frames, n_mels)``, read-only; nothing is read before it is used."""
        self._reads += 1
        if self._reads % LET_GO == 0 and hasattr(self._map, "madvise"):  # not on Windows
            # else all that was ever read counts as this process's memory, and batch systems stop it for that
            self._map.madvise(mmap.MADV_DONTNEED)
        start, frames = self._place[path]
        return self._data[start : start + frames]

    def keep(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a corpus whose clips could be read."""
        return table[[path in self for path in table["path"]]].reset_index(drop=True)


def try_log_mel(config: Config, path: str) -> np.ndarray | str:
    """:func:`file_log_mel`, or the line that says what is wrong with the file."""
    try:
        return file_log_mel(path, config)
    except InputError as error:
        return str(error)


def log_mels_of_files(
    paths: list[str], config: Config, *, progress: str | None = None, scheduler: str = ""
) -> Iterator[np.ndarray | str]:
    """Yield log-mels (or the line that says what is wrong) of each file, in order, on all cores (or a cluster)."""
    return on_all_cores(partial(try_log_mel, config), paths, progress=progress, scheduler=scheduler)


def open_store(
    table: pd.DataFrame, folder: str | Path, config: Config, *, scheduler: str = ""
) -> FeatureStore:
    """Compute the features of a corpus; what is there already and still true is kept.

    So an interrupted run goes on where it was, and a corpus that has grown costs what is new in it.

    Parameters
    ----------
    table : pandas.DataFrame
        A corpus (:func:`accentlib.corpora.table.read_corpus`).
    folder : str or Path
        Where the store is, or is made.
    config : Config
        Its ``sample_rate`` must be set. With other numbers than the store's, it is made anew.
    scheduler : str
        A Dask cluster that computes (:func:`accentlib.features.parallel.on_all_cores`); this process writes.

    Returns
    -------
    FeatureStore
        Its ``problems`` names the files that could not be read, with the reason.

    Raises InputError if no file could be read.
    """
    folder, features = Path(folder), made_with(config)
    wanted = {path: file_stamp(path) for path in table["path"]}  # a label file may name one more than once
    clips, _ = read_index(folder, features)
    if not all(path in clips and clips[path][:2] == stamp for path, stamp in wanted.items()):
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            clips = add_clips(folder, wanted, config, scheduler)
    clips = {path: clips[path] for path in wanted}
    if all(clip[-1] for clip in clips.values()):
        raise InputError(f"no clip could be read; the first: {next(iter(clips.values()))[-1]}")
    return FeatureStore(folder, features, clips)


def _alone(folder: Path) -> AbstractContextManager:
    """Wait until no other process writes in the folder."""
    lock = FileLock(folder / "lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        print(f"{folder}: another process makes features there; waiting for it", file=sys.stderr)
        return lock.acquire()


def add_clips(
    folder: Path, wanted: dict[str, list[int]], config: Config, scheduler: str = ""
) -> dict[str, list]:
    """Compute what is not there, and append it; the index of all clips.

    Killed at any moment, it leaves whole clips with their lines, and perhaps the start of another one,
    which is cut off the next time.
    """
    features = made_with(config)
    clips, good = read_index(folder, features)
    data_file, index_file = folder / "log_mel.npy", folder / "clips.jsonl"
    if not good:
        data_file.unlink(missing_ok=True)  # another store may be open on it: not written over
        data_file.write_bytes(_header(0, config.n_mels))
        good = json.dumps({"features": features}) + "\n"
        index_file.write_text(good, encoding="utf-8")
    os.truncate(index_file, len(good.encode()))
    rows = max((clip[2] + clip[3] for clip in clips.values()), default=0)
    os.truncate(data_file, HEADER + rows * 4 * config.n_mels)
    missing = [path for path, stamp in wanted.items() if path not in clips or clips[path][:2] != stamp]
    with (
        naming(data_file),
        data_file.open("r+b") as data,
        index_file.open("a", encoding="utf-8", buffering=1) as index,
    ):
        data.seek(0, os.SEEK_END)
        results = log_mels_of_files(missing, config, progress="features", scheduler=scheduler)
        for path, result in zip(missing, results, strict=True):
            problem, frames = (result, 0) if isinstance(result, str) else ("", len(result))
            if frames:
                data.write(np.ascontiguousarray(result, np.float32))
                data.flush()  # before its line: a line promises what is there
            clips[path] = [*wanted[path], rows, frames, problem]
            index.write(json.dumps([path, *clips[path]]) + "\n")
            rows += frames
        data.seek(0)
        data.write(_header(rows, config.n_mels))
    return clips


def read_index(folder: Path, features: dict) -> tuple[dict[str, list], str]:
    """What a store holds: each clip's size, change time, first frame, frames and problem, by path.

    Returns
    -------
    clips : dict
        Empty where there is no store, or one of other features.
    good : str
        The text of the index as far as it can be trusted: whole lines, whose frames are there.
    """
    try:
        text = (folder / "clips.jsonl").read_text(encoding="utf-8")
        rows = ((folder / "log_mel.npy").stat().st_size - HEADER) // (4 * features["n_mels"])
    except (OSError, UnicodeDecodeError):
        return {}, ""
    lines = text.splitlines(keepends=True)
    if not lines or lines[0] != json.dumps({"features": features}) + "\n":
        return {}, ""
    clips: dict[str, list] = {}
    good = 1
    for line in lines[1:]:
        clip = _parsed(line)
        if clip is None or clip[3] + clip[4] > rows:
            break
        clips[clip[0]] = clip[1:]
        good += 1
    return clips, "".join(lines[:good])


def _parsed(line: str) -> list[Any] | None:
    """A line of the index: path, size, change time, first frame, frames, problem; or None if it is damaged."""
    try:
        clip = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(clip, list) and [type(x) for x in clip] == [str, int, int, int, int, str]
    return clip if whole and line.endswith("\n") and min(clip[1:5]) >= 0 else None


def _header(rows: int, n_mels: int) -> bytes:
    """The header of a ``.npy`` file of so many rows."""
    header = BytesIO()
    about = {"descr": "<f4", "fortran_order": False, "shape": (rows, n_mels)}
    np.lib.format.write_array_header_1_0(header, about)
    assert len(header.getvalue()) == HEADER
    return header.getvalue()


def file_stamp(path: str | Path) -> list[int]:
    """Size and change time (ns) of a file, zeros where there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a NUL in it
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def corpus_sample_rate(paths: list[str]) -> int:
    """The rate (Hz) at which a corpus is used: 16 kHz, or 8 kHz where most of its recordings have less.

    Feature files keep the rate of most of them, as published; 0 where none says its own.

    Raises InputError if none of them can be read.
    """
    rates: Counter[tuple[bool, int]] = Counter()
    for path in paths:
        features = path.endswith(".pickle")
        try:
            rates[features, feature_rate(path) if features else native_rate(path)] += 1
        except (InputError, OSError):
            continue  # named when its features are computed
    if not rates:
        raise InputError(f"none of the {len(paths)} audio files can be read, {paths[0]} the first")
    (features, rate), _ = rates.most_common(1)[0]
    return rate if features else 16_000 if rate >= 16_000 else 8_000


def feature_rate(path: str) -> int:
    """The rate (Hz) of the audio that a feature file was made from; 0 if nothing says it."""
    audio = audio_beside(path)
    from ..published.pickles import read_made  # only for a published feature file

    return read_made(path).get("sample_rate") or (native_rate(audio) if audio else 0)


def audio_beside(path: str) -> str | None:
    """The audio file beside a feature file, of the same name; an audio file is its own."""
    if not path.endswith(".pickle"):
        return path
    stem = path.removesuffix(".pickle")
    return next((stem + suffix for suffix in AUDIO_SUFFIXES if is_file(stem + suffix)), None)


def prepare(
    table: pd.DataFrame, config: Config, folder: str | Path, *, scheduler: str = ""
) -> tuple[Config, FeatureStore]:
    """Settle the sample rate (:func:`accentlib.corpora.table.corpus_sample_rate`) and compute the features.

    They are in ``folder`` (:func:`accentlib.open_store`).
    """
    if config.sample_rate == 0:
        config = config.replace(sample_rate=corpus_sample_rate(list(table["path"])))
    return config, open_store(table, folder, config, scheduler=scheduler)
