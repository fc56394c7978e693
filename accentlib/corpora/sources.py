"""List the recordings of a folder or a table, one per row with accent and speaker, before any is read."""

import os
from pathlib import Path

import pandas as pd

from ..config import InputError
from ..features.audio import AUDIO_SUFFIXES
from ..files import read_table
from .table import NO_SEGMENT, with_segments

# Formats that telephones record and soundfile cannot read.
FOREIGN_SUFFIXES = (".m4a", ".mp4", ".aac", ".wma", ".amr", ".3gp", ".webm", ".mka", ".ra")
OWN_FILES = ("manifest.csv", "report.json", "NOTE.txt", "metadata.csv")
SPLIT_NAMES = {"train": "train", "training": "train", "test": "test", "testing": "test", "eval": "test"}
SPLIT_NAMES |= dict.fromkeys(("validation", "valid", "val", "dev"), "validation")
NOT_AUDIO = "not an audio file"


def from_folder(folder: str | Path, *, accent_column: str = "", speaker_column: str = "") -> pd.DataFrame:
    """List recordings: ``accent/speaker/*.wav`` (or deeper), or ``accent/*.wav`` (speaker unknown).

    Or any folder with a ``metadata.csv`` as Hugging Face's AudioFolder has it: ``file_name`` and labels,
    by default accent or label, and speaker or speaker_id. Or one of these in each of train, validation, test.
    Returns path (absolute), accent, speaker (or None) and problem (why it cannot be used, or "") of each
    file, the split if folders name it, and the table's other columns. Raises InputError if there is no audio.
    """
    folder, columns = Path(folder), (accent_column, speaker_column)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    splits = {path: SPLIT_NAMES.get(path.name.lower()) for path in inside}
    rows = _rows(folder, *columns)
    if splits and all(splits.values()) and not (folder / "metadata.csv").is_file():
        rows = [row for row in rows if Path(row["path"]).parent == folder.absolute()]
        rows += [row | {"split": split} for part, split in splits.items() for row in _rows(part, *columns)]
    if all(row["problem"].startswith(NOT_AUDIO) for row in rows):
        raise InputError(f"{folder}: no audio files in it ({', '.join(AUDIO_SUFFIXES)})")
    return pd.DataFrame(rows)


def _rows(folder: Path, accent_column: str, speaker_column: str) -> list[dict]:
    """The rows of ``metadata.csv``, if there is one, and then the other files, labelled by their folders."""
    rows, file = [], folder / "metadata.csv"
    if file.is_file():
        names = read_table(file).columns
        accents = accent_column or ("label" if "label" in names and "accent" not in names else "accent")
        speakers = speaker_column or next((name for name in ("speaker", "speaker_id") if name in names), "")
        listing = from_table(file, path_column="file_name", accent_column=accents, speaker_column=speakers)
        rows = listing.to_dict("records")
    listed = {row["path"] for row in rows}
    for path in (path for path in files_in(folder) if str(path.absolute()) not in listed):
        folders, suffix = path.relative_to(folder).parts[:-1], path.suffix.lower()
        problem = "not listed in metadata.csv" if listed else "not in the folder of an accent"
        if suffix in FOREIGN_SUFFIXES:
            problem = f"{suffix} files are not read; convert it to .wav or .flac"
        elif suffix not in AUDIO_SUFFIXES:
            problem = f"{NOT_AUDIO} ({suffix or 'no extension'})"
        elif folders and not listed:
            problem = ""
        accent, speaker = (*folders, None, None)[:2]
        rows.append({"path": str(path.absolute()), "accent": accent, "speaker": speaker, "problem": problem})
    return rows


def files_in(folder: Path) -> list[Path]:
    """All files below a folder, sorted, except hidden and a corpus's own ones; links are followed once."""
    found, seen = [], set()
    for name, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        if (real := Path(name).resolve()) in seen:
            folders.clear()
            continue
        seen.add(real)
        own = OWN_FILES if Path(name) == folder else ()
        found += [Path(name, file) for file in files if not file.startswith(".") and file not in own]
    return sorted(found)


def from_table(file: str | Path, *, path_column: str = "path", accent_column: str = "accent",
               speaker_column: str = "speaker", split_column: str = "split", start_column: str = "start",
               end_column: str = "end", audio_dir: str | Path | None = None) -> pd.DataFrame:  # fmt: skip
    """List the recordings of a CSV or TSV table, one per row; ``speaker_column=""`` if speakers are unknown.

    Paths are relative to ``audio_dir``, by default the table's folder. With ``start_column`` and
    ``end_column`` (s) a row is a segment of its recording, where they are not empty. Returns a listing as
    :func:`from_folder` does, with the other columns. Raises InputError if the table cannot be used."""
    table, base = read_table(file), Path(audio_dir or Path(file).parent)
    for name, column in (("start", start_column), ("end", end_column)):
        if column != name and column not in table:
            it_has = ", ".join(table.columns)
            raise InputError(f"{file}: no column {column!r} for the {name}; it has {it_has}")
    table = table.rename(columns={start_column: "start", end_column: "end"})
    wanted = {"path": path_column, "accent": accent_column, "speaker": speaker_column}
    for name, column in wanted.items():
        if column and column not in table:
            it_has = f"it has {', '.join(table.columns)} (accentlib corpus from-table has --{name}-column)"
            raise InputError(f"{file}: no column {column!r} for the {name}; {it_has}")
    if not len(table):
        raise InputError(f"{file}: has no rows")
    listing = pd.DataFrame({name: table[column] if column else None for name, column in wanted.items()})
    others = [column for column in table if column not in (*wanted.values(), *wanted, "split", "problem")]
    listing = listing.join(table[others]).assign(problem="")
    if split_column in table:
        listing["split"] = table[split_column].str.strip().str.lower().map(SPLIT_NAMES)
    for name in filter(wanted.get, wanted):
        listing.loc[listing[name].str.strip() == "", "problem"] = f"no {name} in {Path(file).name}"
    listing["path"] = [str((base / path.strip()).absolute()) for path in listing["path"]]
    listing, wrong = with_segments(listing)
    listing.loc[wrong & (listing["problem"] == ""), "problem"] = NO_SEGMENT
    return listing


def read_accent_names(file: str | Path) -> dict[str, str]:
    """Read a table (accent, name) of new names for accent labels. Raises InputError if it cannot be used."""
    table = read_table(file)
    if not {"accent", "name"} <= set(table.columns):
        raise InputError(f"{file}: needs the columns accent and name; it has {', '.join(table.columns)}")
    return dict(zip(table["accent"], table["name"].str.strip(), strict=True))
