"""The log-mels of a whole corpus in one memory-mapped file, computed once."""

import json
import os
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from .config import Config, InputError
from .features import file_log_mel, made_with
from .files import replacing


class FeatureStore:
    """Log-mels, before normalisation, of the clips of a corpus.

    A folder with ``log_mel.float32`` (a raw NumPy memory map, ``(all frames, n_mels)``) and
    ``index.json`` (what made it, and where each clip begins). Open one with :func:`open_store`.
    """

    def __init__(self, folder: Path, index: dict):
        n_mels = index["features"]["n_mels"]
        self.folder = folder
        self.problems: dict[str, str] = index["problems"]
        self._place = {path: (start, frames) for path, start, frames in index["clips"]}
        self._data = np.memmap(folder / "log_mel.float32", np.float32, "r").reshape(-1, n_mels)
        if len(self._data) != sum(frames for _, frames in self._place.values()):
            raise ValueError(f"{folder}: the feature file is not as long as its index says")

    def __contains__(self, path: str) -> bool:
        return path in self._place

    def __getitem__(self, path: str) -> np.ndarray:
        """The log-mels of one clip, ``(frames, n_mels)``, read-only."""
        start, frames = self._place[path]
        return self._data[start : start + frames]

    def keep(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a corpus whose clips could be read."""
        return table[[path in self for path in table["path"]]].reset_index(drop=True)


def try_log_mel(path: str, config: Config) -> np.ndarray | str:
    """:func:`file_log_mel`, or the line that says what is wrong with the file."""
    try:
        return file_log_mel(path, config)
    except InputError as error:
        return str(error)


def log_mels_of_files(paths: list[str], config: Config):
    """Yield log-mels (or the line that says what is wrong) of each file, in order, on all cores."""
    # Threads: decoding, FFT and matrix product all release the interpreter lock.
    parallel = joblib.Parallel(n_jobs=-1, prefer="threads", return_as="generator", pre_dispatch="4*n_jobs")
    return parallel(joblib.delayed(try_log_mel)(path, config) for path in paths)


def open_store(table: pd.DataFrame, folder: str | Path, config: Config) -> FeatureStore:
    """Compute the features of a corpus, or open them where they are already there and still true.

    Parameters
    ----------
    table : pandas.DataFrame
        A corpus (:func:`accentlib.corpus.read_corpus`).
    folder : str or Path
        Where the store is, or is made.
    config : Config
        Its ``sample_rate`` must be set.

    Returns
    -------
    FeatureStore
        Its ``problems`` names the files that could not be read, with the reason.

    Raises InputError if no file could be read.
    """
    folder = Path(folder)
    features = made_with(config)
    paths = list(dict.fromkeys(table["path"]))  # a label file may name an utterance more than once
    sources = [[path, *file_stamp(path)] for path in paths]
    index_file = folder / "index.json"
    if index_file.is_file():
        try:
            index = json.loads(index_file.read_text(encoding="utf-8"))
            if index["features"] == features and index["sources"] == sources:
                return FeatureStore(folder, index)
        except (ValueError, KeyError, TypeError, OSError):
            pass  # damaged: made anew
        index_file.unlink()
    folder.mkdir(parents=True, exist_ok=True)
    clips, problems, start = [], {}, 0
    with replacing(folder / "log_mel.float32") as temporary, temporary.open("wb") as file:
        results = log_mels_of_files(paths, config)
        bar = tqdm(results, "features", total=len(paths), unit=" clips", file=sys.stderr, disable=None)
        for path, result in zip(paths, bar, strict=True):
            if isinstance(result, str):
                problems[path] = result
                continue
            result.tofile(file)
            clips.append([path, start, len(result)])
            start += len(result)
        if not clips:
            raise InputError(f"no clip could be read; the first: {next(iter(problems.values()))}")
    index = {"features": features, "sources": sources, "clips": clips, "problems": problems}
    with replacing(index_file) as temporary:
        temporary.write_text(json.dumps(index), encoding="utf-8")
    return FeatureStore(folder, index)


def file_stamp(path: str | Path) -> tuple[int, int]:
    """Size and change time (ns) of a file, zeros where there is none."""
    try:
        status = os.stat(path)
    except OSError:
        return 0, 0
    return status.st_size, status.st_mtime_ns
