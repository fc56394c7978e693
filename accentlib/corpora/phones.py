"""Which phone (phone) is spoken when: a table beside a corpus, and a number a frame for the network."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ..config import Config, InputError
from ..features.audio import load_audio
from ..features.log_mel import speech
from ..features.parallel import on_all_cores
from ..features.store import audio_beside
from ..files import read_table

UNKNOWN = -1  # the number of a frame of which nobody says what is spoken
NAMES = ("phones.csv", "sounds.csv")  # the second until version 0.1
COLUMNS = ("path", "start", "end", "phone", "position")


def read_phones(data: str | Path) -> pd.DataFrame:
    """Read a table of phones.

    Parameters
    ----------
    data : str or Path
        The table, or a corpus (its folder or ``manifest.csv``) that has it beside it as ``phones.csv``.
        Columns: path (relative to the table, or absolute), start and end (s), phone (its name), position
        (which phone of the text it is, from 0).

    Returns
    -------
    pandas.DataFrame
        These columns, sorted by path and start; ``path`` is made absolute.

    Raises InputError, one line that begins with the file, if it cannot be used.
    """
    file = Path(data)
    if file.is_dir() or file.name == "manifest.csv":
        folder = file if file.is_dir() else file.parent
        file = next((folder / name for name in NAMES if (folder / name).is_file()), folder / NAMES[0])
    if not file.is_file():
        raise InputError(
            f"{file}: no such file; where people read a text that has a reading, `accentlib align` makes it;"
            " without it train with phone_weight 0 (or --preset laptop)"
        )
    table = read_table(file, separators=",").rename(columns={"sound": "phone"})
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise InputError(f"{file}: lacks the column {', '.join(missing)}; it has {', '.join(table.columns)}")
    for column in ("start", "end", "position"):
        numbers = pd.to_numeric(table[column], errors="coerce")
        wrong = ~np.isfinite(numbers) | (numbers < 0)
        if wrong.any():
            line = wrong.to_numpy().argmax()
            raise InputError(
                f"{file}: line {line + 2}: {column} {table[column].iloc[line]!r} is no number from 0"
            )
        table[column] = numbers
    backwards = (table["end"] <= table["start"]).to_numpy()
    if backwards.any():
        raise InputError(f"{file}: line {backwards.argmax() + 2} ends before it starts")
    table["position"] = table["position"].astype(int)
    table["path"] = [str((file.parent / path).absolute()) for path in table["path"]]
    return table[list(COLUMNS)].sort_values(["path", "start"], kind="stable", ignore_index=True)


def wanted_phones(data: str | Path, config: Config, phones: str | Path | None = None) -> pd.DataFrame | None:
    """The phones of a corpus, from ``phones`` or from beside it; None where they are not to be learned."""
    return read_phones(phones or data) if config.phone_weight else None


def cut_phones(table: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Move the phones of recordings to where they are once ``config.trim_silence`` has cut the pauses.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`read_phones` gives it: start and end are times in the file, s.
    config : Config
        Its ``sample_rate`` and ``trim_silence``; where that is 0 the table is returned as it is.

    Returns
    -------
    pandas.DataFrame
        Start and end are times in what the features are computed from. A phone within a pause is left out.

    Raises InputError if there is only a feature file, and no audio, to find the pauses in.
    """
    if not config.trim_silence:
        return table
    paths = list(table["path"].unique())
    kept = dict(zip(paths, on_all_cores(partial(_kept_seconds, config), paths), strict=True))
    parts = []
    for path, part in table.groupby("path", sort=False):
        seconds = kept[path]
        places = (part[["start", "end"]] * config.sample_rate).round().astype(int).clip(0, len(seconds) - 1)
        parts.append(part.assign(start=seconds[places["start"]], end=seconds[places["end"]]))
    moved = pd.concat(parts) if parts else table
    return moved[moved["end"] > moved["start"]].reset_index(drop=True)


def _kept_seconds(config: Config, path: str) -> np.ndarray:
    """How much is kept before each sample of a recording, s: ``(samples + 1,)``; of an unreadable one nothing."""
    audio = audio_beside(path)
    if audio is None:
        raise InputError(f"trim_silence needs the audio beside {path}, to move its phones with the cut")
    try:
        wave = load_audio(audio, config.sample_rate)
    except InputError:  # named when its features are computed
        return np.zeros(1)
    return np.append(0, np.cumsum(speech(wave, config.sample_rate, config.trim_silence))) / config.sample_rate


class FramePhones:
    """The number of the phone in each frame of each clip, from a table of phones.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`read_phones` gives it: times in the files.
    config : Config
        Its ``sample_rate``, ``n_fft`` and ``hop_seconds`` say when a frame is, its ``trim_silence`` what is cut.
    names : list of str, optional
        Phones in the order of their numbers; by default the table's, sorted. Others are unknown.
    """

    def __init__(self, table: pd.DataFrame, config: Config, names: list[str] | None = None):
        self.names = sorted(set(table["phone"])) if names is None else list(names)
        self.hop, self.first = config.hop_seconds, config.first_frame
        table = cut_phones(table, config)
        number = {name: i for i, name in enumerate(self.names)}
        numbers = table["phone"].map(number).fillna(UNKNOWN).to_numpy(np.int64)
        self.spans = {
            path: (part["start"].to_numpy(), part["end"].to_numpy(), numbers[part.index])
            for path, part in table.reset_index(drop=True).groupby("path")
        }

    def __contains__(self, path: str) -> bool:
        return path in self.spans

    def frames(self, path: str, frames: int) -> np.ndarray:
        """What is spoken in the middle of each frame of a clip: ``(frames,)``, UNKNOWN where nothing is said of it."""
        if path not in self.spans:
            return np.full(frames, UNKNOWN)
        start, end, number = self.spans[path]
        times = self.first + self.hop * np.arange(frames)
        last = np.searchsorted(start, times, side="right") - 1
        return np.where((last >= 0) & (times < end[last]), number[last], UNKNOWN)
