"""What lies in a folder or a table: a row a file with accent and speaker, not yet listened to."""

import os
from pathlib import Path

import pandas as pd

from ..config import InputError
from ..features.audio import AUDIO_SUFFIXES
from ..files import read_table

# Formats that soundfile does not read, and people's telephones write.
FOREIGN_SUFFIXES = (".m4a", ".mp4", ".aac", ".wma", ".amr", ".3gp", ".webm", ".mka", ".ra")
OWN_FILES = ("manifest.csv", "report.json", "NOTE.txt")
SPLIT_NAMES = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test", "eval": "test",
}  # fmt: skip
NOT_AUDIO = "not an audio file"


def from_folder(folder: str | Path, *, accent_column: str = "", speaker_column: str = "") -> pd.DataFrame:
    """List a folder of recordings.

    Parameters
    ----------
    folder : str or Path
        Of one of these layouts, perhaps below folders named train, validation and test:
        ``accent/speaker/*.wav`` (deeper folders are a speaker's too); ``accent/*.wav`` (who speaks is then
        not known); or any, with a ``metadata.csv`` as Hugging Face's AudioFolder has it (``file_name`` and
        label columns).
    accent_column, speaker_column : str
        Of ``metadata.csv``; by default accent or label, and speaker or speaker_id.

    Returns
    -------
    pandas.DataFrame
        A listing: path (absolute), accent, speaker (None: not known), problem (why the file cannot be
        used, often nothing), split where folders name one, and what else ``metadata.csv`` has. No file
        is passed over: what is not audio is there too.

    Raises InputError if there is no such folder, no audio in it, or its ``metadata.csv`` cannot be used.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    parts = [(path, SPLIT_NAMES.get(path.name.lower())) for path in inside]
    listings = []
    if not parts or not all(split for _, split in parts) or (folder / "metadata.csv").is_file():
        parts = [(folder, None)]
    else:
        beside = [path for path in files_in(folder) if path.parent == folder]
        listings.append(pd.DataFrame([_row(path, folder) for path in beside]))
    for part, split in parts:
        if (part / "metadata.csv").is_file():
            listing = _audio_folder(part, accent_column, speaker_column)
        else:
            listing = pd.DataFrame([_row(path, part) for path in files_in(part)])
        listings.append(listing.assign(split=split) if split else listing)
    listing = pd.concat(listings, ignore_index=True) if listings else pd.DataFrame()
    if not len(listing) or listing["problem"].str.startswith(NOT_AUDIO).all():
        raise InputError(f"{folder}: no audio files in it ({', '.join(AUDIO_SUFFIXES)})")
    return listing


def files_in(folder: Path) -> list[Path]:
    """Every file below a folder, in order, but hidden ones and those that a corpus is made of here.

    Folders that are linked to are entered, each once.
    """
    found, seen = [], set()
    for name, folders, files in os.walk(folder, followlinks=True):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        status = os.stat(name)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        own = (*OWN_FILES, "metadata.csv") if Path(name) == folder else ()
        found += [Path(name, file) for file in files if not file.startswith(".") and file not in own]
    return sorted(found)


def suffix_problem(path: Path) -> str:
    """What a file's name says against it: not audio, or of a format that cannot be read; or nothing."""
    suffix = path.suffix.lower()
    if suffix in FOREIGN_SUFFIXES:
        return f"{suffix} files are not read; convert it to .wav or .flac"
    return "" if suffix in AUDIO_SUFFIXES else f"{NOT_AUDIO} ({suffix or 'no extension'})"


def _row(path: Path, folder: Path) -> dict:
    """A file in accent/speaker/ or accent/."""
    above = path.relative_to(folder).parts[:-1]
    problem = suffix_problem(path)
    if not problem and not above:
        problem = "not in the folder of an accent"
    return {
        "path": str(path.absolute()),
        "accent": above[0] if above else "",
        "speaker": above[1] if len(above) > 1 else None,
        "problem": problem,
    }


def _audio_folder(folder: Path, accent_column: str, speaker_column: str) -> pd.DataFrame:
    """A folder with a ``metadata.csv``, and the files in it that the table does not name."""
    file = folder / "metadata.csv"
    names = read_table(file).columns
    if "file_name" not in names:
        raise InputError(
            f"{file}: no column 'file_name' for the path; it has {', '.join(names)}"
            " (a table with other columns: accentlib corpus from-table)"
        )
    accent = accent_column or next((name for name in ("accent", "label") if name in names), "accent")
    speaker = speaker_column or next((name for name in ("speaker", "speaker_id") if name in names), "")
    listing = from_table(file, path_column="file_name", accent_column=accent, speaker_column=speaker)
    listed = set(listing["path"])
    others = [path for path in files_in(folder) if str(path.absolute()) not in listed]
    rows = [
        {
            "path": str(path.absolute()), "accent": "", "speaker": None,
            "problem": suffix_problem(path) or "not listed in metadata.csv",
        }
        for path in others
    ]  # fmt: skip
    return pd.concat([listing, pd.DataFrame(rows)], ignore_index=True) if rows else listing


def from_table(
    file: str | Path,
    *,
    path_column: str = "path",
    accent_column: str = "accent",
    speaker_column: str = "speaker",
    split_column: str = "split",
    audio_dir: str | Path | None = None,
) -> pd.DataFrame:
    """List the recordings that a table names.

    Parameters
    ----------
    file : str or Path
        A CSV or TSV table, a row a recording.
    path_column, accent_column, speaker_column : str
        The columns that hold them; no speaker column ("") means that who speaks is not known.
    split_column : str
        train, validation (valid, val, dev) or test of each row; it need not be there.
    audio_dir : str or Path, optional
        Where the paths begin; by default beside the table.

    Returns
    -------
    pandas.DataFrame
        A listing, as :func:`from_folder` gives it; the table's other columns are kept.

    Raises InputError if the table cannot be read or lacks a column; those that it has are named.
    """
    table = read_table(file)
    wanted = {"path": path_column, "accent": accent_column, "speaker": speaker_column}
    for name, column in wanted.items():
        if column and column not in table:
            raise InputError(
                f"{file}: no column {column!r} for the {name}; it has {', '.join(table.columns)}"
                f" (choose by --{name}-column)"
            )
    if not len(table):
        raise InputError(f"{file}: has no rows")
    listing = pd.DataFrame({name: table[column] for name, column in wanted.items() if column})
    others = [column for column in table if column not in (*wanted.values(), *wanted, "split", "problem")]
    listing[others] = table[others]
    if split_column in table:
        listing["split"] = table[split_column].str.strip().str.lower().map(SPLIT_NAMES)
    base = Path(audio_dir) if audio_dir else Path(file).parent
    blank = {name: listing[name].str.strip() == "" for name in wanted if name in listing}
    if "speaker" not in listing:
        listing["speaker"] = None
    listing["path"] = [str((base / path.strip()).absolute()) for path in listing["path"]]
    listing["problem"] = ""
    for name, rows in blank.items():
        listing.loc[rows, "problem"] = f"no {name} in {Path(file).name}"
    return listing


def read_accent_names(file: str | Path) -> dict[str, str]:
    """Read a table (accent, name) that gives labels their names; labels of one name are merged.

    Raises InputError if it cannot be used.
    """
    table = read_table(file)
    if not {"accent", "name"} <= set(table.columns):
        raise InputError(f"{file}: needs the columns accent and name; it has {', '.join(table.columns)}")
    return dict(zip(table["accent"], table["name"].str.strip(), strict=True))
