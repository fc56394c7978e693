"""Phones of recordings by pocketsphinx: aligned to a text that is known, or recognised without one.

Its acoustic model is of American English (39 phones of ARPABET; SIL, +SPN+ and +NSN+ for pauses and noises).
Training needs it, prediction does not."""

import hashlib
import json
import re
import sys
import time
from collections import Counter
from contextlib import suppress
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
import pandas as pd

from ..config import InputError, counted
from ..features.audio import load_audio
from ..features.parallel import in_processes
from ..features.store import clip_ids
from ..files import write_table

RATE, FRAMES, LEAD = 16_000, 100, 0.1  # Hz of the model; frames a second; s of noise around a recording
ENGLISH = r"(en|eng)([-_].*)?|.*english.*|"  # en-GB, English (US), or not said
SPOKEN = 0.5  # a smaller share of a recording in words: its text is another, or not all of it
MISSING = "phones need pocketsphinx: pip install 'accentlib[phones]'"
FOREIGN = "the phones are those of English, and no clip is in English"
COLUMNS = ["id", "path", "start", "end", "phone", "word", "source"]


class Phones(NamedTuple):
    """What was found in one recording: phones (start s, end s, name, word), how, and what is wrong."""

    spoken: list
    source: str = ""  # aligned, recognised
    problem: str = ""


def pcm(path: str | Path) -> bytes:
    """A recording as 16-bit samples at RATE Hz, between LEAD s of noise too faint to hear (digital silence
    spoils the decoder's estimates). Raises InputError if it is unreadable."""
    wave, lead = load_audio(path, RATE), np.zeros(round(LEAD * RATE))
    wave = np.concatenate([lead, 0.8 * wave / np.abs(wave).max(), lead])
    wave += 2e-4 * np.random.default_rng(0).standard_normal(len(wave))
    return (32767 * wave).clip(-32768, 32767).astype(np.int16).tobytes()


@cache
def decoder(model: str = "", dictionary: str = "", *, allphone: bool = False, **more: Any) -> Any:
    """A decoder of pocketsphinx, made once in each process; by default for English."""
    from pocketsphinx import Decoder, get_model_path

    folder = Path(get_model_path("en-us"))
    if allphone:  # no words
        phones = {"allphone": str(folder / "en-us-phone.lm.bin"), "lw": 2.0, "beam": 1e-20, "pbeam": 1e-20}
        return Decoder(hmm=str(folder / "en-us"), lm=None, dict=None, loglevel="FATAL", **phones | more)
    words = dictionary or str(folder / "cmudict-en-us.dict")
    return Decoder(hmm=model or str(folder / "en-us"), lm=None, dict=words, bestpath=False, loglevel="FATAL")


def decode(machine: Any, wave: bytes) -> None:
    """Run a decoder over a recording, with nothing left of those before it."""
    machine.reinit_feat()  # else its running mean of the cepstra, and so the answer, depends on the last one
    machine.start_utt()
    machine.process_raw(wave, full_utt=True)
    machine.end_utt()


def span(start: int, end: int) -> tuple[float, float]:
    """Frames of the decoder as times in the recording, s."""
    return max(0.0, round(start / FRAMES - LEAD, 3)), max(0.0, round(end / FRAMES - LEAD, 3))


def recognise(wave: bytes) -> list[tuple]:
    """Phones of a recording whose text is not known: (start s, end s, name, "")."""
    decode(machine := decoder(allphone=True), wave)
    return [(*span(x.start_frame, x.end_frame + 1), x.word, "") for x in machine.seg()]


def align(wave: bytes, words: list[str], model: str = "", dictionary: str = "") -> list[tuple]:
    """Phones of a recording of these words, as of :func:`recognise`, each with its word. Raises RuntimeError
    if the recording lacks some of them, or if less than SPOKEN of it is taken up by them."""
    machine = decoder(model, dictionary)
    machine.set_align_text(" ".join(words))
    decode(machine, wave)
    machine.set_alignment()  # the second pass finds the phones in the words
    decode(machine, wave)
    found = [(*span(x.start, x.start + x.duration), x.name, word.name.split("(")[0].strip("<>"))
             for word in machine.get_alignment() for x in word]  # fmt: skip
    said = sum(end - start for start, end, _, word in found if word in words)
    if not found or said < SPOKEN * found[-1][1]:
        raise RuntimeError("most of the recording is not these words")
    return found


def label(model: str, dictionary: str, clip: tuple[str, list[str]]) -> Phones:
    """The phones of one recording: of its words, if they are given and it holds them all."""
    path, words = clip
    try:
        wave = pcm(path)
        if words:
            with suppress(RuntimeError):  # cut off in mid-text, or another text
                return Phones(align(wave, words, model, dictionary), "aligned")
        if model:
            raise InputError(f"{path}: its text is not known, or not what is said")
        return Phones(recognise(wave), "recognised")
    except InputError as error:
        return Phones([], problem=str(error))


def words_of(text: str) -> list[str]:
    """The words of a text, in small letters, with their apostrophes and without other marks."""
    found = re.findall(r"[\w']+", text.lower().replace("\u2019", "'"))
    return [word for word in (word.strip("'_") for word in found) if word]


@cache
def known_words(dictionary: str = "") -> frozenset[str]:
    """The words of a pronunciation dictionary, by default of the one in pocketsphinx's wheel."""
    from pocketsphinx import get_model_path

    file = Path(dictionary or get_model_path("en-us/cmudict-en-us.dict"))
    return frozenset(line.split(None, 1)[0] for line in file.read_text("utf-8").splitlines() if line.strip())


def texts(table: pd.DataFrame, text: str, transcripts: str, dictionary: str) -> list[list[str]]:
    """The words of each clip; none where its text is not known, or has a word that the dictionary lacks."""
    if transcripts and transcripts not in table:
        raise InputError(f"the corpus has no column {transcripts!r}; it has {', '.join(table.columns)}")
    words = [words_of(x) for x in table[transcripts]] if transcripts else [words_of(text)] * len(table)
    known = known_words(dictionary) if any(words) else frozenset()
    if lacking := Counter(word for own in words for word in own if word not in known):
        named = ", ".join(f"{word} ({count})" for word, count in lacking.most_common(20))
        clips = counted(sum(not known.issuperset(own) for own in words), "clip")
        print(f"words that the dictionary lacks: {named}; {clips} recognised instead", file=sys.stderr)
    return [own if known.issuperset(own) else [] for own in words]


def in_english(table: pd.DataFrame) -> pd.Series:
    """Which clips are in English: all, unless the column ``language`` or ``locale`` says otherwise."""
    declared = next((table[name] for name in ("language", "locale") if name in table), None)
    if declared is None:
        return pd.Series(True, table.index)
    return declared.str.strip().str.lower().str.fullmatch(ENGLISH)


def lacking(table: pd.DataFrame) -> str:
    """What is missing to find the phones of a corpus by its sound alone; empty if nothing is."""
    if not find_spec("pocketsphinx"):
        return MISSING
    return "" if in_english(table).any() else FOREIGN


def find_phones(table: pd.DataFrame, output: str | Path, *, text: str = "", transcripts: str = "",
                acoustic_model: str | Path = "", dictionary: str | Path = "",
                progress: bool = True) -> tuple[pd.DataFrame, dict[str, str]]:  # fmt: skip
    """Find when each phone is spoken in each clip of a corpus, on all cores, and write the table of phones.

    Parameters
    ----------
    output : str or Path
        Receives the table: start and end in s, phone, word, ``source`` (aligned or recognised). Until it
        is complete, a file beside it keeps what was done, and the next call goes on from there.
    text, transcripts
        The text of all clips, or the column with the text of each. Clips that do not hold their text, or that
        have a word which is not in the dictionary, are recognised as if it were unknown.
    acoustic_model, dictionary
        A model of pocketsphinx (a folder) and a pronunciation dictionary for another language than English.
        Without them, clips that the manifest declares to be in another language get no phones.

    Returns the table, and what is wrong with each clip that should have phones and has none, by id. Raises
    InputError without pocketsphinx, without the column, or if no clip is in the model's language."""
    if not find_spec("pocketsphinx"):
        raise InputError(MISSING)
    every, table = len(table), table if acoustic_model else table[in_english(table)]
    if table.empty:
        raise InputError(f"{FOREIGN}; give --acoustic-model and --dictionary")
    if foreign := every - len(table):
        print(f"no phones: {counted(foreign, 'clip')} in other languages", file=sys.stderr)
    words, settings = texts(table, text, transcripts, str(dictionary)), (str(acoustic_model), str(dictionary))
    if acoustic_model and not any(words):
        raise InputError("--acoustic-model needs the text: give --text or --transcripts")
    if acoustic_model and not Path(acoustic_model, "mdef").is_file():
        raise InputError(f"{acoustic_model}: no acoustic model of pocketsphinx (there is no mdef in it)")
    ids, clips = clip_ids(table), list(zip(table["path"], words, strict=True))
    found = _Part(Path(output), json.dumps([settings, ids, clips]))
    left, work = [i for i, clip in enumerate(ids) if clip not in found], partial(label, *settings)
    if left:  # the first shows how long the others will take
        started = time.monotonic()
        found.add(ids[left[0]], work(clips[left[0]]))
        minutes = len(left) * (time.monotonic() - started) / 60 / joblib.cpu_count()
        if progress and len(left) > 1:
            about = f"about {max(1, round(minutes))} min on {joblib.cpu_count()} cores"
            print(f"finding the phones of {counted(len(left), 'clip')}: {about}", file=sys.stderr)
    answers = in_processes(work, [clips[i] for i in left[1:]], progress="phones" if progress else None)
    for i, phones in zip(left[1:], answers, strict=True):
        found.add(ids[i], phones)
    rows = [(clip, path, *phone, found[clip].source) for clip, path in zip(ids, table["path"], strict=True)
            for phone in found[clip].spoken if phone[1] > phone[0]]  # fmt: skip
    if not rows:
        raise InputError(f"no clip has phones: {next(x.problem for x in found.values())}")
    phones = pd.DataFrame(rows, columns=COLUMNS).drop(columns="id" if ids == list(table["path"]) else [])
    write_table(output, phones)
    found.file.unlink()
    return phones, {clip: found[clip].problem for clip in ids if found[clip].problem}


class _Part(dict):
    """What was found so far, by clip id, kept in a file beside the output: a line for each clip."""

    def __init__(self, output: Path, settings: str):
        digest = hashlib.sha256(settings.encode()).hexdigest()[:8]  # other clips or texts: another file
        self.file = output.with_name(f"{output.name}.{digest}.part")
        output.parent.mkdir(parents=True, exist_ok=True)
        for line in self.file.read_text("utf-8").splitlines() if self.file.is_file() else ():
            with suppress(ValueError):  # cut off in mid-line
                clip, *phones = json.loads(line)
                self[clip] = Phones(*phones)

    def add(self, clip: str, phones: Phones) -> None:
        self[clip] = phones
        with self.file.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps([clip, *phones]))  # the last line may be cut off
