"""A corpus is a table: one row a clip, with path, accent, speaker and split."""

import sys
from pathlib import Path

import pandas as pd

from ..config import InputError
from ..files import read_table
from .splits import SPLITS, split_by_speaker

COLUMNS = ("path", "accent", "speaker")


def read_corpus(data: str | Path, *, seed: int = 1234, split: bool = True) -> pd.DataFrame:
    """Read and check a corpus.

    Parameters
    ----------
    data : str or Path
        A folder with a ``manifest.csv``, or that file. It needs the columns path (relative to the
        file, or absolute), accent and speaker; split (train, validation, test) is optional: without
        it, a speaker-disjoint one is made and said.
    seed : int
        Seed of the split that is made.
    split : bool
        Whether a split is needed, and so two accents at least; without it any clips will do.

    Returns
    -------
    pandas.DataFrame
        The manifest's columns; ``path`` is made absolute. ``split`` is there if it is needed.

    Raises InputError if the table is missing or unreadable, lacks a column or a value, names a clip
    twice, has one accent only, or has a speaker in two splits.
    """
    manifest = Path(data)
    if manifest.is_dir():
        manifest = manifest / "manifest.csv"
    if not manifest.is_file():
        raise InputError(
            f"{manifest}: no such file; `accentlib corpus from-folder` (or from-table) makes one of recordings"
        )
    table = read_table(manifest, separators=",")
    check_corpus(table, name=str(manifest), accents=2 if split else 1)
    table["path"] = [str((manifest.parent / path).absolute()) for path in table["path"]]
    if split and "split" not in table:
        table["split"] = split_by_speaker(table, seed=seed, name=str(manifest))
        counts = ", ".join(f"{split} {part['speaker'].nunique()}" for split, part in table.groupby("split"))
        print(f"{manifest}: no split column; speakers dealt by seed {seed}: {counts}", file=sys.stderr)
    return table


def check_corpus(table: pd.DataFrame, *, name: str = "table", accents: int = 2) -> None:
    """Raise an InputError, one line that begins with ``name``, where the table is not a corpus of so many accents."""
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise InputError(
            f"{name}: lacks the column {', '.join(missing)}; it has {', '.join(table.columns)}"
            " (accentlib corpus from-table makes a corpus of any table)"
        )
    if not len(table):
        raise InputError(f"{name}: has no rows")
    columns = [*COLUMNS, "split"] if "split" in table else COLUMNS
    for column in columns:
        blank = table[column].str.strip() == ""
        if blank.any():
            line = blank.to_numpy().argmax() + 2  # the header is line 1
            raise InputError(f"{name}: line {line} has no {column}")
    twice = table["path"][table["path"].duplicated()]
    if len(twice):
        raise InputError(f"{name}: {twice.iloc[0]} is listed twice")
    if table["accent"].nunique() < accents:
        raise InputError(f"{name}: only one accent, {table['accent'].iloc[0]!r}; two are needed")
    if "split" in table:
        unknown = sorted(set(table["split"]) - set(SPLITS))
        if unknown:
            raise InputError(f"{name}: unknown split {unknown[0]!r}; use {', '.join(SPLITS)}")
        splits = table.groupby("speaker")["split"].unique()
        torn = splits[splits.map(len) > 1]
        if len(torn):
            raise InputError(
                f"{name}: speaker {torn.index[0]!r} is in the splits {' and '.join(torn.iloc[0])};"
                " a speaker belongs in one"
            )


def select(table: pd.DataFrame, split: str) -> pd.DataFrame:
    """The rows of one split.

    Raises InputError if there are none.
    """
    if "split" not in table:
        raise InputError(f"the corpus has no column split, so nothing is in {split!r}")
    rows = table[table["split"] == split]
    if not len(rows):
        raise InputError(f"the corpus has no clip in the split {split!r}")
    return rows.reset_index(drop=True)


def corpus_note(data: str | Path) -> str:
    """What a corpus's ``NOTE.txt`` says of every figure on it (say, that it is synthetic); often nothing."""
    note = Path(data).with_name("NOTE.txt") if Path(data).is_file() else Path(data) / "NOTE.txt"
    return " ".join(note.read_text(encoding="utf-8", errors="replace").split()) if note.is_file() else ""
