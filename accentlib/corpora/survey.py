"""Examine every file of a listing before training: what it is, whether it is kept, and why not."""

import hashlib
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf

from ..config import SPLITS, InputError
from ..features.audio import SILENCE, SILENT, audio_blocks
from ..features.parallel import on_all_cores
from ..files import file_and_segment
from .sources import NOT_AUDIO

QUIET = 10 ** (-55 / 20)  # recordings with a lower root mean square, -55 dBFS, are called quiet
FULL_SCALE = 0.99  # larger samples may be clipped
EXAMINED = ("seconds", "sample_rate", "channels", "encoding", "remark", "content")
AMOUNTS = ("speakers", "clips", "minutes")


def examine(path: str) -> dict:
    """Decode and measure a file: EXAMINED (``content``: fingerprint of the samples), or only ``problem``."""
    samples, runs, energy, peak, low, high = 0, 0.0, 0.0, 0.0, np.inf, -np.inf
    content = hashlib.blake2b(digest_size=16)
    try:
        for _, block in audio_blocks(path):
            mono, flat = block.mean(axis=1), np.abs(block) >= FULL_SCALE
            samples += len(block)
            runs += (flat[2:] & flat[1:-1] & flat[:-2]).sum() / block.shape[1]  # the top of a wave is cut off
            energy += np.square(mono, dtype=np.float64).sum()
            peak, low, high = max(peak, np.abs(block).max()), min(low, mono.min()), max(high, mono.max())
            content.update(block.tobytes())
        info = sf.info(file_and_segment(path)[0])
    except (InputError, OSError) as error:
        return {"problem": str(error).removeprefix(f"{path}: ")}
    if high - low < 2 * SILENCE:
        return {"problem": SILENT}
    remark = "quiet" if np.sqrt(energy / samples) < QUIET else ""
    remark = "clipped" if runs / samples > 1e-4 else remark
    return {
        "seconds": samples / info.samplerate, "sample_rate": info.samplerate, "channels": info.channels,
        "encoding": f"{info.format} {info.subtype}", "content": f"{content.hexdigest()} {info.samplerate}",
        "remark": "beyond full scale" if peak > 2 else remark,  # integers written as floats
    }  # fmt: skip


def tidy(label: str) -> str:
    """A label in Unicode NFC with single blanks between its words."""
    return " ".join(unicodedata.normalize("NFC", label).split())


def one_spelling(labels: pd.Series) -> tuple[pd.Series, dict[str, list[str]]]:
    """Merge labels that differ only by blanks, case or Unicode form; return the replaced spellings, too."""
    tidied = labels.map(tidy, na_action="ignore")
    keys = tidied.str.casefold()
    chosen = keys.map(tidied.groupby(keys).agg(lambda of: of.value_counts().sort_index().idxmax()))
    groups = labels.dropna().groupby(chosen.dropna()).unique()
    return chosen, {name: sorted(set(of) - {name}) for name, of in groups.items() if len(of) > 1}


def survey(listing: pd.DataFrame, min_seconds: float, min_speakers: int,
           accent_names: dict[str, str] | None) -> tuple[pd.DataFrame, dict]:  # fmt: skip
    """Add EXAMINED, problem (or "") and unknown (speaker) to a listing; return replaced spellings, too."""
    table, spellings = listing.copy(), {}

    def leave_out(rows: pd.Series, problem: str) -> None:
        table.loc[rows & (table["problem"] == ""), "problem"] = problem

    if accent_names:
        names = {tidy(label).casefold(): name for label, name in accent_names.items()}
        table["accent"] = table["accent"].map(tidy, na_action="ignore").str.casefold().map(names).fillna("")
        leave_out(table["accent"] == "", "its accent is not in the table of names")
    keys = table["id" if "id" in table else "path"]
    leave_out(keys.isna() | (keys.str.strip() == ""), f"no {keys.name}")
    usable = table["problem"] == ""
    for name in ("accent", "speaker"):
        table.loc[usable, name], spellings[name] = one_spelling(table.loc[usable, name])
    accents = table[usable].groupby("path")["accent"].nunique()
    leave_out(table["path"].map(accents) > 1, "listed twice, with different accents")
    speakers = table[usable].groupby("path")["speaker"].nunique()
    leave_out(table["path"].map(speakers) > 1, "listed twice, with different speakers: which part is whose?")
    leave_out(keys.duplicated(), "listed twice" if keys.name == "path" else "its id is listed twice")
    paths = table.loc[table["problem"] == "", "path"].unique().tolist()
    found = dict(zip(paths, on_all_cores(examine, paths, progress="examining"), strict=True))
    for name in ("problem", *EXAMINED):
        values = table["path"].map({path: result.get(name) for path, result in found.items()})
        table[name] = values if name in EXAMINED else table["problem"].where(values.isna(), values)
    leave_out(table["seconds"] < min_seconds, f"too short (less than {min_seconds:g} s)")
    contents = table[table["problem"] == ""].groupby("content")
    other_accents = table["content"].map(contents["accent"].nunique()) > 1
    leave_out(other_accents, "the same audio has another accent elsewhere; the right one is unknown")
    leave_out(table["path"] != table["content"].map(contents["path"].first()), "a copy of the same audio")
    table["unknown"] = table["speaker"].isna()
    own = table["accent"] + "/" + table["path"].map(lambda path: Path(path).stem)
    table["speaker"] = table["speaker"].where(~table["unknown"], own)
    speakers = table[table["problem"] == ""].groupby("accent")["speaker"].nunique()
    leave_out(table["accent"].map(speakers) < min_speakers, f"accent of fewer than {min_speakers} speakers")
    return table, spellings


def describe(table: pd.DataFrame, spellings: dict) -> dict:
    """The report of a :func:`survey` in plain types, also by split if the table has that column."""

    def amounts(rows: pd.DataFrame) -> dict:
        figures = (int(rows["speaker"].nunique()), len(rows), round(float(rows["seconds"].sum()) / 60, 2))
        return dict(zip(AMOUNTS, figures, strict=True))

    kept, left_out = table[table["problem"] == ""], table[table["problem"] != ""]
    accents = {accent: amounts(rows) for accent, rows in kept.groupby("accent")}
    for (accent, split), rows in kept.groupby(["accent", "split"]) if "split" in kept else ():
        accents[accent][split] = amounts(rows)
    counts = {name: kept[name].value_counts().items() for name in ("sample_rate", "channels", "encoding")}
    several = {s: sorted(set(of)) for s, of in kept.groupby("speaker")["accent"] if of.nunique() > 1}
    return {
        "files": len(table), "kept": len(kept), "left_out": len(left_out),
        "minutes": amounts(kept)["minutes"], "speakers": amounts(kept)["speakers"], "accents": accents,
        "sample_rates": {str(int(rate)): count for rate, count in counts["sample_rate"]},
        "channels": {str(int(n)): of for n, of in counts["channels"]}, "encodings": dict(counts["encoding"]),
        "remarks": {remark: list(rows["path"]) for remark, rows in kept.groupby("remark") if remark},
        "spellings": {name: variants for name, variants in spellings.items() if variants},
        "same_sound": [list(rows["path"]) for _, rows in table.groupby("content") if len(rows) > 1],
        "speakers_unknown": int(kept["unknown"].sum()), "several_accents": several,
        "left_out_because": {why: list(of) for why, of in left_out.groupby("problem", sort=False)["path"]},
    }  # fmt: skip


def report_table(report: dict) -> pd.DataFrame:
    """Speakers, clips and minutes by accent (rows), in all and in each split (columns), of a report."""
    cells = {
        (accent, part): {name: of[name] for name in AMOUNTS} for accent, amounts in report["accents"].items()
        for part, of in ({"all": amounts} | amounts).items() if part in ("all", *SPLITS)
    }  # fmt: skip
    table = pd.DataFrame.from_dict(cells, orient="index").unstack(fill_value=0).swaplevel(axis=1)
    columns = [(part, name) for part in ("all", *SPLITS) for name in AMOUNTS if (part, name) in table]
    return table[columns].rename_axis("accent")


def count_problems(report: dict) -> int:
    """The number of recordings that were left out; files that are not audio do not count."""
    return sum(len(of) for why, of in report["left_out_because"].items() if not why.startswith(NOT_AUDIO))
