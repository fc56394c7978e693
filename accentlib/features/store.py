"""The log-mels of a whole corpus in one memory-mapped file, computed once."""

import json
import mmap
import os
import sys
from collections import Counter
from contextlib import closing, suppress
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from ..config import Config, InputError, current_names
from ..files import file_and_segment, is_file, naming
from .audio import AUDIO_SUFFIXES, native_rate
from .log_mel import file_log_mel, made_with
from .parallel import on_all_cores

LET_GO = 256  # clips read before their pages are released
HEADER = 128  # bytes of the header that NumPy writes for such an array, whatever its length


def clip_ids(table: pd.DataFrame) -> list[str]:
    """Keys of the clips of a table: its column ``id``, or their paths if it has none."""
    return table["id" if "id" in table else "path"].tolist()


class FeatureStore:
    """Log-mels, before normalisation, of the clips of a corpus, by id. Open one with :func:`open_store`.

    Its folder has ``log_mel.npy``, ``(all frames, n_mels)``, and ``clips.jsonl``: a line with the feature
    options, then for each clip its id, file size, change time (ns), first frame, number of frames, problem.
    Both only grow: the last line of a clip counts."""

    def __init__(self, folder: Path, features: dict, clips: dict[str, list]):
        self.folder, self.n_mels, self._reads = folder, features["n_mels"], 0
        self.problems: dict[str, str] = {clip: entry[-1] for clip, entry in clips.items() if entry[-1]}
        self._place = {clip: slice(e[2], e[2] + e[3]) for clip, e in clips.items() if not e[-1]}
        self._open()

    def _open(self) -> None:
        rows = max(frames.stop for frames in self._place.values())
        with (self.folder / "log_mel.npy").open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._data = np.ndarray((rows, self.n_mels), np.float32, self._map, HEADER)

    def __getstate__(self) -> dict:
        return {name: value for name, value in vars(self).items() if name not in ("_map", "_data")}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._open()  # a loader's process maps the file, too, and copies nothing

    def __contains__(self, clip: str) -> bool:
        return clip in self._place

    def __getitem__(self, clip: str) -> np.ndarray:
        """The log-mels of one clip, ``(frames, n_mels)``, read-only; they are read from disk when used."""
        self._reads += 1
        if self._reads % LET_GO == 0 and hasattr(self._map, "madvise"):  # not on Windows
            # Batch systems would count all pages ever read as this process's memory, and stop it.
            self._map.madvise(mmap.MADV_DONTNEED)
        return self._data[self._place[clip]]

    def keep(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a corpus whose clips could be read."""
        return table[[clip in self for clip in clip_ids(table)]].reset_index(drop=True)


def try_log_mel(config: Config, path: str) -> np.ndarray | str:
    """:func:`file_log_mel`, or its error message."""
    try:
        return file_log_mel(path, config)
    except InputError as error:
        return str(error)


def open_store(table: pd.DataFrame, folder: str | Path, config: Config, *,
               scheduler: str = "") -> FeatureStore:  # fmt: skip
    """Compute the features of new and changed clips of a corpus, and open its store.

    A store in ``folder`` that was made with other options is replaced. ``config.sample_rate`` must be set.
    ``scheduler`` is a Dask cluster (``features.parallel.on_all_cores``). The store's ``problems`` are error
    messages, by clip id. Raises InputError if no file could be read."""
    folder, features = Path(folder), made_with(config)
    paths = dict(zip(clip_ids(table), table["path"].tolist(), strict=True))  # a label file may repeat a clip
    stamps = {clip: file_stamp(path) for clip, path in paths.items()}
    clips, _ = read_index(folder, features)
    if any(clips.get(clip, [])[:2] != stamp for clip, stamp in stamps.items()):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        try:
            alone = lock.acquire(timeout=0)
        except Timeout:
            print(f"{folder}: another process is computing features there; waiting for it", file=sys.stderr)
            alone = lock.acquire()
        with alone:
            clips = _add_clips(folder, paths, stamps, config, scheduler)
    clips = {clip: clips[clip] for clip in paths}
    if all(entry[-1] for entry in clips.values()):
        raise InputError(f"no clip could be read; the first: {next(iter(clips.values()))[-1]}")
    return FeatureStore(folder, features, clips)


def _add_clips(folder: Path, paths: dict, stamps: dict, config: Config, scheduler: str) -> dict[str, list]:
    """Append the clips that the store lacks, after removing one that a kill cut off; return the index."""
    features = made_with(config)
    clips, good = read_index(folder, features)
    data_file, index_file = folder / "log_mel.npy", folder / "clips.jsonl"
    if not good:
        data_file.unlink(missing_ok=True)  # another process may have the old file open: leave that intact
        data_file.write_bytes(_header(0, config.n_mels))
        good = json.dumps({"features": features}) + "\n"
        index_file.write_bytes(good.encode())
    os.truncate(index_file, len(good.encode()))
    rows = max((entry[2] + entry[3] for entry in clips.values()), default=0)
    os.truncate(data_file, HEADER + rows * 4 * config.n_mels)
    missing = [clip for clip, stamp in stamps.items() if clips.get(clip, [])[:2] != stamp]
    files, work = [paths[clip] for clip in missing], partial(try_log_mel, config)
    with (
        naming(data_file),  # in the message of a full disk
        data_file.open("r+b") as data,
        index_file.open("a", encoding="utf-8", buffering=1) as index,
        closing(on_all_cores(work, files, progress="features", scheduler=scheduler)) as results,
    ):
        data.seek(0, os.SEEK_END)
        for clip, result in zip(missing, results, strict=True):
            problem, frames = (result, 0) if isinstance(result, str) else ("", len(result))
            if frames:
                data.write(np.ascontiguousarray(result, np.float32).data)
                data.flush()  # before the line that promises it
            clips[clip] = [*stamps[clip], rows, frames, problem]
            index.write(json.dumps([clip, *clips[clip]]) + "\n")
            rows += frames
        data.seek(0)
        data.write(_header(rows, config.n_mels))
    return clips


def read_index(folder: Path, features: dict) -> tuple[dict[str, list], str]:
    """Size, change time, first frame, frames and problem of each clip, by id, and the text of these lines.
    Both end before a damaged line or missing frames, and are empty for other features."""
    try:
        header, *lines = (folder / "clips.jsonl").read_bytes().decode().splitlines(keepends=True)
        rows = ((folder / "log_mel.npy").stat().st_size - HEADER) // (4 * features["n_mels"])
        if current_names(json.loads(header)["features"]) != features or not header.endswith("\n"):
            return {}, ""
    except (OSError, ValueError, LookupError, TypeError, AttributeError):  # no index, or a damaged one
        return {}, ""
    clips, good = {}, [header]
    scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # twice as fast as json.loads
    with suppress(ValueError, TypeError, StopIteration):  # a line is not JSON, or no list
        for line in lines:
            clip, *entry = scan(line, 0)[0]
            if [type(clip), *map(type, entry)] != [str, int, int, int, int, str] or not line.endswith("]\n"):
                break
            if min(entry[:4]) < 0 or entry[2] + entry[3] > rows:
                break
            clips[clip] = entry
            good.append(line)
    return clips, "".join(good)


def _header(rows: int, n_mels: int) -> bytes:
    """The header of a ``.npy`` file ``(rows, n_mels)``, float32."""
    header, about = BytesIO(), {"descr": "<f4", "fortran_order": False, "shape": (rows, n_mels)}
    np.lib.format.write_array_header_1_0(header, about)
    assert header.tell() == HEADER
    return header.getvalue()


def file_stamp(path: str | Path) -> list[int]:
    """Size and change time (ns) of a file, zeros where there is none."""
    try:
        status = os.stat(file_and_segment(path)[0])
    except (OSError, ValueError):  # ValueError: a NUL in it
        return [0, 0]
    return [status.st_size, status.st_mtime_ns]


def corpus_sample_rate(paths: list[str]) -> int:
    """The rate (Hz) for a corpus: 16 kHz, or 8 kHz if most of its recordings have less.
    For feature files it is that of most of their audio; 0: unknown. InputError if no file is readable."""
    from ..published.pickles import read_made  # only for a published feature file

    rates: Counter[tuple[bool, int]] = Counter()
    for path in paths:
        with suppress(InputError, OSError):  # reported when its features are computed
            audio = audio_beside(path)
            rate = read_made(path).get("sample_rate") if path != audio else 0
            rates[path != audio, rate or (native_rate(audio) if audio else 0)] += 1
    if not rates:
        raise InputError(f"none of the {len(paths)} audio files can be read; the first is {paths[0]}")
    (features, rate), _ = rates.most_common(1)[0]
    return rate if features else 16_000 if rate >= 16_000 else 8_000


def audio_beside(path: str) -> str | None:
    """The audio file of the same name beside a feature file, if any; for an audio file, itself."""
    stem = path.removesuffix(".pickle")
    return path if path == stem else next((stem + end for end in AUDIO_SUFFIXES if is_file(stem + end)), None)


def prepare(table: pd.DataFrame, config: Config, folder: str | Path, *,
            scheduler: str = "") -> tuple[Config, FeatureStore]:  # fmt: skip
    """Set a ``sample_rate`` of 0 by :func:`corpus_sample_rate`, and open the store (:func:`open_store`)."""
    if config.sample_rate == 0:
        config = config.replace(sample_rate=corpus_sample_rate(list(table["path"])))
    return config, open_store(table, folder, config, scheduler=scheduler)
