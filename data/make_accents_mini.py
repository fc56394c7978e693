"""Make ``data/accents_mini``: rule-based synthetic speech in six accents.

    pip install espeakng-loader
    python data/make_accents_mini.py            # about two minutes, rewrites data/accents_mini

The speech comes from the rule-based synthesiser espeak-ng (GPL-3.0, needed here only; the audio is
this project's own). Four accents are espeak-ng's own English voices; two are learners' accents: the
phones of British English replaced by the nearest ones of French or Hindi, and spoken on that
language's voice.

Every made-up speaker speaks every accent, and speaker ``n`` reads the sentences ``s`` with
``s % 8 == n % 8``. So neither voice, nor text, nor channel gives the accent away, and a split by
``n % 8`` holds out voices *and* sentences.
"""

import ctypes
import hashlib
import itertools
import os
import pickle
import random
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import scipy.signal
import soundfile as sf
from tqdm import tqdm

OUTPUT = Path(__file__).parent / "accents_mini"
SAMPLE_RATE = 16_000  # Hz, of the written clips
ENGINE_RATE = 22_050  # Hz, of espeak-ng
N_GROUPS = 8  # speakers and sentences are dealt into groups; a split is a set of groups
N_SPEAKERS = 48
SPLIT_OF_GROUP = {0: "train", 1: "train", 2: "train", 3: "train", 4: "train"}
SPLIT_OF_GROUP |= {5: "validation", 6: "test", 7: "test"}
SEED = 20070713

Accent = tuple[str, str | None]  # espeak-ng voice, and the learners' phone table or None
ACCENTS: dict[str, Accent] = {
    "american": ("en-us", None),
    "british": ("en-gb-x-rp", None),
    "caribbean": ("en-029", None),
    "french": ("fr", "french"),
    "hindi": ("hi", "hindi"),
    "scottish": ("en-gb-scotland", None),
}

# Every sentence has at least MIN_CUES words that any two of espeak-ng's own accents say differently (by
# its phonemes, checked before anything is written): a sentence without a cue would test nothing.
MIN_CUES = 3
SENTENCES = """\
Thirty thick feathers were lying on the other side of the path.
Three brothers gathered with their mother and father on Thursday.
The happy lady carefully carried twenty pretty letters to the city.
Our hour in the tower was sour without any flowers.
Where there is care there is hair on the chair by the stairs.
The writer was waiting for a better bottle of butter.
The singer was bringing a long ringing song to the king.
Measure the pleasure of leisure with a usual vision.
The dog in the long fog lost a strong cloth on the log.
Better weather later in the winter matters to the daughter.
I rarely hear the mirror story from the rural writer.
The tired choir retired to the fire for an hour.
Peter took a taxi from the top of the street to the park.
Vera drove seven heavy vans over the river every evening.
Her father rather hopes that others gather round the harbour.
The teacher wrote a better letter to the older daughter.
Half past four is far too early for a morning party.
Those three mouths are worth more than a thousand other things.
The farmer and his brother park their car near the corner.
My brother bought another pot of hot coffee for the doctor.
Her sister laughed with the other doctor after the last winter dance.
Another older sister slowly wrote over the paper with a marker.
The first nurse heard the word from the other worker later.
Put a better book in the lower wooden cupboard by that door.
The officer thought that my daughter was never under the water.
Every winter their father drives a dirty tractor over the river.
The other student said that the weather was hotter in summer.
The doctor fears the clear water near the pier at the harbour.
My other partner would rather ride that faster bike over there.
That powerful shower was louder than thunder over our tower.
They say that the weather in November is better near the water.
Their younger brother dropped a dollar in the water near the box.
Four younger sisters run faster than their brother in summer.
A little silver fish swims quicker under that hot river water.
Please put another bottle of hot water by the cleaner letters.
A third nurse in a better purple shirt turned to their other daughter.
The other path to the castle passes a larger garden after that.
Harry hit his father over the heart with a heavier hammer.
Another poor tourist is sure that the shorter tour is better.
Other carts start farther over there than the better cars.
Both brothers breathe smoother in whatever weather winter offers.
Twenty other doctors thought that the hot dinner was better.
Could their cousin pull the other woollen jumper over your father.
Two cooler rooms are farther than the others from that door.
The worker heard that her world is harder than other workers think.
The butcher put sugar and pepper over the other dish for dinner.
Her older daughter rode the other horse over that border.
Nothing is better for a tired mother than another hour of rest.
The quieter reporter asked their doctor another harder question.
Walter never bothered with warmer water under that shower.
The other nurse had first heard the answer from their third partner.
A dozen younger doctors got lost over there near the water tower.
Father closed the other door and rather slowly answered the letter.
Her neighbour at number thirty has a faster motor than mother.
That author never answers any letter after dinner on Saturday.
Neither weaver ever remembers the colour of the leather.
""".splitlines()

# --- learners' accents: British espeak-ng phoneme names -> those of the learner's language --------

# Every phoneme that espeak-ng's British voice uses, for cutting its unspaced mnemonics apart.
BRITISH_PHONEMES = """
    p b t d k g f v T D s z S Z h m n N l r j w x tS dZ t# r- l/ n- ? L # : ;
    aI@ aI3 aU@ aU3 i@3 i@ e@ U@ o@ O@ A@ 3: 3 @2 @5 @L @ a# aa a A: 0# 0 02 O2 O: OI O o oU
    eI E e I2 I# i: i I V U u: u aI aU A
""".split()
BRITISH_PHONEMES.sort(key=len, reverse=True)  # the longest match comes first
STRESS_MARKS = "',%="

# Allophones and reduced vowels to the plain set that the learners' tables speak of.
PLAIN = {"t#": "t", "?": "t", "r-": "r", "l/": "l", "L": "l", "n-": "@ n", "@L": "@ l"}
PLAIN |= {"@2": "@", "@5": "@", "a#": "@", "3": "@", "I2": "I", "I#": "I", "i": "i:", "u": "u:"}
PLAIN |= {"0#": "0", "02": "0", "O2": "O:", "aa": "a", "#": "", ":": "", ";": ""}
# Both learners pronounce the r that British speakers leave out.
PLAIN |= {"A@": "A: r", "o@": "O: r", "O@": "O: r", "e@": "E r", "i@3": "i: r", "i@": "i: r"}
PLAIN |= {"U@": "U r", "3:": "3: r", "aI@": "aI @ r", "aI3": "aI @ r", "aU@": "aU @ r"}
PLAIN |= {"aU3": "aU @ r"}

LEARNER_PHONES = {
    "french": {
        "T": "s", "D": "z", "h": "", "x": "k", "tS": "t S", "dZ": "d Z", "N": "n g",
        "I": "i", "i:": "i", "U": "u", "u:": "u", "0": "o", "O:": "o", "oU": "o", "eI": "e",
        "A:": "a", "V": "W", "3:": "W", "@": "W", "aI": "a j", "aU": "a u", "OI": "O j",
    },
    "hindi": {
        "T": "t#", "t": "t.", "d": "d.", "w": "v", "x": "k", "N": "N g",
        "a": "E:", "A:": "a:", "0": "O", "3:": "V", "@": "V", "oU": "o:", "eI": "e:", "OI": "O: j",
    },
    # these two are not in accents_mini; the neural voices have them
    "german": {
        "T": "s", "D": "z", "w": "v", "dZ": "tS", "Z": "S", "a": "E", "V": "a", "0": "O", "O:": "o:",
        "3:": "W", "oU": "o:", "eI": "e:", "OI": "OY",
    },
    "spanish": {
        "T": "t", "D": "d", "h": "x", "v": "b", "z": "s", "Z": "S", "S": "tS", "dZ": "j", "I": "i", "i:": "i",
        "V": "a", "0": "o", "O:": "o", "A:": "a", "3:": "e", "@": "a", "oU": "o u", "eI": "e i", "U": "u",
        "u:": "u", "N": "n", "OI": "o i", "aI": "a i", "aU": "a u", "w": "g w",
    },
}  # fmt: skip
FINAL_DEVOICING = {"b": "p", "d": "t", "g": "k", "v": "f", "z": "s"}  # German
VOWEL = re.compile(r"[aeiouEIOUAVWY@30]")


def cut_phonemes(word: str) -> list[str]:
    """Cut one word of unspaced espeak-ng mnemonics into phonemes and stress marks."""
    phonemes, i = [], 0
    while i < len(word):
        if word[i] in STRESS_MARKS:
            match = word[i]
        else:
            match = next((p for p in BRITISH_PHONEMES if word.startswith(p, i)), None)
        if match is None:  # a pause or lengthening mark
            i += 1
            continue
        phonemes.append(match)
        i += len(match)
    return phonemes


def learner_mnemonics(british: str, learner: str) -> str:
    """British espeak-ng mnemonics as a learner of that first language would say them."""
    phones = LEARNER_PHONES[learner]
    words = []
    for word in re.split(r"[\s_]+", british.replace("_:", "").replace("_|", "")):
        phonemes = []
        for phoneme in cut_phonemes(word):
            for plain in PLAIN.get(phoneme, phoneme).split():
                phonemes += phones.get(plain, plain).split()
        if learner == "french":  # stress falls on the last syllable
            phonemes = [p for p in phonemes if p not in STRESS_MARKS]
            vowels = [i for i, p in enumerate(phonemes) if VOWEL.match(p)]
            if vowels:
                phonemes.insert(vowels[-1], "'")
        if learner == "german" and phonemes:
            phonemes[-1] = FINAL_DEVOICING.get(phonemes[-1], phonemes[-1])
        if phonemes:
            joined = "".join(p if p in STRESS_MARKS else p + "|" for p in phonemes)
            words.append(joined.rstrip("|"))
    return " ".join(words)


# --- speakers ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Speaker:
    """A made-up voice: espeak-ng's variant file (pitch, formants, roughness) and a speaking rate."""

    number: int
    variant: str
    words_per_minute: int

    @property
    def name(self) -> str:
        return f"spk{self.number:02d}"

    @property
    def group(self) -> int:
        return self.number % N_GROUPS


def make_speakers() -> list[Speaker]:
    """Draw the speakers; half of each group has a woman's pitch and vocal tract."""
    rng = random.Random(SEED)
    speakers = []
    for number in range(N_SPEAKERS):
        female = (number // N_GROUPS) % 2 == 1
        tract = rng.uniform(1.06, 1.18) if female else rng.uniform(0.90, 1.05)
        pitch = rng.randint(150, 210) if female else rng.randint(75, 120)
        lines = [
            "language variant",
            f"name spk{number:02d}",
            f"gender {'female' if female else 'male'}",
            f"pitch {pitch} {int(pitch * rng.uniform(1.35, 1.65))}",
            f"flutter {rng.randint(0, 5)}",
            f"roughness {rng.randint(0, 2)}",
            f"voicing {rng.randint(85, 115)}",
            f"consonants {rng.randint(90, 115)} {rng.randint(90, 115)}",
        ]
        for formant in range(9):
            spread = 0.015 if formant <= 3 else 0.05
            frequency = round(100 * tract * rng.uniform(1 - spread, 1 + spread))
            height, width = rng.randint(88, 108), rng.randint(95, 120)
            lines.append(f"formant {formant} {frequency} {height} {width}")
        speakers.append(Speaker(number, "\n".join(lines) + "\n", rng.randint(135, 165)))
    return speakers


# --- espeak-ng -----------------------------------------------------------------------------------

RETRIEVAL_SYNCHRONOUS = 2
PHONEME_EVENTS = 1  # espeak_Initialize: tell when each phoneme begins
LIST_TERMINATED, PHONEME = 0, 7  # types of events
RATE, VOLUME, PITCH, RANGE = 1, 2, 3, 4  # espeak_SetParameter
UTF8, PHONEMES = 0x1, 0x100  # espeak_Synth flags
PAUSES = ("", "_", "_:")  # what the engine calls a phoneme, and nobody a phone


class Event(ctypes.Structure):
    """espeak_EVENT; of its union at the end, the name of a phoneme."""

    _fields_ = [
        ("type", ctypes.c_int), ("unique_identifier", ctypes.c_uint), ("text_position", ctypes.c_int),
        ("length", ctypes.c_int), ("audio_position", ctypes.c_int), ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p), ("name", ctypes.c_char * 8),
    ]  # fmt: skip


SYNTH_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event)
)


class Espeak:
    """espeak-ng's shared library, with the made-up speakers in a private data folder."""

    def __init__(self, speakers: list[Speaker], folder: Path):
        import espeakng_loader

        data = folder / "espeak-ng-data"
        (data / "voices" / "!v").mkdir(parents=True)
        for entry in Path(espeakng_loader.get_data_path()).iterdir():
            if entry.name != "voices":
                (data / entry.name).symlink_to(entry)
        for speaker in speakers:
            (data / "voices" / "!v" / speaker.name).write_text(speaker.variant)
        if len(str(data)) > 150:  # a longer path overflows a fixed buffer of the engine
            raise ValueError(f"{data}: path too long for espeak-ng; set TMPDIR to a shorter one")

        self.library = ctypes.CDLL(espeakng_loader.get_library_path())
        self.library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        rate = self.library.espeak_Initialize(RETRIEVAL_SYNCHRONOUS, 0, str(data).encode(), PHONEME_EVENTS)
        if rate != ENGINE_RATE:
            raise RuntimeError(f"espeak-ng did not start (it answered {rate})")
        self._chunks: list[bytes] = []
        self._phonemes: list[tuple[int, str]] = []
        self._callback = SYNTH_CALLBACK(self._collect)  # the library keeps only a pointer to it
        self.library.espeak_SetSynthCallback(self._callback)

    def _collect(self, samples, count, events) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        for event in itertools.takewhile(
            lambda event: event.type != LIST_TERMINATED, events if events else []
        ):
            if event.type == PHONEME:
                self._phonemes.append((event.sample, event.name.decode().strip(STRESS_MARKS)))
        return 0

    def _set_voice(self, voice: str) -> None:
        if self.library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}")

    def _mnemonics(self, text: str, voice: str) -> str:
        self._set_voice(voice)
        buffer = ctypes.create_string_buffer(text.encode())
        position, parts = ctypes.c_void_p(ctypes.addressof(buffer)), []
        while position.value:
            part = self.library.espeak_TextToPhonemes(ctypes.byref(position), UTF8, 0)
            parts.append((part or b"").decode())
        return " ".join(parts)

    def _say(self, text: str, accent: Accent, speaker: Speaker, seed: int) -> tuple[bytes, list]:
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        voice, learner = accent
        flags = UTF8
        if learner:
            british = self._mnemonics(text.rstrip("."), "gmw/en")
            text = f"[[{learner_mnemonics(british, learner)}]]"
            flags |= PHONEMES
        self._set_voice(f"{voice}+{speaker.name}")
        settings = ((RATE, speaker.words_per_minute), (VOLUME, 100), (PITCH, 50), (RANGE, 50))
        for parameter, value in settings:
            self.library.espeak_SetParameter(parameter, value, 0)
        self._chunks.clear()
        self._phonemes.clear()
        encoded = text.encode() + b"\0"
        size = ctypes.c_size_t(len(encoded))
        self.library.espeak_Synth(encoded, size, 0, 1, 0, flags, None, None)
        self.library.espeak_Synchronize()
        return b"".join(self._chunks), self._phonemes

    def say(self, text: str, accent: Accent, speaker: Speaker, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
        """Speak a sentence, the same on every call.

        Returns
        -------
        samples : np.ndarray
            ``(samples,)``, int16 at ENGINE_RATE.
        phones : pandas.DataFrame
            start and end (s), phone and position of each phoneme.
        """
        answer = in_child(lambda: pickle.dumps(self._say(text, accent, speaker, seed)))
        audio, phonemes = pickle.loads(answer)  # of our own child
        samples = np.frombuffer(audio, np.int16)
        if np.abs(samples).max(initial=0) < 100:
            raise RuntimeError(f"espeak-ng was silent on {accent} {speaker.name} {text!r}")
        starts, names = zip(*phonemes, strict=True)
        start = np.array(starts) / ENGINE_RATE
        phones = pd.DataFrame(
            {"start": start, "end": np.append(start[1:], len(samples) / ENGINE_RATE), "phone": names}
        )
        phones = phones[~phones["phone"].isin(PAUSES) & (phones["end"] > phones["start"])]
        return samples, phones.assign(position=range(len(phones)))

    def words(self, text: str, accent: Accent) -> list[str]:
        """The phonemes of each word in one of the engine's own accents."""
        plain = text.rstrip(".").replace(",", "")
        return in_child(lambda: self._mnemonics(plain, accent[0]).encode()).decode().split()


def in_child(function: Callable[[], bytes]) -> bytes:
    """Call in a forked child, because the engine keeps state from one call to the next."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(read_end)
            with os.fdopen(write_end, "wb") as pipe:
                pipe.write(function())
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if status:
        raise RuntimeError("espeak-ng failed; the line above says why")
    return answer


def fewest_cues(espeak: Espeak, text: str) -> int:
    """The number of words said differently, for the two native accents that are most alike."""
    native = [espeak.words(text, accent) for accent in ACCENTS.values() if not accent[1]]
    pairs = itertools.combinations(native, 2)
    return min(sum(a != b for a, b in itertools.zip_longest(*pair)) for pair in pairs)


# --- clips ---------------------------------------------------------------------------------------


def finish_clip(samples: np.ndarray, seed: int) -> tuple[np.ndarray, float]:
    """To 16 kHz, trimmed to 50 ms around the speech, at one level, over a faint noise; and the s cut off before.

    The noise is there because the engine's pauses are digital silence whose length and place differ
    between its voices: a network would hear the voice's program and not its accent.
    """
    wave = scipy.signal.resample_poly(samples / 32768, 320, 441)
    loud = np.flatnonzero(np.abs(wave) > 1e-3)
    first = max(0, loud[0] - SAMPLE_RATE // 20)
    wave = wave[first : loud[-1] + SAMPLE_RATE // 20]
    wave = 0.05 * wave / np.sqrt(np.mean(wave**2))
    wave = wave + np.random.default_rng(seed).normal(0, 2e-4, wave.shape)
    return np.clip(wave, -1, 1).astype(np.float32), first / SAMPLE_RATE


def make_clip(
    espeak: Espeak, accent: Accent, speaker: Speaker, text: str, seed: int
) -> tuple[np.ndarray, pd.DataFrame]:
    """One finished clip ``(samples,)``, float32 at SAMPLE_RATE, and its phones."""
    samples, phones = espeak.say(text, accent, speaker, seed)
    wave, cut = finish_clip(samples, seed)
    times = (phones[["start", "end"]] - cut).clip(0, len(wave) / SAMPLE_RATE).round(3)
    return wave, phones.assign(start=times["start"], end=times["end"])[times["end"] > times["start"]]


def write_clip(path: Path, wave: np.ndarray) -> str:
    """Write Opus in Ogg; the file's SHA-256."""
    opus = {"format": "OGG", "subtype": "OPUS", "compression_level": 0.95}
    sf.write(path, wave, SAMPLE_RATE, **opus)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_phones(folder: Path, phones: list[pd.DataFrame]) -> None:
    """Write ``phones.csv``: which phoneme is spoken when in each clip."""
    table = pd.concat(phones)[["path", "start", "end", "phone", "position"]]
    table.to_csv(folder / "phones.csv", index=False, lineterminator="\n")


def main() -> None:
    """Write every clip, the manifest, the phones and the clips' checksums."""
    rows, waves, phones = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        speakers = make_speakers()
        espeak = Espeak(speakers, Path(folder))
        for sentence in SENTENCES:
            if fewest_cues(espeak, sentence) < MIN_CUES:
                raise ValueError(f"too few cues in: {sentence}")
        shutil.rmtree(OUTPUT / "clips", ignore_errors=True)
        for accent, speaker in tqdm(list(itertools.product(ACCENTS, speakers)), "speak"):
            (OUTPUT / "clips" / accent).mkdir(parents=True, exist_ok=True)
            for s in range(speaker.group, len(SENTENCES), N_GROUPS):
                path = f"clips/{accent}/{speaker.name}_s{s:02d}.ogg"
                wave, spoken = make_clip(
                    espeak, ACCENTS[accent], speaker, SENTENCES[s], 1000 * speaker.number + s
                )
                waves.append(wave)
                phones.append(spoken.assign(path=path))
                rows.append(
                    {
                        "path": path,
                        "accent": accent,
                        "speaker": speaker.name,
                        "sentence": f"s{s:02d}",
                        "split": SPLIT_OF_GROUP[speaker.group],
                        "seconds": round(len(waves[-1]) / SAMPLE_RATE, 2),
                    }
                )
    paths = [row["path"] for row in rows]
    jobs = (joblib.delayed(write_clip)(OUTPUT / p, w) for p, w in zip(paths, waves, strict=True))
    writing = joblib.Parallel(n_jobs=-1, prefer="threads", return_as="generator")(jobs)
    digests = list(tqdm(writing, "encode", total=len(rows)))
    pd.DataFrame(rows).assign(speech="synthetic").to_csv(
        OUTPUT / "manifest.csv", index=False, lineterminator="\n"
    )
    write_phones(OUTPUT, phones)
    lines = [f"{digest}  {path}\n" for digest, path in zip(digests, paths, strict=True)]
    (OUTPUT / "clips.sha256").write_text("".join(lines))
    megabytes = sum(p.stat().st_size for p in OUTPUT.rglob("*") if p.is_file()) / 1e6
    hours = sum(row["seconds"] for row in rows) / 3600
    print(f"{len(rows)} clips, {hours:.2f} h, {megabytes:.1f} MB")


if __name__ == "__main__":
    main()
