"""How the known accent corpora lie on disk: a function each, from the unpacked folder to a listing.

Licence, home page and the meaning of each corpus's accent label are in :mod:`accentlib.corpora.known`.
"""

import re
from pathlib import Path

import pandas as pd

from ..config import InputError
from ..files import read_table
from .sources import SPLIT_NAMES

L2_ARCTIC_SPEAKERS = {
    "arabic": ("ABA", "SKA", "YBAA", "ZHAA"),
    "hindi": ("ASI", "RRBI", "SVBI", "TNI"),
    "korean": ("HJK", "HKK", "YDCK", "YKWK"),
    "mandarin": ("BWC", "LXC", "NCC", "TXHC"),
    "spanish": ("EBVS", "ERMS", "MBMPS", "NJS"),
    "vietnamese": ("HQTV", "PNV", "THV", "TLV"),
}
CMU_ARCTIC_SPEAKERS = {  # of whom the archive's own README does not say how they speak
    "american": ("aew", "bdl", "clb", "eey", "ljm", "lnh", "rms", "slt"),
    "canadian": ("jmk",),
    "indian": ("aup", "axb", "gka", "ksp", "slp"),
    "scottish": ("awb",),
}
TIMIT_REGIONS = {
    "DR1": "new england", "DR2": "northern", "DR3": "north midland", "DR4": "south midland",
    "DR5": "southern", "DR6": "new york city", "DR7": "western", "DR8": "army brat",
}  # fmt: skip


def row(path: Path, accent: str, speaker: str, *, problem: str = "", **more: str) -> dict:
    """A row of a listing."""
    return {"path": str(path.absolute()), "accent": accent, "speaker": speaker, "problem": problem, **more}


def listed(rows: list[dict], folder: Path, layout: str) -> pd.DataFrame:
    """Rows as a listing.

    Raises InputError, which says what the folder should look like, if there are none.
    """
    if not rows:
        raise InputError(f"{folder}: nothing found there that looks like {layout}")
    return pd.DataFrame(rows)


def below(folder: Path, *names: str) -> Path:
    """The first of some files or folders that is in a folder, or one or two folders deeper.

    Raises InputError if none is.
    """
    for name in names:
        for found in (folder / name, *sorted(folder.glob(f"*/{name}")), *sorted(folder.glob(f"*/*/{name}"))):
            if found.exists():
                return found
    raise InputError(f"{folder}: no {' or '.join(names)} in it")


def speech_accent_archive(folder: Path, *, accent_column: str = "native_language") -> pd.DataFrame:
    """``speakers_all.csv`` and ``recordings/NAME.mp3`` (``recordings/recordings/`` as Kaggle unpacks it).

    One recording a speaker. The table has empty columns at its end, and a column ``file_missing?``.
    """
    table = read_table(below(folder, "speakers_all.csv"))
    if accent_column not in table:
        raise InputError(f"speakers_all.csv: no column {accent_column!r}; it has {', '.join(table.columns)}")
    recordings = below(folder, "recordings")
    recordings = recordings / "recordings" if (recordings / "recordings").is_dir() else recordings
    rows = []
    for speaker in table.to_dict("records"):
        path = recordings / f"{speaker['filename']}.mp3"
        problem = ""
        if speaker.get("file_missing?", "").strip().upper() == "TRUE":
            problem = "missing, as its table says"
        elif not path.is_file():
            problem = "listed, but the file is missing"
        more = {name: speaker[name] for name in ("sex", "age", "age_onset", "country") if name in speaker}
        rows.append(row(path, speaker[accent_column], speaker["filename"], problem=problem, **more))
    return listed(rows, folder, "the Speech Accent Archive")


def common_voice(folder: Path, *, accent_column: str = "") -> pd.DataFrame:
    """A language's folder: ``train.tsv``, ``dev.tsv``, ``test.tsv`` (else ``validated.tsv``) and ``clips/``.

    The official three tables are of different speakers. They hold a part of the validated clips; for all
    of them make a corpus of ``validated.tsv`` with :func:`accentlib.from_table`. The label is what people
    said of themselves: the column accents (accent before version 7), or variant if it is asked for.
    """
    files = [folder / f"{name}.tsv" for name in ("train", "dev", "test")]
    if not all(file.is_file() for file in files):
        files = [folder / "validated.tsv"]
    if not files[0].is_file():
        raise InputError(f"{folder}: no train.tsv or validated.tsv; give the folder of one language")
    tables = {file.stem: read_table(file) for file in files}
    table = pd.concat([of.assign(split=SPLIT_NAMES.get(name)) for name, of in tables.items()])
    column = accent_column or next((name for name in ("accents", "accent") if name in table), "accents")
    if column not in table:
        raise InputError(f"{folder}: no column {column!r}; the tables have {', '.join(table.columns)}")
    table["problem"] = ""
    table.loc[table[column].str.strip() == "", "problem"] = f"its speaker gave no {column}"
    names = {column: "accent", "client_id": "speaker", "sentence": "text"}
    kept = ["path", *names, *(name for name in ("gender", "age") if name in table), "split", "problem"]
    table = table[kept].rename(columns=names).reset_index(drop=True)
    table["path"] = [str((folder / "clips" / name).absolute()) for name in table["path"]]
    return table


def vctk(folder: Path) -> pd.DataFrame:
    """``speaker-info.txt`` and ``wav48_silence_trimmed/p225/p225_001_mic1.flac`` (0.92) or ``wav48/`` (0.80).

    Of the two microphones of version 0.92 the first is taken. Speaker p280 has no first microphone's
    partner and p315 no texts; both are kept. Older tables name speakers without their p.
    """
    info = below(folder, "speaker-info.txt")
    audio = below(info.parent, "wav48_silence_trimmed", "wav48")
    speakers = {}
    for line in info.read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
        fields = line.split(None, 4)
        if len(fields) >= 4:
            name = fields[0] if fields[0].startswith(("p", "s")) else f"p{fields[0]}"
            speakers[name] = (fields[3], fields[2], fields[4].strip() if len(fields) > 4 else "")
    rows = []
    for path in sorted(audio.glob("*/*")):
        if path.suffix.lower() not in (".flac", ".wav") or path.stem.endswith("_mic2"):
            continue
        accent, sex, region = speakers.get(path.parent.name, ("", "", ""))
        problem = "" if accent else "its speaker is not in speaker-info.txt"
        text = path.stem.split("_")[1]
        rows.append(row(path, accent, path.parent.name, problem=problem, sex=sex, region=region, text=text))
    return listed(rows, folder, "VCTK")


def l2_arctic(folder: Path) -> pd.DataFrame:
    """``ABA/wav/arctic_a0001.wav`` (``ABA/ABA/wav/`` where each zip was unpacked into a folder of its own)."""
    accents = {speaker: accent for accent, of in L2_ARCTIC_SPEAKERS.items() for speaker in of}
    rows = []
    for path in sorted(folder.rglob("wav/*.wav")):
        speaker = path.parent.parent.name
        if speaker in accents:  # the suitcase corpus, of spontaneous speech, is left alone
            rows.append(row(path, accents[speaker], speaker, text=path.stem))
    return listed(rows, folder, "L2-ARCTIC (SPEAKER/wav/arctic_a0001.wav)")


def cmu_arctic(folder: Path) -> pd.DataFrame:
    """``cmu_us_ksp_arctic/wav/arctic_a0001.wav``.

    How someone speaks is in the archive's README ("by KSP, a male Indian English speaker"); where it
    is not said there, in a table of those of whom it is known.
    """
    known = {speaker: accent for accent, of in CMU_ARCTIC_SPEAKERS.items() for speaker in of}
    rows = []
    for voice in sorted(folder.rglob("cmu_us_*_arctic")):
        speaker = voice.name.split("_")[2]
        accent = known.get(speaker, "")
        if (voice / "README").is_file():
            text = " ".join((voice / "README").read_text(encoding="utf-8", errors="replace").split())
            said = re.search(r"\b(?:fe)?male ([A-Z]\w+)(?: English)? speaker", text)
            accent = said[1].lower().replace("us", "american") if said else accent
        problem = "" if accent else "nothing says how this speaker speaks"
        for path in sorted((voice / "wav").glob("*.wav")):
            rows.append(row(path, accent, speaker, problem=problem, text=path.stem))
    return listed(rows, folder, "CMU ARCTIC (cmu_us_ksp_arctic/wav/arctic_a0001.wav)")


def openslr83(folder: Path) -> pd.DataFrame:
    """A folder for each archive, ``scottish_english_male/scm_02484_00388340234.wav``."""
    rows = []
    for path in sorted(folder.rglob("*_english_*/*.wav")):
        dialect, _, sex = path.parent.name.split("_")[:3]
        fields = path.stem.split("_")
        problem = "" if len(fields) == 3 else "its name is not of the form scm_02484_00388340234.wav"
        speaker = "_".join(fields[:2])
        rows.append(row(path, dialect, speaker, problem=problem, sex=sex))
    return listed(rows, folder, "OpenSLR 83 (scottish_english_male/scm_02484_00388340234.wav)")


def timit(folder: Path) -> pd.DataFrame:
    """``TRAIN/DR1/FCJF0/SA1.WAV`` (NIST SPHERE; in some copies lower case, or ``SA1.WAV.wav``).

    Its own split into training and test speakers is kept. SA sentences are read by everyone.
    """
    rows, seen = [], set()
    for path in sorted(folder.rglob("*"), key=lambda path: (-len(path.name), path)):
        if path.suffix.lower() != ".wav" or len(path.parts) < 4:
            continue
        part, region, speaker = (name.upper() for name in path.parts[-4:-1])
        sentence = path.name.split(".")[0].upper()
        if part not in ("TRAIN", "TEST") or region not in TIMIT_REGIONS or (speaker, sentence) in seen:
            continue
        seen.add((speaker, sentence))  # beside SA1.WAV.wav, some copies keep SA1.WAV
        sex = {"F": "female", "M": "male"}.get(speaker[0], "")
        more = {"split": part.lower(), "text": sentence, "sex": sex}
        rows.append(row(path, TIMIT_REGIONS[region], speaker, **more))
    return listed(sorted(rows, key=lambda row: row["path"]), folder, "TIMIT (TRAIN/DR1/FCJF0/SA1.WAV)")
