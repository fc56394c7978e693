"""TextGrids of Praat: segments and phones that somebody marked, and our phones for correction."""

import json
import re
import sys
from collections import Counter
from collections.abc import Collection, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pandas as pd
import soundfile as sf

from ..config import InputError, counted
from ..features.store import audio_beside, clip_ids
from ..files import file_and_segment, segment_path, write_table
from .sources import files_in

# length, aspiration and the like, tie bars, IPA's stress marks, and ARPABET's
MARKS = re.compile("[\u02b0\u02b2\u02b7\u02c8\u02cc\u02d0\u02d1\u02e0\u0303-\u0361]|(?<=[A-Z])[0-2]$")
BROAD = {  # further symbols for English, and the phones of the alphabet that they come under
    "ə": "AH", "ɐ": "AH", "ɜ": "ER", "ɚ": "ER", "ɒ": "AA", "e": "EH", "a": "AE", "o": "OW", "əʊ": "OW",
    "əw": "OW", "aj": "AY", "aw": "AW", "ej": "EY", "ɔj": "OY", "ɨ": "IH", "ʉ": "UW", "r": "R", "ɫ": "L",
    "g": "G", "ʧ": "CH", "ʤ": "JH", "c": "K", "ɟ": "G", "ɲ": "N", "ʎ": "L", "ç": "HH",
    # TIMIT's: a stop's closure is silent
    "ax": "AH", "ax-h": "AH", "axr": "ER", "ix": "IH", "ux": "UW", "hv": "HH", "el": "L", "em": "M",
    "en": "N", "nx": "N", "eng": "NG", "epi": "SIL",
    **dict.fromkeys("bcl dcl gcl pcl tcl kcl".split(), "SIL"),
}  # fmt: skip
SILENT = {"": "SIL", "sp": "SIL", "sil": "SIL", "pau": "SIL", "h#": "SIL", "spn": "+SPN+", "nsn": "+NSN+"}


def open_grid(file: Path) -> Any:
    """A TextGrid in any encoding. Raises InputError if praatio is missing, or the file is none."""
    if not find_spec("praatio"):
        raise InputError("TextGrids need praatio: pip install 'accentlib[textgrid]'")
    from praatio import textgrid

    try:
        return textgrid.openTextgrid(str(file), includeEmptyIntervals=False, reportingMode="silence")
    except Exception as error:  # praatio has no error of its own for a damaged file
        advice = "open it in Praat, and save it as text in UTF-8"
        raise InputError(f"{file}: no TextGrid that can be read ({type(error).__name__}); {advice}") from None


def intervals(grid: Any, tier: str, file: Path) -> Iterator[tuple[float, float, str]]:
    """The labelled intervals of a tier. Raises InputError if there is no such tier of intervals."""
    if tier not in grid.tierNames:
        raise InputError(f"{file}: no tier {tier!r}; it has {', '.join(grid.tierNames) or 'none'}")
    for entry in grid.getTier(tier).entries:
        if len(entry) != 3:
            raise InputError(f"{file}: the tier {tier!r} has points, not intervals")
        if entry[2].strip():
            yield entry


def timit_phones(recording: str) -> list[tuple[float, float, str]]:
    """The phones in the ``.PHN`` beside a recording of TIMIT (samples at 16 kHz); none if there is none."""
    file = next((x for end in (".PHN", ".phn") if (x := Path(recording).with_suffix(end)).is_file()), None)
    try:
        rows = [line.split() for line in file.read_text("ascii").splitlines()] if file else []
        return [(int(start) / 16_000, int(end) / 16_000, label) for start, end, label in rows]
    except ValueError:
        raise InputError(f"{file}: not lines of a start, an end and a phone") from None


def from_textgrids(folder: str | Path, tiers: Collection[str] = ()) -> pd.DataFrame:
    """List the labelled intervals of ``accent/**/*.TextGrid`` as segments of the recordings beside them, as
    :func:`accentlib.from_folder` lists files. Each tier, by default each of a grid, is a speaker of that
    name; the label is the ``text``. Raises InputError if there is no TextGrid."""
    rows, folder = list[dict](), Path(folder)
    files = [file for file in files_in(folder) if file.suffix.lower() == ".textgrid"]
    for file in files:
        row = {"path": str(file.absolute()), "accent": file.relative_to(folder).parts[0], "speaker": None}
        audio = audio_beside(f"{file.absolute().with_suffix('')}.pickle")
        try:
            if not audio or len(file.relative_to(folder).parts) == 1:
                what = "not in the folder of an accent" if audio else "no recording beside it"
                raise InputError(f"{file}: {what}")
            grid, before = open_grid(file), len(rows)
            for tier in tiers or grid.tierNames:
                for start, end, text in intervals(grid, tier, file):
                    segment = {"path": segment_path(audio, start, end), "text": text}
                    rows.append(row | segment | {"speaker": tier, "problem": ""})
            if len(rows) == before:
                raise InputError(f"{file}: no labelled interval in {', '.join(tiers or grid.tierNames)}")
        except InputError as error:
            rows.append(row | {"problem": str(error).removeprefix(f"{file}: ")})
    if not rows:
        raise InputError(f"{folder}: {'no labelled interval' if files else 'no *.TextGrid'} in it")
    return pd.DataFrame(rows).fillna({"text": ""})


def grid_names(table: pd.DataFrame) -> dict[str, str]:
    """The TextGrid of each clip, by id: its own name, after its folders' where two clips share it."""
    names = {}
    for clip, path in zip(clip_ids(table), table["path"], strict=True):
        file, segment = file_and_segment(path)
        times = "_{:.3f}-{:.3f}".format(*segment) if segment else ""
        names[clip] = Path(file).with_suffix("").as_posix() + times
    for parts in range(1, 9):
        short = {clip: "/".join(name.split("/")[-parts:]) for clip, name in names.items()}
        if len(set(short.values())) == len(short):
            break
    return {clip: f"{name}.TextGrid" for clip, name in short.items()}


def phones_to_textgrids(table: pd.DataFrame, phones: pd.DataFrame, folder: str | Path,
                        tier: str = "phones") -> int:  # fmt: skip
    """Write a TextGrid for each clip that has phones; their number. Raises InputError if one is there."""
    from praatio.utilities.constants import Interval

    grids, names = {}, grid_names(table)
    paths, spoken = dict(zip(clip_ids(table), table["path"], strict=True)), phones.groupby("id")
    for clip, own in spoken:
        if clip in names:
            audio, segment = file_and_segment(paths[clip])
            length = segment[1] - segment[0] if segment else sf.info(audio).duration
            own = own[own["start"] < length].assign(end=own["end"].clip(upper=length))
            entries = [Interval(float(x.start), float(x.end), x.phone) for x in own.itertuples()]
            grids[Path(folder, names[clip])] = entries, length
    if taken := [file for file in grids if file.exists()]:
        raise InputError(f"{taken[0]} is there already, perhaps corrected; name another --output")
    from praatio.data_classes.interval_tier import IntervalTier
    from praatio.data_classes.textgrid import Textgrid

    for file, (entries, length) in grids.items():
        grid = Textgrid(0, length)
        grid.addTier(IntervalTier(tier, entries, 0, length))
        file.parent.mkdir(parents=True, exist_ok=True)
        grid.save(str(file), "long_textgrid", includeBlankSpaces=True, reportingMode="silence")
    return len(grids)


def phones_from_textgrids(table: pd.DataFrame, folder: str | Path, output: str | Path, tier: str = "phones"
                          ) -> tuple[pd.DataFrame, dict[str, str]]:  # fmt: skip
    """Read the phones of a corpus's clips from TextGrids of their names (:func:`grid_names`), in ARPABET
    (stress marks are dropped) or IPA, and write the table of phones to ``output``.

    Returns it, and what is wrong with each clip without phones, by id. Labels that are neither are named and
    counted. Raises InputError if no label is known."""
    arpabet = json.loads(Path(__file__).with_name("ipa.json").read_text("utf-8"))["arpabet"]
    known = {symbol: name for name, symbol in arpabet.items()} | {name: name for name in arpabet}
    known |= BROAD | SILENT
    rows, problems, unknown = [], {}, Counter[str]()
    paths = dict(zip(clip_ids(table), table["path"], strict=True))
    for clip, name in grid_names(table).items():
        try:
            file = Path(folder, name)
            if not file.is_file() and file.parent.name == "wav":  # L2-ARCTIC has ABA/textgrid beside ABA/wav
                file = file.parent.with_name("textgrid") / file.name
            spoken = [] if file.is_file() else timit_phones(file_and_segment(paths[clip])[0])
            if not (file.is_file() or spoken):
                raise InputError(f"{file}: no such file")
            for start, end, label in spoken or intervals(open_grid(file), tier, file):
                label = label.strip()
                spellings = (label, MARKS.sub("", label), MARKS.sub("", label.upper()), label.lower())
                phone = next((known[x] for x in spellings if x in known), None)
                unknown[label] += phone is None
                if phone:
                    rows.append((clip, paths[clip], round(start, 3), round(end, 3), phone))
        except InputError as error:
            problems[clip] = str(error)
    if strange := {label: count for label, count in unknown.most_common() if count}:
        listed = ", ".join(f"{label} ({count})" for label, count in [*strange.items()][:20])
        print(f"neither ARPABET nor IPA of English, left out: {listed}", file=sys.stderr)
    if not rows:
        none = f"{folder}: {counted(sum(strange.values()), 'label')}, none known"
        raise InputError(next(iter(problems.values()), none))
    phones = pd.DataFrame(rows, columns=["id", "path", "start", "end", "phone"])
    write_table(output, phones.drop(columns="id" if (phones["id"] == phones["path"]).all() else []))
    return phones, problems
