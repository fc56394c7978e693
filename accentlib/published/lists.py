"""The published workflow's text files: lists of audio, labels, pairs, and tables of label names."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pandas as pd

from ..config import Config, InputError, shown
from ..features.audio import AUDIO_SUFFIXES, native_rate
from ..features.log_mel import at_rate, file_log_mel, made_with
from ..features.parallel import on_all_cores
from ..features.store import file_stamp
from ..files import is_file, read_table
from .pickles import holds_features, read_made, write_features


def read_lines(path: str | Path, columns: int) -> Iterator[tuple[int, list[str]]]:
    """Number and columns of each line of a list; blank lines are passed over.

    Raises InputError if there is no such file, it is empty or not text, or a line has other columns.
    """
    path = Path(path)
    if not is_file(path):
        raise InputError(f"{path}: no such file")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")  # names may hold what splitlines splits at
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file in UTF-8") from None
    if not any(line.strip() for line in lines):
        raise InputError(f"{path}: has no lines")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        values = [line.strip()] if columns == 1 else line.split()
        if len(values) != columns:
            raise InputError(
                f"{path}: line {number} has {len(values)} columns, not {columns}: {shown(line.strip())!r}"
            )
        yield number, values


def find_audio(path: str) -> Path | None:
    """The audio file of a listed path: with its extension, or without it (``.wav`` is looked for first)."""
    if path.lower().endswith(AUDIO_SUFFIXES) and is_file(path):
        return Path(path)
    return next((Path(path + s) for s in AUDIO_SUFFIXES if is_file(path + s)), None)


def extract_list(
    list_path: str | Path, config: Config, *, scheduler: str = ""
) -> tuple[int, int, dict[str, str]]:
    """Write ``<path>.pickle`` beside each audio file of a list, on all cores.

    Parameters
    ----------
    list_path : str or Path
        A text file with an audio path a line, with or without its extension.
    config : Config
        The features. A ``sample_rate`` of 0 keeps each file's own.
    scheduler : str
        A Dask cluster that does it (:func:`accentlib.features.parallel.on_all_cores`).

    Returns
    -------
    extracted, unchanged : int
        Numbers of files. Unchanged ones were extracted before, with the same numbers, from audio of the
        same size and change time; a file that does not say how it was made (the published extractor's)
        counts as unchanged if it is younger than its audio.
    problems : dict
        What is wrong with each file that could not be used, with its line in the list.
    """
    found: dict[str, int] = {}
    problems: dict[str, str] = {}
    for number, (path,) in read_lines(list_path, 1):
        audio = find_audio(path)
        if audio is None:
            problems[path] = f"{list_path}: line {number}: {shown(path)}: no such audio file (nor with .wav)"
        else:
            found.setdefault(str(audio), number)
    function = partial(extract_file, config=config)
    results = on_all_cores(function, list(found), progress="features", scheduler=scheduler)
    extracted = unchanged = 0
    for (path, number), result in zip(found.items(), results, strict=True):
        if isinstance(result, str):
            problems[path] = f"{list_path}: line {number}: {result}"
        else:
            extracted, unchanged = extracted + result, unchanged + (not result)
    return extracted, unchanged, problems


def extract_file(path: str, config: Config) -> bool | str:
    """Write the features of one audio file beside it.

    Returns
    -------
    bool or str
        Whether they were extracted (and not unchanged), or the line that says what is wrong.
    """
    target = Path(path).with_suffix(".pickle")
    try:
        config = at_rate(config, native_rate(path))
        size, changed = file_stamp(path)
        made = {**made_with(config), "audio_bytes": size, "audio_changed_ns": changed}
        if target.is_file():
            noted = read_made(target)
            if noted == made or (not noted and target.stat().st_mtime_ns >= changed):
                return False
            if not (noted or holds_features(target)):
                return f"{target}: holds no features; it is not written over"
        write_features(target, file_log_mel(path, config), made)
    except (InputError, OSError) as error:
        return str(error)
    return True


def in_folder(data_dir: str | Path | None, path: str) -> str:
    """``DIR + path``, as the published trainer looks it up."""
    return f"{str(data_dir).rstrip('/')}/{path.lstrip('/')}" if data_dir else path


def feature_file(data_dir: str | Path | None, path: str, place: str) -> str:
    """The feature file of a listed path, which may also name it, or its audio, with the extension.

    Raises InputError, which begins with ``place``, if there is none.
    """
    with_extension = path.lower().endswith((".pickle", *AUDIO_SUFFIXES))
    stem = path[: path.rindex(".")] if with_extension else path
    file = in_folder(data_dir, stem) + ".pickle"
    if not is_file(file):
        raise InputError(f"{place}: {shown(file)}: no such feature file; accentlib features -i LIST makes it")
    return file


def read_labels(path: str | Path, data_dir: str | Path | None) -> pd.DataFrame:
    """Read a label file.

    Parameters
    ----------
    path : str or Path
        Three columns separated by blanks: path without extension, label 0..N-1, and -1 (not used).
    data_dir : str or Path, optional
        Folder before each path.

    Returns
    -------
    pandas.DataFrame
        A row a line: path (of the feature file), label, line.

    Raises InputError, with the line, if a line has other columns, a label is no number from 0, or a
    feature file is missing.
    """
    rows = []
    for number, (name, label, _) in read_lines(path, 3):
        place = f"{path}: line {number}"
        if not label.isdecimal():
            raise InputError(f"{place}: label {label!r} is not a whole number from 0 to N-1")
        rows.append((feature_file(data_dir, name, place), int(label), number))
    return pd.DataFrame(rows, columns=["path", "label", "line"])


def read_label_names(path: str | Path) -> list[str]:
    """The accent of each label 0..N-1, from a CSV table with the columns label and name.

    Labels of the same name are merged.

    Raises InputError if the table is not readable or its labels are not 0..N-1.
    """
    table = read_table(path, separators=",")
    if not {"label", "name"} <= set(table.columns):
        raise InputError(f"{path}: needs the columns label and name; it has {', '.join(table.columns)}")
    names = dict(zip(table["label"].str.strip(), table["name"].str.strip(), strict=True))
    order = [str(label) for label in range(len(table))]
    if sorted(names) != sorted(order) or "" in names.values():
        raise InputError(f"{path}: the labels must be 0 to {len(table) - 1}, each once and with a name")
    return [names[label] for label in order]


def name_labels(rows: pd.DataFrame, names: list[str], path: str | Path, hint: str = "") -> list[str]:
    """The accent of each row of a label file.

    Raises InputError, with the line, if a label has no name; it ends with ``hint``, what to do.
    """
    outside = rows[rows["label"] >= len(names)]
    if len(outside):
        label, line = outside[["label", "line"]].iloc[0]
        raise InputError(
            f"{path}: line {line}: label {label} is outside 0..{len(names) - 1} ({len(names)} labels){hint}"
        )
    return [names[label] for label in rows["label"]]


def label_corpus(
    train_labels: str | Path,
    valid_labels: str | Path | None,
    train_data_dir: str | Path | None = None,
    valid_data_dir: str | Path | None = None,
    label_names: str | Path | None = None,
    *,
    num_accents: int | None = None,
) -> tuple[pd.DataFrame, list[str]]:
    """A corpus from label files.

    Parameters
    ----------
    train_labels, valid_labels : str or Path
        Label files (:func:`read_labels`); without the second there are no labels to validate on.
    train_data_dir, valid_data_dir : str or Path, optional
        Folders before their paths.
    label_names : str or Path, optional
        Table that names and merges labels (:func:`read_label_names`); else labels are their own names.
    num_accents : int, optional
        Number of accents; labels that do not occur are accents, too. By default as many as labels occur.

    Returns
    -------
    table : pandas.DataFrame
        Path, accent and split (train, validation) of each line. Who speaks is not in label files, so
        nothing here can tell whether a speaker is in both.
    accents : list of str
        Names in the order of the labels; merged ones stand where the first of them stood.

    Raises InputError, with file and line, as the functions named above; also if a label is outside 0..N-1
    (N being ``num_accents``, or the labels that occur, or that the table names), if the table does not name
    ``num_accents`` accents, or if a path is in both files or has two labels.
    """
    parts = {"train": read_labels(train_labels, train_data_dir)}
    if valid_labels:
        parts["validation"] = read_labels(valid_labels, valid_data_dir)
    train = parts["train"]
    if label_names:
        names, hint = read_label_names(label_names), ""
        found = len(set(names))
        if num_accents not in (None, found):
            raise InputError(f"{label_names}: names {found} accents, not {num_accents}")
    else:
        count, hint = num_accents, "; --label_names merges labels"
        if count is None:
            count, hint = train["label"].nunique(), "; --num_accents N keeps labels that do not occur"
        names = [str(label) for label in range(count)]
    files = {"train": train_labels, "validation": valid_labels}
    labels: dict[str, tuple[str, int]] = {}
    for split, part in parts.items():
        part["accent"], part["split"] = name_labels(part, names, files[split], hint), split
        for path, label, line in part[["path", "label", "line"]].itertuples(index=False):
            if labels.setdefault(path, (split, label)) != (split, label):
                other, was = labels[path]
                what = f"in {files[other]} as well" if other != split else f"listed with label {was} as well"
                raise InputError(f"{files[split]}: line {line}: {path} is {what}")
    table = pd.concat(parts.values(), ignore_index=True)
    accents = list(dict.fromkeys(names))
    if len(accents) < 2:
        raise InputError(f"{train_labels}: only one accent, {accents[0]!r}; two are needed")
    return table[["path", "accent", "split"]], accents


def read_pairs(
    clients: str | Path, impostors: str | Path, data_dir: str | Path | None = None, *, audio: bool = False
) -> pd.DataFrame:
    """Read pairs that belong together (clients) and pairs that do not (impostors).

    Parameters
    ----------
    clients, impostors : str or Path
        Text files with two paths a line, without extension.
    data_dir : str or Path, optional
        Folder before each path.
    audio : bool
        Take the audio file where there is no feature file.

    Returns
    -------
    pandas.DataFrame
        A row a pair: a, b (files), client (bool).

    Raises InputError, with the line, if a line has other than two columns or a file is missing.
    """
    rows = []
    for path, client in ((clients, True), (impostors, False)):
        for number, pair in read_lines(path, 2):
            place = f"{path}: line {number}"
            files = [pair_file(data_dir, name, place, audio) for name in pair]
            rows.append((*files, client))
    return pd.DataFrame(rows, columns=["a", "b", "client"])


def pair_file(data_dir: str | Path | None, name: str, place: str, audio: bool) -> str:
    """The feature file of a path in a pair; with ``audio``, where there is none, the audio file."""
    try:
        return feature_file(data_dir, name, place)
    except InputError:
        found = find_audio(in_folder(data_dir, name)) if audio else None
        if found is None:
            raise
        return str(found)
