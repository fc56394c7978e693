"""When each phone of a known text is spoken: a reading of known phones, warped onto each recording, starts a
Viterbi training of a left-to-right model (Rabiner, A Tutorial on Hidden Markov Models, 1989, section VI)."""

from pathlib import Path

import numpy as np
import pandas as pd

from ..config import Config, InputError
from ..features.audio import load_audio
from ..features.log_mel import mfccs, wave_log_mel
from ..features.parallel import on_all_cores
from ..features.store import clip_ids
from .phones import COLUMNS, phones_file, read_phones

HALVES = 2  # each half of a phone is a state with its own mean
ITERATIONS = 3  # the paths hardly change any more
PRIOR = 20  # frames: the weight of a phone's mean over all texts in the mean of one of its states
FEATURES = Config(sample_rate=8000, n_mels=40, n_fft=256, hop_seconds=0.02)  # the same for every corpus
# From one frame to the next, the reading advances by 0, 1 or 2 rows; 0 and 2 have a cost.
STEPS, STEP_COSTS = np.array([[1, 1], [1, 0], [1, 2]]), np.array([0.0, 0.3, 0.3])


def cepstra(path: str) -> np.ndarray | str:
    """13 MFCCs and their slopes, ``(frames, 26)``, float32; or the line that says what is wrong. Each MFCC is
    divided by the square root of its deviation, so that large ones still count more."""
    try:
        log_mels = wave_log_mel(load_audio(path, FEATURES.sample_rate), FEATURES)
    except InputError as error:
        return str(error)
    mfcc = mfccs(log_mels, 13)
    mfcc = mfcc / np.sqrt(mfcc.std(axis=0) + 1e-3)
    mfcc = mfcc / (mfcc.std() + 1e-3)
    slopes = np.gradient(mfcc, axis=0) if len(mfcc) > 1 else np.zeros_like(mfcc)
    return np.concatenate([mfcc, 2 * slopes], axis=1).astype(np.float32)  # (frames, 26)


class Reading:
    """A text's phones, and the :func:`cepstra` of its reading with each frame's state (half of a phone)."""

    def __init__(self, phones: pd.DataFrame, frames: np.ndarray):
        times = FEATURES.first_frame + FEATURES.hop_seconds * np.arange(len(frames))
        start, end = phones["start"].to_numpy(), phones["end"].to_numpy()
        place = np.clip(np.searchsorted(start, times, side="right") - 1, 0, None)
        half = np.clip(HALVES * (times - start[place]) / (end - start)[place], 0, HALVES - 1)
        self.names, self.frames = list(phones["phone"]), frames
        self.states = HALVES * place + half.astype(int)


def warp(frames: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """The row of ``onto`` for each frame: ``(frames,)``, never decreasing. An even pace costs nothing, and
    the path may begin and end anywhere in ``onto``, because a recording may be cut off."""
    import librosa
    from scipy.spatial.distance import cdist

    rows = np.linspace(0, len(onto) - 1, len(frames)).round().astype(int)
    cost = cdist(frames, onto[rows]) / np.sqrt(frames.shape[1])
    steps: dict = {"step_sizes_sigma": STEPS, "weights_add": STEP_COSTS, "weights_mul": np.ones(3)}
    return rows[librosa.sequence.dtw(C=cost, **steps, subseq=True)[1][::-1, 1]]


def smoothed_means(frames: np.ndarray, group: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Mean frame of each group, where ``prior`` ``(groups, 26)`` counts as PRIOR more frames."""
    sums = PRIOR * prior
    np.add.at(sums, group, frames)
    return sums / (np.bincount(group, minlength=len(prior))[:, None] + PRIOR)


def text_means(clips: list[np.ndarray], states: list[np.ndarray], texts: list[str],
               readings: dict[str, Reading]) -> dict[str, np.ndarray]:  # fmt: skip
    """Mean frame of each state of each text, ``(states, 26)``, over clips ``(frames, 26)`` with their texts
    and states ``(frames,)``; of a rare state, near its phone's overall mean."""
    _, phone = np.unique(np.concatenate([text.names for text in readings.values()]), return_inverse=True)
    kinds = (HALVES * phone[:, None] + np.arange(HALVES)).ravel()  # (all phones, halves) -> (all states,)
    *ends, _ = np.cumsum([HALVES * len(text.names) for text in readings.values()])
    first = dict(zip(readings, [0, *ends], strict=True))  # number of each text's first state
    state = np.concatenate([first[text] + own for text, own in zip(texts, states, strict=True)])
    frames = np.concatenate(clips)
    overall = smoothed_means(frames, kinds[state], np.zeros((kinds.max() + 1, frames.shape[1])))
    means = smoothed_means(frames, state, overall[kinds])
    return dict(zip(readings, np.split(means, ends), strict=True))


def spans(states: np.ndarray, names: list[str]) -> pd.DataFrame:
    """Start and end (s), phone and position of each phone on a path of states, ``(frames,)``."""
    position = states // HALVES
    first = np.flatnonzero(np.diff(position, prepend=-1))
    # a phone's first frame begins half a step before its middle
    edges = FEATURES.first_frame + FEATURES.hop_seconds * (np.append(first, len(states)) - 0.5)
    times = {"start": edges[:-1].round(3), "end": edges[1:].round(3)}
    return pd.DataFrame({**times, "phone": np.take(names, position[first]), "position": position[first]})


def read_readings(readings: str | Path) -> dict[str, Reading]:
    """The readings in a folder, or one of its recordings alone, by file name without extension."""
    readings = Path(readings)
    file = phones_file(readings if readings.is_dir() else readings.parent)
    if missing := [path for path in (readings, file) if not path.exists()]:
        hint = "readings are recordings of the texts, beside their phones.csv (as in data/readings)"
        raise InputError(f"{missing[0]}: no such file; {hint}")
    table = read_phones(file)
    if readings.is_file():
        table = table[table["path"] == str(readings.absolute())]
    if not len(table):
        raise InputError(f"{file}: has no phones of {readings.name}")
    texts = {}
    for path, phones in table.groupby("path"):
        if isinstance(frames := cepstra(path), str):
            raise InputError(frames)
        texts[Path(path).stem] = Reading(phones, frames)
    return texts


def texts_of(table: pd.DataFrame, readings: dict[str, Reading], column: str) -> list[str]:
    """The reading of each clip: the only one, or else the one that ``column`` names."""
    if len(readings) == 1:
        return list(readings) * len(table)
    if column not in table:
        why = f"there are {len(readings)} readings, and the corpus has no column {column!r}"
        raise InputError(f"{why} to choose by; give one of them, --readings FOLDER/NAME.ogg")
    if unknown := sorted(set(table[column]) - set(readings)):
        raise InputError(f"column {column!r} names {unknown[0]!r}; the readings are {', '.join(readings)}")
    return list(table[column])


def align(table: pd.DataFrame, readings: str | Path, *, text_column: str = "sentence",
          progress: bool = True) -> tuple[pd.DataFrame, dict[str, str]]:  # fmt: skip
    """Find when each phone of a known text is spoken in each clip of a corpus. Accents are not used.

    ``readings`` are recordings of the texts: a folder, which has their ``phones.csv``, or one file in it. If
    there are several, ``text_column`` has the one of each clip (its file without extension). If the table
    has splits, only training clips define the means. Returns the rows of ``phones.csv`` (start and end in s;
    id where ids are not the paths), and what is wrong with each clip that could not be read, by id. Raises
    InputError if a reading cannot be used, or no training clip can be read."""
    texts = read_readings(readings)
    names = texts_of(table, texts, text_column)
    ids, paths = clip_ids(table), list(table["path"])
    clips = list(on_all_cores(cepstra, paths, progress="cepstra" if progress else None))
    problems = {clip: frames for clip, frames in zip(ids, clips, strict=True) if isinstance(frames, str)}
    good = [i for i, frames in enumerate(clips) if not isinstance(frames, str)]
    learned = [i for i in good if "split" not in table or table["split"].iloc[i] == "train"]
    if not learned:
        raise InputError(f"no training clip could be read: {next(iter(problems.values()), 'there is none')}")
    spoken, said = [clips[i] for i in learned], [names[i] for i in learned]
    onto = {text: reading.frames for text, reading in texts.items()}
    for iteration in range(ITERATIONS + 1):
        states = {i: texts[names[i]].states[warp(clips[i], onto[names[i]])] for i in good}
        if iteration < ITERATIONS:
            means = text_means(spoken, [states[i] for i in learned], said, texts)
            onto = {text: means[text][reading.states] for text, reading in texts.items()}
    aligned = [spans(states[i], texts[names[i]].names).assign(id=ids[i], path=paths[i]) for i in good]
    columns = list(COLUMNS if ids != paths else COLUMNS[1:])
    return pd.concat(aligned, ignore_index=True)[columns], problems
