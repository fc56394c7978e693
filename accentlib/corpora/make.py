"""Write a corpus: the manifest of a listing's usable clips, with splits, and the report beside it."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from ..config import SHORTEST_CLIP, SPLITS, InputError, counted
from ..files import file_and_segment, read_table, replacing
from .splits import few_speakers, split_by_speaker
from .survey import describe, report_table, survey
from .table import check_corpus, read_corpus

SHOWN = 3  # files named on stderr for each reason; the report names all


def make_corpus(
    listing: pd.DataFrame, output: str | Path, *, seed: int = 1234, min_seconds: float = SHORTEST_CLIP,
    min_speakers: int = 1, accent_names: dict[str, str] | None = None, note: str = "", progress: bool = True,
) -> tuple[pd.DataFrame, dict]:  # fmt: skip
    """Examine a listing (:func:`accentlib.from_folder`), assign its speakers to splits, and write a corpus.

    ``output`` receives ``manifest.csv``, ``report.json`` and, with a ``note`` to print beside every result,
    ``NOTE.txt``; speakers of an earlier version keep their splits. Left out are clips below ``min_seconds``,
    accents with fewer than ``min_speakers``, and, with ``accent_names`` (label to name), all other accents.
    Returns the corpus with absolute paths, and the report: what was found, left out, and why. Raises
    InputError if no file is usable, or ``output`` has a manifest or report from elsewhere."""
    manifest, report_file = Path(output) / "manifest.csv", Path(output) / "report.json"
    ours = report_file.is_file() and b'"left_out_because"' in report_file.read_bytes()
    if not ours and (found := [file for file in (report_file, manifest) if file.is_file()]):
        raise InputError(f"{found[0]} was not made by this command; name another --output")
    table, spellings = survey(listing, min_seconds, min_speakers, accent_names)
    kept, few = table[table["problem"] == ""], ""
    earlier = read_table(manifest) if manifest.is_file() else pd.DataFrame()
    earlier = earlier.reindex(columns=["speaker", "split"]).set_index("speaker")["split"]
    split, origin = assign(kept, seed, earlier[earlier.isin(SPLITS)].to_dict())
    table = table.drop(columns="split", errors="ignore")
    if split is not None:
        table["split"], few = split, few_speakers(kept[split == "test"])
    report = describe(table, spellings) | {"split": origin, "few_speakers": few, "note": note}
    manifest.parent.mkdir(parents=True, exist_ok=True)
    with replacing(report_file) as temporary:
        temporary.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if progress:
        print(report_text(report), file=sys.stderr)
    if not report["kept"]:
        raise InputError(f"no file can be used; {report_file} says why")
    table = table[table["problem"] == ""].drop(columns=["problem", "content", "remark", "unknown"])
    table = table.astype({"sample_rate": int, "channels": int}).reset_index(drop=True)
    _write(table, manifest)
    if note and not (note_file := manifest.with_name("NOTE.txt")).exists():  # it may be the user's
        note_file.write_text(note + "\n", encoding="utf-8")
    return table, report


def _write(table: pd.DataFrame, manifest: Path, *, over: bool = True) -> None:
    """Check and write a corpus, with relative paths in its folder; unless ``over``, refuse to change one."""
    check_corpus(table, name=str(manifest.parent))
    manifest.parent.mkdir(parents=True, exist_ok=True)
    base = manifest.parent.absolute()
    files, segments = zip(*map(file_and_segment, table["path"]), strict=True)
    if any(segments):
        texts = [("", "") if x is None else (f"{x[0]:.3f}", f"{x[1]:.3f}") for x in segments]
        table["start"], table["end"] = zip(*texts, strict=True)
    paths = [os.path.relpath(p, base) if Path(p).is_relative_to(base) else p for p in files]
    order = dict.fromkeys(["path", "accent", "speaker", "split", *table])
    with replacing(manifest) as temporary:
        written = table.assign(path=paths)[[name for name in order if name in table]]
        written.to_csv(temporary, index=False, float_format="%.3f")
        if not over and manifest.is_file() and manifest.read_bytes() != temporary.read_bytes():
            raise InputError(f"{manifest} is there already, with other content; name another --output")


def assign(kept: pd.DataFrame, seed: int, earlier: Mapping[str, str]) -> tuple[pd.Series | None, str]:
    """The split of each row (its own, or made from the seed and earlier ones; or None), and its origin."""
    own, refused = kept.get("split"), ""
    parts = set() if own is None else set(own.dropna())
    try:
        if parts and own.isna().any():
            refused = "the corpus's own split does not name every file; "
        elif parts and (kept.groupby("speaker")["split"].nunique() > 1).any():
            refused = "the corpus's own split has a speaker in two splits, so it is not used; "
        elif parts == set(SPLITS):
            return own, "the corpus's own"
        elif parts == {"train", "test"}:
            train = split_by_speaker(kept[own == "train"], seed=seed, name="its training split")
            split = own.mask(train.reindex(own.index) == "validation", "validation")
            return split, f"the corpus's own; validation from its training split, seed {seed}"
        elif parts:
            refused = f"the corpus's own split is {', '.join(sorted(parts))} only; "
        if not len(kept):
            return None, "none; no file can be used"
        split = split_by_speaker(kept, seed=seed, name="the corpus", assigned=earlier)
    except InputError as error:
        return None, f"{refused}none; {error}"
    known = len(set(kept["speaker"]) & earlier.keys())
    keep = f"; {known} of them keep their earlier splits" if known else ""
    return split, f"{refused}speakers assigned by seed {seed}{keep}"


def report_text(report: dict) -> str:
    """A report as text, with the first files of each kind."""
    size = f"{report['kept']} kept ({report['minutes']:.1f} min, {counted(report['speakers'], 'speaker')})"
    lines = [f"{counted(report['files'], 'file')}: {size}, {report['left_out']} left out"]
    if report["accents"]:
        lines.append(report_table(report).to_string(float_format="{:.1f}".format))
    for name in ("sample_rates", "channels", "encodings"):
        counts = ", ".join(f"{key}: {count}" for key, count in report[name].items())
        lines.append(f"{name.replace('_', ' ')}: {counts}")
    for name, variants in report["spellings"].items():
        lines += [f"{name} {kept!r} replaces {str(others)[1:-1]}" for kept, others in variants.items()]
    if report["speakers_unknown"]:
        unknown = counted(report["speakers_unknown"], "file")
        advice = "if a person is in several, accuracies are too high: use accent/speaker/ folders or a table"
        lines.append(f"speaker unknown ({unknown}): each counts as a speaker of its own; {advice}")
    several = [f"{speaker} ({', '.join(accents)})" for speaker, accents in report["several_accents"].items()]
    groups = {"speakers with several accents (rename one if they are two people)": several} if several else {}
    groups |= {f"kept, {remark}": paths for remark, paths in report["remarks"].items()}
    groups |= {f"left out, {reason}": paths for reason, paths in report["left_out_because"].items()}
    for what, names in groups.items():
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        lines.append(f"{what}: {len(names)}: {', '.join(names[:SHOWN])}{more}")
    few = f"; this test {report['few_speakers']} (accentlib crossvalidate tests everyone)"
    return "\n".join([*lines, f"split: {report['split']}{few if report['few_speakers'] else ''}"])


def join_corpora(data: Sequence[str | Path], output: str | Path, *, seed: int = 1234) -> pd.DataFrame:
    """Join corpora from folders of different names, and add the column ``corpus`` with these names.

    Speakers and given ids start with the name, too. The splits are kept if all corpora have one, or else made
    from the seed. Raises InputError if an input or the result is no corpus, or if two names are the same."""
    tables = {}
    for folder in map(Path, data):
        table = read_corpus(folder, split=False)
        name = (folder if folder.is_dir() else folder.parent).absolute().name
        if name in tables:
            raise InputError(f"two corpora are called {name!r}; rename a folder")
        ids = table["id"].where(table["id"] == table["path"], f"{name}/" + table["id"])
        tables[name] = table.assign(id=ids, speaker=f"{name}/" + table["speaker"], corpus=name)
    joined = pd.concat(tables.values(), ignore_index=True).fillna("")
    if (joined["id"] == joined["path"]).all():
        del joined["id"]
    if not all("split" in table for table in tables.values()):
        joined["split"] = split_by_speaker(joined, seed=seed, name=str(output))
    _write(joined, Path(output) / "manifest.csv", over=False)
    return joined
