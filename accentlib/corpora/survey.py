"""Listen to every file of a listing, and say what is there, what is kept and what is left out, before training."""

import hashlib
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import soundfile as sf

from ..config import SHORTEST_CLIP, InputError
from ..features.audio import SILENCE, SILENT, audio_blocks
from ..features.parallel import on_all_cores
from .sources import NOT_AUDIO

QUIET = 10 ** (-55 / 20)  # a recording whose root mean square is below -55 dBFS is called quiet
FULL_SCALE = 0.99  # what is above may be cut off
EXAMINED = ("seconds", "sample_rate", "channels", "encoding", "remark", "content")


def examine(path: str) -> dict[str, Any]:
    """Decode a file and look at it.

    Returns
    -------
    dict
        ``problem`` if it cannot be used; else ``seconds``, ``sample_rate`` (Hz), ``channels``, ``encoding``
        (format and sample type), ``remark`` (clipped, quiet, beyond full scale, or nothing) and
        ``content`` (a fingerprint of the decoded samples).
    """
    try:
        return _measured(path)
    except (InputError, OSError) as error:
        return {"problem": str(error).removeprefix(f"{path}: ")}


def _measured(path: str) -> dict[str, Any]:
    """What :func:`examine` gives of a file that can be used."""
    samples = runs = 0
    energy, peak, low, high = 0.0, 0.0, np.inf, -np.inf
    content = hashlib.blake2b(digest_size=16)
    for _, block in audio_blocks(path):
        mono, flat = block.mean(axis=1), np.abs(block) >= FULL_SCALE
        samples += len(block)
        # three samples in a row: the wave's top is cut off
        runs += (flat[2:] & flat[1:-1] & flat[:-2]).sum() / block.shape[1]
        energy += np.square(mono, dtype=np.float64).sum()
        peak, low, high = max(peak, np.abs(block).max()), min(low, mono.min()), max(high, mono.max())
        content.update(block.tobytes())
    if high - low < 2 * SILENCE:
        raise InputError(f"{path}: {SILENT}")
    remark = "quiet" if np.sqrt(energy / samples) < QUIET else ""
    if peak > 2:
        remark = "beyond full scale"  # whole numbers written as floats
    elif runs / samples > 1e-4:
        remark = "clipped"
    info = sf.info(path)
    return {
        "seconds": samples / info.samplerate,
        "sample_rate": info.samplerate,
        "channels": info.channels,
        "encoding": f"{info.format} {info.subtype}",
        "remark": remark,
        "content": f"{content.hexdigest()} at {info.samplerate} Hz",
    }


def one_spelling(labels: pd.Series) -> tuple[pd.Series, dict[str, list[str]]]:
    """Labels that differ only by blanks, case or Unicode form take their commonest spelling.

    Returns
    -------
    labels : pandas.Series
        Missing ones stay missing.
    variants : dict
        What each spelling replaced; blanks at the ends that every label had are not worth a word.
    """
    tidy = labels.map(lambda x: " ".join(unicodedata.normalize("NFC", x).split()), na_action="ignore")
    keys = tidy.str.casefold()
    best = tidy.groupby(keys).agg(lambda of: of.value_counts().sort_index().idxmax())
    chosen = keys.map(best)
    groups = labels.dropna().groupby(chosen.dropna()).unique()
    variants = {name: sorted(set(of) - {name}) for name, of in groups.items() if len(of) > 1}
    return chosen, variants


def survey(
    listing: pd.DataFrame,
    *,
    min_seconds: float = SHORTEST_CLIP,
    min_speakers: int = 1,
    accent_names: dict[str, str] | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Listen to every file of a listing and decide which can be used.

    Parameters
    ----------
    listing : pandas.DataFrame
        From :func:`accentlib.from_folder`, :func:`accentlib.from_table` or a known corpus.
    min_seconds : float
        Shorter clips are left out.
    min_speakers : int
        Accents of fewer speakers are left out.
    accent_names : dict of str to str, optional
        Names of labels (:func:`accentlib.corpora.sources.read_accent_names`), compared without blanks and case;
        what it does not name is left out.

    Returns
    -------
    table : pandas.DataFrame
        The listing with what was measured; ``problem`` says why a row is left out. Where who speaks is
        not known (``unknown``), each file has a speaker of its own.
    spellings : dict
        Label variants that were made one, of accent and speaker.
    """
    table, spellings = listing.copy(), {}
    if accent_names:
        _rename(table, accent_names)
    usable = table["problem"] == ""
    for name in ("accent", "speaker"):
        table.loc[usable, name], spellings[name] = one_spelling(table.loc[usable, name])
    rows = table[table["problem"] == ""].groupby("path")["accent"]
    _mark(table, table["path"].map(rows.nunique()) > 1, "listed twice, with different accents")
    _mark(table, table["path"].duplicated() & (table["problem"] == ""), "listed twice")
    wanted = list(table.loc[table["problem"] == "", "path"])
    found = dict(zip(wanted, on_all_cores(examine, wanted, progress="listening"), strict=True))
    for name in ("problem", *EXAMINED):
        values = table["path"].map({path: result.get(name) for path, result in found.items()})
        table[name] = values if name in EXAMINED else table["problem"].where(values.isna(), values)
    short = table["seconds"] < min_seconds
    _mark(table, short, f"too short (less than {min_seconds:g} s)")
    _mark_duplicates(table)
    table["unknown"] = table["speaker"].isna()
    own = table["accent"] + "/" + table["path"].map(lambda path: Path(path).stem)
    table["speaker"] = table["speaker"].where(~table["unknown"], own)
    speakers = table[table["problem"] == ""].groupby("accent")["speaker"].nunique()
    rare = table["accent"].isin(speakers.index[speakers < min_speakers])
    _mark(table, rare, f"accent of fewer than {min_speakers} speakers")
    return table, spellings


def _mark(table: pd.DataFrame, rows: pd.Series, problem: str) -> None:
    """Leave rows out, unless they are already for another reason."""
    table.loc[rows & (table["problem"] == ""), "problem"] = problem


def _rename(table: pd.DataFrame, names: dict[str, str]) -> None:
    """Give accents the names of a table."""
    known = {" ".join(label.split()).casefold(): name for label, name in names.items()}
    renamed = table["accent"].map(lambda label: known.get(" ".join(label.split()).casefold(), ""))
    _mark(table, renamed == "", "its accent is not in the table of names")
    table["accent"] = renamed.where(renamed != "", table["accent"])


def _mark_duplicates(table: pd.DataFrame) -> None:
    """Of files with the same sound keep the first; none if they are said to be of different accents."""
    contents = table.loc[table["problem"] == "", ["content", "accent"]]
    accents = contents.groupby("content")["accent"].transform("nunique").reindex(table.index, fill_value=0)
    _mark(table, accents > 1, "the same sound is there under another accent: which is right is not known")
    again = contents["content"].duplicated().reindex(table.index, fill_value=False)
    _mark(table, again, "a copy: the same sound is there already")


def describe(table: pd.DataFrame, spellings: dict[str, Any]) -> dict[str, Any]:
    """The report of a survey, in plain types.

    Parameters
    ----------
    table : pandas.DataFrame
        What :func:`survey` gives; a column ``split`` is told apart.
    spellings : dict
        What it gives beside it.
    """
    kept = table[table["problem"] == ""]
    left_out = table[table["problem"] != ""]
    counted = {name: kept[name].value_counts().to_dict() for name in ("sample_rate", "channels", "encoding")}
    accents = kept.groupby("speaker")["accent"].unique()
    return {
        "files": len(table),
        "kept": len(kept),
        "left_out": len(left_out),
        "minutes": round(float(kept["seconds"].sum()) / 60, 2),
        "speakers": int(kept["speaker"].nunique()),
        "accents": {accent: _amounts(rows) for accent, rows in kept.groupby("accent")},
        "sample_rates": {str(int(rate)): count for rate, count in counted["sample_rate"].items()},
        "channels": {str(int(channels)): count for channels, count in counted["channels"].items()},
        "encodings": counted["encoding"],
        "remarks": {
            remark: list(rows["path"]) for remark, rows in kept[kept["remark"] != ""].groupby("remark")
        },
        "spellings": {name: variants for name, variants in spellings.items() if variants},
        "same_sound": [list(rows["path"]) for _, rows in table.groupby("content") if len(rows) > 1],
        "speakers_unknown": int(kept["unknown"].sum()),
        "several_accents": {s: sorted(of) for s, of in accents.items() if len(of) > 1},
        "left_out_because": {
            reason: list(rows["path"])
            for reason, rows in left_out.groupby(left_out["problem"], sort=False)
        },
    }  # fmt: skip


def _amounts(rows: pd.DataFrame) -> dict[str, Any]:
    """Speakers, clips and minutes, in all and of each split."""

    def amounts(part: pd.DataFrame) -> dict[str, Any]:
        minutes = round(float(part["seconds"].sum()) / 60, 2)
        return {"speakers": int(part["speaker"].nunique()), "clips": len(part), "minutes": minutes}

    splits = rows.groupby("split") if "split" in rows else ()
    return amounts(rows) | {split: amounts(part) for split, part in splits}


def report_table(report: dict[str, Any]) -> pd.DataFrame:
    """The amounts of a report: a row an accent, columns of speakers, clips and minutes, in all and of each split."""
    rows = {}
    for accent, amounts in report["accents"].items():
        parts = {"all": amounts} | {split: of for split, of in amounts.items() if isinstance(of, dict)}
        rows[accent] = {
            (split, name): of[name]
            for split, of in parts.items()
            for name in ("speakers", "clips", "minutes")
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.columns = pd.MultiIndex.from_tuples(table.columns)
    order = [
        name for name in ("all", "train", "validation", "test") if name in table.columns.get_level_values(0)
    ]
    return table[order].fillna(0).rename_axis("accent")


def count_problems(report: dict[str, Any]) -> int:
    """How many recordings were left out; files that are not audio do not count."""
    reasons = report["left_out_because"].items()
    return sum(len(paths) for reason, paths in reasons if not reason.startswith(NOT_AUDIO))
