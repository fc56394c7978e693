"""Which phone is spoken when: a table beside a corpus, and a number per frame for the network."""

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ..config import Config, InputError
from ..features.audio import load_audio
from ..features.log_mel import speech
from ..features.parallel import on_all_cores
from ..features.store import audio_beside, clip_ids
from ..files import read_table

UNKNOWN = -1  # the number of a frame without a known phone
COLUMNS = ("id", "path", "start", "end", "phone")


def ipa(names: Sequence[str]) -> list[str]:
    """Phones in the International Phonetic Alphabet, from the recogniser's names (ARPABET) or those of the
    synthesiser espeak-ng, which are broad: the same r is an approximant in English and a tap in Hindi."""
    arpabet, espeak = json.loads(Path(__file__).with_name("ipa.json").read_text("utf-8")).values()
    table = arpabet if arpabet.keys() >= set(names) else espeak
    return [table.get(name, name) for name in names]


def phones_file(data: str | Path) -> Path:
    """The table of phones beside a corpus's manifest; until version 0.1, its name was ``sounds.csv``."""
    folder, names = Path(data) if Path(data).is_dir() else Path(data).parent, ("phones.csv", "sounds.csv")
    return next((folder / name for name in names if (folder / name).is_file()), folder / names[0])


def read_phones(data: str | Path) -> pd.DataFrame:
    """Read a table of phones, or the ``phones.csv`` in the folder of a corpus (or of its ``manifest.csv``).

    Its columns: path, start and end (s), phone, and optionally id (the clip's) and word; others are ignored.
    Returns them, with their word if it is known, by id (by default the path) and start; paths are absolute.
    Raises InputError if invalid."""
    file = Path(data)
    if file.is_dir() or file.name == "manifest.csv":
        file = phones_file(file)
    if not file.is_file():
        raise InputError(f"{file}: no such file; `accentlib phones` makes it")
    table = read_table(file, separators=",").rename(columns={"sound": "phone"})  # its name until version 0.1
    if missing := [column for column in COLUMNS[1:] if column not in table]:
        raise InputError(f"{file}: lacks the column {', '.join(missing)}; it has {', '.join(table.columns)}")
    numbers = table[["start", "end"]].apply(pd.to_numeric, errors="coerce").astype(float)
    if len(bad := np.argwhere(~((numbers >= 0) & (numbers < np.inf)).to_numpy())):  # (places, 2)
        row, name = bad[0][0], numbers.columns[bad[0][1]]
        raise InputError(f"{file}: line {row + 2}: {name} {table[name].iloc[row]!r} is not a number from 0")
    if len(backwards := np.flatnonzero(numbers["end"] <= numbers["start"])):
        raise InputError(f"{file}: line {backwards[0] + 2} ends before it starts")
    table[numbers.columns] = numbers
    table["path"] = [str((file.parent / path).absolute()) for path in table["path"]]
    table["id"] = clip_ids(table)
    known = [name for name in (*COLUMNS, "word") if name in table]
    return table[known].sort_values(["id", "start"], kind="stable", ignore_index=True)


def cut_phones(table: pd.DataFrame, config: Config) -> pd.DataFrame:
    """Move phones from their times in the files (s) to those after ``config.trim_silence`` cuts the pauses.
    Phones in a pause are left out. Raises InputError if a clip has no audio to find its pauses in."""
    if not config.trim_silence:
        return table
    recordings = [part for _, part in table.groupby("path", sort=False)]
    moved = pd.concat([table[:0], *on_all_cores(partial(_cut_recording, config), recordings)])
    return moved[moved["end"] > moved["start"]].reset_index(drop=True)


def _cut_recording(config: Config, phones: pd.DataFrame) -> pd.DataFrame:
    """:func:`cut_phones` for the phones of one recording; none if it cannot be decoded."""
    path, rate = phones["path"].iloc[0], config.sample_rate
    if (audio := audio_beside(path)) is None:
        raise InputError(f"trim_silence needs the audio beside {path}, to move its phones with the cut")
    try:
        wave = load_audio(audio, rate)
    except InputError:  # reported when its features are computed
        return phones[:0]
    kept = np.append(0, np.cumsum(speech(wave, rate, config.trim_silence))) / rate  # before each sample, s
    places = (phones[["start", "end"]] * rate).round().astype(int).clip(0, len(wave))
    return phones.assign(start=kept[places["start"]], end=kept[places["end"]])


class FramePhones:
    """The number of the phone in each frame of each clip, from a table of phones (:func:`read_phones`). The
    numbers are places in ``names``, by default the table's phones, sorted; others are UNKNOWN."""

    def __init__(self, table: pd.DataFrame, config: Config, names: list[str] | None = None):
        self.names = sorted(set(table["phone"])) if names is None else list(names)
        self.hop, self.first = config.hop_seconds, config.first_frame
        table = cut_phones(table, config)
        numbers = pd.Index(self.names).get_indexer(table["phone"])  # UNKNOWN where it is not in names
        clips = table.assign(id=clip_ids(table), number=numbers).groupby("id")[["start", "end", "number"]]
        self.spans = {clip: [part[name].to_numpy() for name in part] for clip, part in clips}

    def frames(self, clip: str, frames: int) -> np.ndarray:
        """The phone in the middle of each frame of a clip: ``(frames,)``, UNKNOWN where there is none."""
        if clip not in self.spans:
            return np.full(frames, UNKNOWN)
        start, end, number = self.spans[clip]
        times = self.first + self.hop * np.arange(frames)
        last = np.searchsorted(start, times, side="right") - 1
        return np.where((last >= 0) & (times < end[last]), number[last], UNKNOWN)
