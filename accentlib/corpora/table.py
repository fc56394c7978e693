"""A corpus is a table with one clip per row and the columns path, accent, speaker, split and id."""

import os
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from ..config import SPLITS, InputError, counted
from ..files import read_table, segment_path
from .splits import split_by_speaker, unseen_texts

COLUMNS = ("path", "accent", "speaker")
NO_SEGMENT = "start and end are not the times of a segment, in s"
PLAIN = re.compile(r"/?([^/.][^/]*/)*[^/.][^/]*" if os.sep == "/" else "(?!)").fullmatch


def read_corpus(data: str | Path, *, seed: int = 1234, split: bool = True) -> pd.DataFrame:
    """Read and check a corpus: a folder with a ``manifest.csv``, or that file.

    Its columns: path (absolute, or relative to the file), accent, speaker, and optionally start and end (s)
    of a segment, split (train, validation, test; by default made from the seed) and id. ``split=False``: no
    split, one accent is enough. With a split, clips whose text is tested are left out of training
    (:func:`unseen_texts`). Returns absolute paths and unique ids (by default the paths). Raises InputError
    if it is not a corpus."""
    manifest = Path(data) / "manifest.csv" if Path(data).is_dir() else Path(data)
    if not manifest.is_file():
        raise InputError(f"{manifest}: no such file; `accentlib corpus from-folder` (or from-table) makes it")
    table, wrong = with_segments(read_table(manifest, separators=","))
    if wrong.any():
        raise InputError(f"{manifest}: line {wrong.argmax() + 2}: {NO_SEGMENT}")
    check_corpus(table, name=str(manifest), accents=2 if split else 1)
    folder = manifest.parent.absolute()
    join = os.path.join  # noqa: PTH118  pathlib takes 8 us, a million times
    table["path"] = [join(folder, x) if PLAIN(x) else str(folder / x) for x in table["path"].tolist()]
    table["id"] = table["id" if "id" in table else "path"]
    if split and "split" not in table:
        table["split"] = split_by_speaker(table, seed=seed, name=str(manifest))
        counts = ", ".join(f"{split} {of.nunique()}" for split, of in table.groupby("split")["speaker"])
        print(f"{manifest}: no split column; speakers assigned by seed {seed}: {counts}", file=sys.stderr)
    if split and (shared := len(table) - len(kept := unseen_texts(table))):
        print(
            f"{manifest}: {counted(shared, 'clip')} not trained on: their texts are tested", file=sys.stderr
        )
        table = kept.reset_index(drop=True)
    return table


def with_segments(table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """A table whose paths name the segments in its columns ``start`` and ``end`` (s), if it has them and they
    are not empty (:data:`accentlib.files.SEGMENT`); and which rows have times that cannot be used."""
    if not {"start", "end"} <= set(table.columns):
        return table, np.zeros(len(table), bool)
    texts = table[["start", "end"]].astype(str).apply(lambda x: x.str.strip().str.replace(",", "."))
    start, end = (pd.to_numeric(texts[name], errors="coerce") for name in texts)
    segment, good = (texts != "").any(axis=1), (start >= 0) & (start < end) & (end < np.inf)
    named = list(map(segment_path, table["path"], start, end))
    return table.assign(path=table["path"].mask(segment & good, named)), (segment & ~good).to_numpy()


def check_corpus(table: pd.DataFrame, *, name: str = "table", accents: int = 2) -> None:
    """Raise InputError, starting with ``name``, unless a table is a corpus of ``accents`` or more accents."""
    if missing := [column for column in COLUMNS if column not in table]:
        it_has = f"{', '.join(table.columns)} (accentlib corpus from-table makes a corpus of any table)"
        raise InputError(f"{name}: lacks the column {', '.join(missing)}; it has {it_has}")
    if not len(table):
        raise InputError(f"{name}: has no rows")
    for column in [*COLUMNS, *table.columns.intersection(["split", "id"])]:
        if (blank := (table[column].str.strip() == "").to_numpy()).any():
            raise InputError(f"{name}: line {blank.argmax() + 2} has no {column}")  # the header is line 1
    keys = table["id" if "id" in table else "path"]
    if keys.duplicated().any():
        raise InputError(f"{name}: {keys.name} {keys[keys.duplicated()].iloc[0]} is listed twice")
    if table["accent"].nunique() < accents:
        raise InputError(f"{name}: only one accent, {table['accent'].iloc[0]!r}; two are needed")
    for speaker, splits in table.groupby("speaker")["split"].unique().items() if "split" in table else ():
        if unknown := sorted(set(splits) - set(SPLITS)):
            raise InputError(f"{name}: unknown split {unknown[0]!r}; use {', '.join(SPLITS)}")
        if len(splits) > 1:
            found = f"speaker {speaker!r} is in the splits {' and '.join(splits)}"
            raise InputError(f"{name}: {found}; a speaker belongs in one")


def select(table: pd.DataFrame, split: str) -> pd.DataFrame:
    """Return the rows of one split. Raises InputError if there are none."""
    if "split" not in table:
        raise InputError(f"the corpus has no column split, so nothing is in {split!r}")
    rows = table[table["split"] == split].reset_index(drop=True)
    if not len(rows):
        raise InputError(f"the corpus has no clip in the split {split!r}")
    return rows


def synthetic(table: pd.DataFrame) -> bool:
    """Whether all of a corpus is synthetic speech, by its column ``speech``; people where nothing is said."""
    return "speech" in table and bool((table["speech"] == "synthetic").all())


def corpus_note(data: str | Path) -> str:
    """The text of a corpus's ``NOTE.txt``, printed with every result (say, that it is synthetic), or ""."""
    note = Path(data).with_name("NOTE.txt") if Path(data).is_file() else Path(data) / "NOTE.txt"
    return " ".join(note.read_text(encoding="utf-8", errors="replace").split()) if note.is_file() else ""
