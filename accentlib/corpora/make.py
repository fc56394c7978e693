"""From a listing to a corpus on disk: a manifest that every command takes, and the report beside it."""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from ..config import SHORTEST_CLIP, InputError, counted
from ..files import read_table, replacing
from .splits import SPLITS, few_speakers, split_by_speaker
from .survey import describe, report_table, survey
from .table import COLUMNS, check_corpus

SHOWN = 3  # files named on stderr for each reason; the report names all


def make_corpus(
    listing: pd.DataFrame,
    output: str | Path,
    *,
    seed: int = 1234,
    min_seconds: float = SHORTEST_CLIP,
    min_speakers: int = 1,
    accent_names: dict[str, str] | None = None,
    note: str = "",
    progress: bool = True,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Listen to a listing, deal its speakers into splits, and write a corpus.

    Made again over the same ``output``, with recordings added, speakers keep the splits that they have there.

    Parameters
    ----------
    listing : pandas.DataFrame
        From :func:`accentlib.from_folder`, :func:`accentlib.from_table` or :func:`accentlib.read_known`.
    output : str or Path
        Folder that receives ``manifest.csv``, ``report.json`` and, with a note, ``NOTE.txt``.
    seed, min_seconds, min_speakers, accent_names
        As for :func:`accentlib.corpora.splits.split_by_speaker` and :func:`accentlib.corpora.survey.survey`.
    note : str
        What should be known of figures on this corpus; it is printed beside them.
    progress : bool
        Say on stderr what was found.

    Returns
    -------
    table : pandas.DataFrame
        The corpus, as :func:`accentlib.read_corpus` reads it.
    report : dict
        What ``report.json`` holds: amounts by accent and split, sample rates, channels, encodings; what
        is clipped or quiet; label variants, copies, speakers of several accents; what was left out and why.

    Raises InputError if nothing usable is left, or ``output`` holds a manifest or a report that was not made by this.
    """
    output = Path(output)
    manifest, report_file = output / "manifest.csv", output / "report.json"
    if manifest.is_file() and not report_file.is_file():
        raise InputError(f"{manifest} was not made by this command; name another --output")
    if report_file.is_file() and b'"left_out_because"' not in report_file.read_bytes():
        raise InputError(f"{report_file} was not made by this command; name another --output")
    surveyed, spellings = survey(
        listing, min_seconds=min_seconds, min_speakers=min_speakers, accent_names=accent_names
    )
    kept = surveyed[surveyed["problem"] == ""]
    how = deal(kept, seed, _dealt(manifest))
    surveyed = surveyed.drop(columns="split", errors="ignore")
    if how["split"] is not None:
        surveyed["split"] = how["split"].reindex(surveyed.index)
    report = describe(surveyed, spellings)
    few = "" if how["split"] is None else few_speakers(kept[how["split"] == "test"])
    report |= {"split": how["said"], "few_speakers": few, "note": note}
    output.mkdir(parents=True, exist_ok=True)
    with replacing(report_file) as temporary:
        text = json.dumps(report, indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    if progress:
        print(report_text(report), file=sys.stderr)
    if not report["kept"]:
        raise InputError(f"no file can be used; {report_file} says why")
    table = surveyed[surveyed["problem"] == ""].drop(columns=["problem", "content", "remark", "unknown"])
    table = table.astype({"sample_rate": int, "channels": int}).reset_index(drop=True)
    check_corpus(table, name=str(output))
    _write(table, manifest)
    if note and not (output / "NOTE.txt").exists():  # it may be the user's
        (output / "NOTE.txt").write_text(note + "\n", encoding="utf-8")
    return table, report


def _write(table: pd.DataFrame, manifest: Path, *, over: bool = True) -> None:
    """Write a manifest; paths below its folder are relative to it, so that both can be moved.

    Raises InputError, unless ``over``, if another one is there.
    """
    base = manifest.parent.absolute()
    paths = [Path(path) for path in table["path"]]
    written = [os.path.relpath(path, base) if path.is_relative_to(base) else str(path) for path in paths]
    table = table.assign(path=written)
    first = [name for name in ("path", "accent", "speaker", "split") if name in table]
    table = table[first + [name for name in table if name not in first]]
    with replacing(manifest) as temporary:
        table.to_csv(temporary, index=False, float_format="%.3f")
        if not over and manifest.is_file() and manifest.read_bytes() != temporary.read_bytes():
            raise InputError(f"{manifest} is there already, and is another; name another --output")


def _dealt(manifest: Path) -> dict[str, str]:
    """The sides that speakers have in a manifest that is made again."""
    if not manifest.is_file():
        return {}
    table = read_table(manifest)
    if not {"speaker", "split"} <= set(table):
        return {}
    table = table[table["split"].isin(SPLITS)]  # somebody may have edited it
    return dict(zip(table["speaker"], table["split"], strict=True))


def deal(kept: pd.DataFrame, seed: int, dealt: dict[str, str]) -> dict[str, Any]:
    """The split of each row, and how it came about.

    A corpus's own split is taken where it has one and no speaker is in two parts; where it has no
    validation part, that is taken from the speakers of its training part. Else speakers are dealt.

    Returns
    -------
    dict
        ``split``, a Series, or None where an accent has too few speakers; ``said``, a sentence.
    """
    refused = ""
    if "split" in kept and kept["split"].notna().any():
        own = kept["split"]
        if own.isna().any():
            refused = "the corpus's own split does not name every file; "
        elif (kept.groupby("speaker")["split"].nunique() > 1).any():
            refused = "the corpus's own split has speakers on both sides, so it is not used; "
        elif set(own) == set(SPLITS):
            return {"split": own, "said": "the corpus's own"}
        elif set(own) == {"train", "test"}:
            train = kept[own == "train"]
            try:
                validation = split_by_speaker(train, seed=seed, name="its training part")
            except InputError as error:
                return {"split": None, "said": f"none; {error}"}
            split = own.mask(validation.reindex(own.index) == "validation", "validation")
            return {
                "split": split,
                "said": f"the corpus's own; validation from its training part, seed {seed}",
            }
        else:
            refused = f"the corpus's own split is {', '.join(sorted(set(own)))} only; "
    if not len(kept):
        return {"split": None, "said": "none; no file can be used"}
    try:
        split = split_by_speaker(kept, seed=seed, name="the corpus", dealt=dealt)
    except InputError as error:
        return {"split": None, "said": f"{refused}none; {error}"}
    known = len(set(kept["speaker"]) & dealt.keys())
    said = f"{refused}speakers dealt by seed {seed}"
    return {"split": split, "said": said + (f"; {known} of them keep the sides they had" if known else "")}


def report_text(report: dict[str, Any]) -> str:
    """A report as people read it."""
    lines = [
        f"{counted(report['files'], 'file')}: {report['kept']} kept ({report['minutes']:.1f} min,"
        f" {counted(report['speakers'], 'speaker')}), {report['left_out']} left out"
    ]
    if report["accents"]:
        lines.append(report_table(report).to_string(float_format="{:.1f}".format))
    for name in ("sample_rates", "channels", "encodings"):
        counts = ", ".join(f"{key}: {count}" for key, count in report[name].items())
        lines.append(f"{name.replace('_', ' ')}: {counts}")
    for name, variants in report["spellings"].items():
        for spelling, others in variants.items():
            lines.append(f"{name} {spelling!r} was also written {', '.join(map(repr, others))}: made one")
    if report["speakers_unknown"]:
        lines.append(
            f"who speaks is not known for {counted(report['speakers_unknown'], 'file')}: each counts as a speaker."
            " If anyone speaks in two, figures will be too high; use accent/speaker/ folders or a table"
        )
    several = [f"{s} ({', '.join(of)})" for s, of in report["several_accents"].items()]
    if several:
        lines.append(
            f"under several accents, each taken as one person: {counted(len(several), 'speaker')}:"
            f" {_some(several)}; if they are different people, name them apart"
        )
    for remark, paths in report["remarks"].items():
        lines.append(f"{remark}, kept: {counted(len(paths), 'file')}: {_some(paths)}")
    for reason, paths in report["left_out_because"].items():
        lines.append(f"left out, {reason}: {counted(len(paths), 'file')}: {_some(paths)}")
    few = (
        f"; this test {report['few_speakers']} (accentlib crossvalidate tests everyone)"
        if report["few_speakers"]
        else ""
    )
    return "\n".join([*lines, f"split: {report['split']}{few}"])


def _some(names: list[str]) -> str:
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def join_corpora(data: Sequence[str | Path], output: str | Path, *, seed: int = 1234) -> pd.DataFrame:
    """Make one corpus of several, with a column ``corpus`` that says where each clip is from.

    Speakers are told apart by corpus. Splits are kept if all have one, else all speakers are dealt.

    Parameters
    ----------
    data : sequence of str or Path
        Folders with a ``manifest.csv``, named differently, or such files.
    output, seed
        As for :func:`make_corpus`.

    Raises InputError if a manifest lacks a column, two folders have one name, or the whole is no corpus.
    """
    tables = {}
    for folder in map(Path, data):
        manifest = folder / "manifest.csv" if folder.is_dir() else folder
        table, name = read_table(manifest), manifest.absolute().parent.name
        missing = [column for column in COLUMNS if column not in table]
        if missing:
            raise InputError(f"{manifest}: lacks the column {missing[0]}; it has {', '.join(table.columns)}")
        if name in tables:
            raise InputError(f"two corpora are called {name!r}; rename a folder")
        table["path"] = [str((manifest.parent / path).absolute()) for path in table["path"]]
        tables[name] = table.assign(speaker=f"{name}/" + table["speaker"], corpus=name)
    joined = pd.concat(tables.values(), ignore_index=True).fillna("")
    if not all("split" in table for table in tables.values()):
        joined["split"] = split_by_speaker(joined, seed=seed, name=str(output))
    check_corpus(joined, name=str(output))
    Path(output).mkdir(parents=True, exist_ok=True)
    _write(joined, Path(output) / "manifest.csv", over=False)
    return joined
