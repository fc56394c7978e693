"""The folders of known corpora: a function for each, from its unpacked folder to the rows of a listing."""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from ..config import InputError
from ..files import read_table, segment_path
from .known import KNOWN
from .sources import SPLIT_NAMES


def row(path: Path, accent: str, speaker: str, problem: str = "", **more: str) -> dict[str, str]:
    """One clip of a listing."""
    return {"path": str(path.absolute()), "accent": accent, "speaker": speaker, "problem": problem, **more}


def below(folder: Path, *names: str) -> Path:
    """The first of these files or folders that is in a folder, or up to two folders deeper."""
    found = (path for name in names for up in ("", "*/", "*/*/") for path in sorted(folder.glob(up + name)))
    if path := next(found, None):
        return path
    raise InputError(f"{folder}: no {' or '.join(names)} in it")


def speech_accent_archive(folder: Path, *, accent_column: str = "native_language") -> Iterator[dict]:
    """``speakers_all.csv`` and ``recordings/NAME.mp3`` (``recordings/recordings/`` from Kaggle)."""
    table = read_table(below(folder, "speakers_all.csv"))
    if accent_column not in table:
        raise InputError(f"speakers_all.csv: no column {accent_column!r}; it has {', '.join(table.columns)}")
    recordings = below(folder, "recordings/recordings", "recordings")
    for speaker in table.to_dict("records"):
        path = recordings / f"{speaker['filename']}.mp3"
        problem = "" if path.is_file() else "listed, but the file is missing"
        if speaker.get("file_missing?", "").strip().upper() == "TRUE":
            problem = "missing, as its table says"
        more = {name: speaker[name] for name in ("sex", "age", "age_onset", "country") if name in speaker}
        yield row(path, speaker[accent_column], speaker["filename"], problem, **more)


def common_voice(folder: Path, *, accent_column: str = "") -> pd.DataFrame:
    """One language: ``clips/``, and train, dev and ``test.tsv`` (few clips), or else ``validated.tsv``."""
    files = [folder / f"{name}.tsv" for name in ("train", "dev", "test")]
    if not all(file.is_file() for file in files):
        files = [folder / "validated.tsv"]
    if not files[0].is_file():
        raise InputError(f"{folder}: no train.tsv or validated.tsv; give the folder of one language")
    tables = [read_table(file).assign(split=SPLIT_NAMES.get(file.stem)) for file in files]
    table = pd.concat(tables, ignore_index=True)
    column = accent_column or next((name for name in ("accents", "accent") if name in table), "accents")
    if column not in table:
        raise InputError(f"{folder}: no column {column!r}; the tables have {', '.join(table.columns)}")
    table["path"] = [str((folder / "clips" / name).absolute()) for name in table["path"]]
    blank = table[column].str.strip() == ""
    table["problem"] = blank.map({True: f"its speaker gave no {column}", False: ""})
    names = {column: "accent", "client_id": "speaker", "sentence": "text"}
    others = [name for name in ("gender", "age") if name in table]
    return table[["path", *names, *others, "split", "problem"]].rename(columns=names)


def vctk(folder: Path) -> Iterator[dict]:
    """``speaker-info.txt``, ``wav48_silence_trimmed/p225/p225_001_mic1.flac`` (0.92) or ``wav48/`` (0.80)."""
    info = below(folder, "speaker-info.txt")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines()[1:]  # name, age, sex, ...
    table = [fields for line in lines if len(fields := [*line.split(None, 4), ""]) > 4]
    speakers = {name if name[0] in "ps" else f"p{name}": more[:3] for name, _, *more in table}
    for path in sorted(below(info.parent, "wav48_silence_trimmed", "wav48").glob("*/*")):
        if path.suffix.lower() in (".flac", ".wav") and not path.stem.endswith("_mic2"):
            speaker = path.parent.name
            sex, accent, region = speakers.get(speaker, ("", "", ""))
            problem = "" if accent else "its speaker is not in speaker-info.txt"
            text = path.stem.removeprefix(f"{speaker}_").removesuffix("_mic1")
            yield row(path, accent, speaker, problem, sex=sex, region=region.strip(), text=text)


def l2_arctic(folder: Path) -> Iterator[dict]:
    """``ABA/wav/arctic_a0001.wav`` or ``ABA/ABA/wav/``, without the spontaneous ``suitcase_corpus``."""
    accents = KNOWN["l2-arctic"].accent_of
    for path in sorted(folder.rglob("wav/*.wav")):
        if (speaker := path.parent.parent.name) in accents:
            yield row(path, accents[speaker], speaker, text=path.stem)


def cmu_arctic(folder: Path) -> Iterator[dict]:
    """``cmu_us_ksp_arctic/wav/arctic_a0001.wav``; its README has "by KSP, a male Indian English speaker"."""
    for voice in sorted(folder.rglob("cmu_us_*_arctic")):
        speaker, readme = voice.name.split("_")[2], voice / "README"
        accent = KNOWN["cmu-arctic"].accent_of.get(speaker, "")
        text = readme.read_text(encoding="utf-8", errors="replace") if readme.is_file() else ""
        if found := re.search(r"\b(?:fe)?male\s+([A-Z]\w+)(?:\s+English)?\s+speaker", text):
            accent = "american" if found[1] == "US" else found[1].lower()
        problem = "" if accent else "neither its README nor known.json has the speaker's accent"
        for path in sorted((voice / "wav").glob("*.wav")):
            yield row(path, accent, speaker, problem, text=path.stem)


def openslr83(folder: Path) -> Iterator[dict]:
    """A folder for each archive, ``scottish_english_male/scm_02484_00388340234.wav``."""
    for path in sorted(folder.rglob("*_english_*/*.wav")):
        dialect, _, sex = path.parent.name.split("_")[:3]
        fields = path.stem.split("_")
        problem = "" if len(fields) == 3 else "its name is not of the form scm_02484_00388340234.wav"
        yield row(path, dialect, "_".join(fields[:2]), problem, sex=sex)


def timit(folder: Path) -> list[dict]:
    """``TRAIN/DR1/FCJF0/SA1.WAV``, in some copies in lower case, or with ``SA1.WAV.wav`` beside it."""
    regions, rows = KNOWN["timit"].accent_of, dict[tuple[str, str], dict]()
    for path in sorted(folder.rglob("*"), key=lambda path: (-len(path.name), path)):
        *_, part, region, speaker, name = ["", "", "", *path.as_posix().upper().split("/")]
        if name.endswith(".WAV") and part in ("TRAIN", "TEST") and region in regions:
            more = {"split": part.lower(), "text": name.split(".")[0]}
            sex = {"F": "female", "M": "male"}.get(speaker[0], "")
            rows.setdefault((speaker, more["text"]), row(path, regions[region], speaker, **more, sex=sex))
    return sorted(rows.values(), key=lambda row: row["path"])


def edacc(folder: Path, *, accent_column: str = "") -> Iterator[dict]:
    """``linguistic_background.csv``, ``data/EDACC-C06.wav``, and in dev and test Kaldi's ``segments``,
    ``utt2spk`` and ``text``: turns of conversations, each a segment of its recording."""
    folder = below(folder, "linguistic_background.csv").parent
    table = read_table(folder / "linguistic_background.csv", separators=",")
    asked = (name for name in table if name.startswith("How would you describe your accent"))
    column = accent_column or next(asked, "accent")
    if missing := {"PARTICIPANT_ID", column} - set(table):
        raise InputError(f"linguistic_background.csv: no column {missing.pop()!r}; it has {', '.join(table)}")
    accents = dict(zip(table["PARTICIPANT_ID"], table[column].str.strip(), strict=True))
    for part in ("dev", "test"):
        files = [(folder / part / name).read_text("utf-8").splitlines() for name in ("utt2spk", "text")]
        speakers, texts = ({(x := line.partition(" "))[0]: x[2].strip() for line in own} for own in files)
        for line in filter(None, (folder / part / "segments").read_text("utf-8").splitlines()):
            try:
                turn, recording, start, end = line.split()
                wav = segment_path(folder / "data" / f"{recording}.wav", float(start), float(end))
            except ValueError:
                raise InputError(f"{folder / part / 'segments'}: {line!r} is no segment") from None
            speaker = speakers.get(turn, "")
            problem = "" if accents.get(speaker) else "its speaker described no accent"
            yield row(Path(wav), accents.get(speaker, ""), speaker, problem, text=texts.get(turn, ""))
