"""Text files of the published workflow: lists of audio, labels and pairs, and tables of label names."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from ..config import Config, InputError, current_names, shown
from ..features.audio import AUDIO_SUFFIXES, native_rate
from ..features.log_mel import at_rate, file_log_mel, made_with
from ..features.parallel import on_all_cores
from ..features.store import audio_beside, file_stamp
from ..files import is_file, read_table
from .pickles import read_made, read_pickle, write_features


def read_lines(path: str | Path, columns: int) -> Iterator[tuple[str, list[str]]]:
    """Yield the place (file and line number, for errors) and the columns of each line that is not blank."""
    if not is_file(path):
        raise InputError(f"{path}: no such file")
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8") from None
    if not text.strip():
        raise InputError(f"{path}: has no lines")
    for number, line in enumerate(map(str.strip, text.split("\n")), start=1):  # splitlines splits at more
        values = [line] if columns == 1 else line.split()
        place = f"{path}: line {number}"
        if line and len(values) != columns:
            raise InputError(f"{place} has {len(values)} columns, not {columns}: {shown(line)!r}")
        if line:
            yield place, values


def find_audio(path: str) -> str | None:
    """Audio file of a listed path, with or without its extension (``.wav`` comes first)."""
    complete = path.lower().endswith(AUDIO_SUFFIXES) and is_file(path)
    return path if complete else audio_beside(f"{path}.pickle")


def extract_list(list_path: str | Path, config: Config, *, scheduler: str = "") -> tuple[int, int, dict]:
    """Write features beside listed audio; return how many are new and how many unchanged, and problems."""
    places, problems = dict[str, str](), dict[str, str]()
    for place, (path,) in read_lines(list_path, 1):
        if audio := find_audio(path):
            places.setdefault(str(Path(audio)), place)
        else:
            problems[path] = f"{place}: {shown(path)}: no such audio file (nor with .wav)"
    extract = partial(extract_file, config=config)
    results = list(on_all_cores(extract, list(places), progress="features", scheduler=scheduler))
    made = zip(places.items(), results, strict=True)
    problems |= {audio: f"{place}: {result}" for (audio, place), result in made if isinstance(result, str)}
    return results.count(True), results.count(False), problems


def extract_file(path: str, config: Config) -> bool | str:
    """Write the features of an audio file beside it: True if done, False if unchanged, else what is wrong."""
    target = Path(path).with_suffix(".pickle")
    try:
        config = at_rate(config, native_rate(path))
        size, changed = file_stamp(path)
        made = {**made_with(config), "audio_bytes": size, "audio_changed_ns": changed}
        if target.is_file():
            noted = current_names(read_made(target))
            # The published extractor writes no note: its features are unchanged if younger than their audio.
            if noted == made or (not noted and target.stat().st_mtime_ns >= changed):
                return False
            if not noted:  # the published extractor's features, or a file of the user's
                content = read_pickle(target)
                features = content.get("features") if isinstance(content, dict) else content
                if getattr(features, "ndim", 0) != 2:
                    return f"{target}: holds no features; it is not overwritten"
        write_features(target, file_log_mel(path, config), made)
    except (InputError, OSError) as error:
        return str(error)
    return True


def feature_file(data_dir: str | Path | None, path: str, place: str, audio: bool = False) -> str:
    """Feature file of a listed path, with or without extension; with ``audio``, else the audio file."""
    name = f"{str(data_dir).rstrip('/')}/{path.lstrip('/')}" if data_dir else path  # as published
    with_extension = name.lower().endswith((".pickle", *AUDIO_SUFFIXES))
    file = (name[: name.rindex(".")] if with_extension else name) + ".pickle"
    found = file if is_file(file) else find_audio(name) if audio else None
    if not found:
        raise InputError(f"{place}: {shown(file)}: no such feature file; accentlib features -i LIST makes it")
    return found


def read_label_names(path: str | Path) -> list[str]:
    """Accents of the labels 0..N-1, from a CSV table of label and name; labels with one name are merged."""
    table = read_table(path, separators=",")
    if not {"label", "name"} <= set(table.columns):
        raise InputError(f"{path}: needs the columns label and name; it has {', '.join(table.columns)}")
    names = dict(zip(table["label"].str.strip(), table["name"].str.strip(), strict=True))
    if names.keys() != set(map(str, range(len(table)))) or "" in names.values():
        raise InputError(f"{path}: the labels must be 0 to {len(table) - 1}, each once and with a name")
    return [names[str(label)] for label in range(len(table))]


def label_corpus(train_labels: str | Path, valid_labels: str | Path | None,
                 train_data_dir: str | Path | None = None, valid_data_dir: str | Path | None = None,
                 label_names: str | Path | None = None, *,
                 num_accents: int | None = None) -> tuple[pd.DataFrame, list[str]]:  # fmt: skip
    """Make a corpus (path, accent, split) and the list of its accents from label files.

    A line has a path without extension, a label 0..N-1, and -1 (not used). N is ``num_accents``, by default
    the number of labels that occur in training. Nothing names speakers: one may be in both splits."""
    files = {"train": (train_labels, train_data_dir), "validation": (valid_labels, valid_data_dir)}
    rows = []
    for split, (path, data_dir) in files.items():
        for place, (name, label, _) in read_lines(path, 3) if path else ():
            if not label.isdecimal():
                raise InputError(f"{place}: label {label!r} is not a whole number from 0 to N-1")
            rows.append((feature_file(data_dir, name, place), int(label), split, place))
    table = pd.DataFrame(rows, columns=["path", "label", "split", "place"])
    if label_names:
        names, hint = read_label_names(label_names), ""
        if num_accents not in (None, len(set(names))):
            raise InputError(f"{label_names}: names {len(set(names))} accents, not {num_accents}")
    elif num_accents is not None:
        names, hint = list(map(str, range(num_accents))), "; --label_names merges labels"
    else:
        occurring = table.loc[table["split"] == "train", "label"].nunique()
        names, hint = list(map(str, range(occurring))), "; --num_accents N keeps labels that do not occur"
    firsts: dict[str, Any] = {}
    for row in table.itertuples():
        first = firsts.setdefault(row.path, row)
        if row.label >= len(names):
            known = f"0..{len(names) - 1} ({len(names)} labels)"
            raise InputError(f"{row.place}: label {row.label} is outside {known}{hint}")
        if first.split != row.split:
            raise InputError(f"{row.place}: {row.path} is in {train_labels} as well")
        if first.label != row.label:
            raise InputError(f"{row.place}: {row.path} is listed with label {first.label} as well")
    table["accent"] = [names[label] for label in table["label"]]
    accents = list(dict.fromkeys(names))
    if len(accents) < 2:
        raise InputError(f"{train_labels}: only one accent, {accents[0]!r}; two are needed")
    return table[["path", "accent", "split"]], accents


def read_pairs(clients: str | Path, impostors: str | Path, data_dir: str | Path | None = None, *,
               audio: bool = False) -> pd.DataFrame:  # fmt: skip
    """Read pairs of files that belong together (clients) or do not: a row of a, b, client (bool) for each."""
    rows = []
    for path, client in ((clients, True), (impostors, False)):
        for place, pair in read_lines(path, 2):
            rows.append((*(feature_file(data_dir, name, place, audio) for name in pair), client))
    return pd.DataFrame(rows, columns=["a", "b", "client"])
