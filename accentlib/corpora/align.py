"""When each phone of a known text is spoken: recordings aligned with a reading whose phones are known.

The reading (of a synthesiser, say) is warped onto each recording (dynamic time warping); then the means
of the text's phones are taken over all recordings and each is aligned with these, a few times over
(Viterbi training of a left-to-right model, Rabiner, A Tutorial on Hidden Markov Models, 1989, section VI).
No accent is looked at.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from ..config import Config, InputError
from ..features.audio import load_audio
from ..features.log_mel import mfccs, wave_log_mel
from ..features.parallel import on_all_cores
from .phones import COLUMNS, NAMES, read_phones

HALVES = 2  # each half of a phone has a mean of its own
ITERATIONS = 3  # the paths hardly change any more
PRIOR = 20  # frames that a part of a phone counts as having, with the mean of that phone wherever it stands
FEATURES = Config(
    sample_rate=8000, n_mels=40, n_fft=256, hop_seconds=0.02
)  # 8 kHz: the same for every corpus
# From one frame to the next the reading stays, goes on, or goes on by two; what is not one by one costs this.
STEPS, STEP_COSTS = np.array([[1, 1], [1, 0], [1, 2]]), np.array([0.0, 0.3, 0.3])


def cepstra(path: str) -> np.ndarray | str:
    """13 normalised MFCCs and their slopes, ``(frames, 26)``, float32; or the line that says what is wrong.

    Each MFCC is divided by the root of its deviation, which evens out large and small ones by half; then
    all by one number.
    """
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
    """A text as its phones: names, and for each frame of its reading which part of which phone it is.

    Parameters
    ----------
    phones : pandas.DataFrame
        The rows of the reading's recording (:func:`accentlib.corpora.phones.read_phones`).
    frames : np.ndarray
        :func:`cepstra` of that recording.
    """

    def __init__(self, phones: pd.DataFrame, frames: np.ndarray):
        self.names = list(phones["phone"])
        times = FEATURES.first_frame + FEATURES.hop_seconds * np.arange(len(frames))
        start, end = phones["start"].to_numpy(), phones["end"].to_numpy()
        place = np.clip(np.searchsorted(start, times, side="right") - 1, 0, None)
        part = np.clip(HALVES * (times - start[place]) / (end - start)[place], 0, HALVES - 1)
        self.frames, self.states = frames, HALVES * place + part.astype(int)


def warp(frames: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """The row of ``onto`` that each frame goes with, never going back: ``(frames,)``.

    ``onto`` is first stretched to as many frames, so that an even pace costs nothing. The path may begin
    and end anywhere in it: a recording may be cut off.
    """
    import librosa
    from scipy.spatial.distance import cdist

    rows = np.linspace(0, len(onto) - 1, len(frames)).round().astype(int)
    cost = cdist(frames, onto[rows]) / np.sqrt(frames.shape[1])
    _, path = librosa.sequence.dtw(
        C=cost, step_sizes_sigma=STEPS, weights_add=STEP_COSTS, weights_mul=np.ones(3), subseq=True
    )
    return rows[path[::-1, 1]]


def smoothed_means(frames: np.ndarray, group: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """Mean frame of each group, drawn towards ``prior`` ``(groups, 26)`` as if that had PRIOR frames."""
    sums = PRIOR * prior
    np.add.at(sums, group, frames)
    return sums / (np.bincount(group, minlength=len(prior))[:, None] + PRIOR)


def text_means(
    clips: list[np.ndarray], states: list[np.ndarray], texts: list[str], readings: dict[str, Reading]
) -> dict[str, np.ndarray]:
    """Mean frame of each state of each text, ``(states, 26)``; a rare one is like that phone in all texts.

    Parameters
    ----------
    clips, states : lists of np.ndarray
        Frames of each recording, ``(frames, 26)``, and the state of each, ``(frames,)``.
    texts : list of str
        The text of each recording.
    readings : dict
        The texts.
    """
    names = {name: i for i, name in enumerate(sorted({x for text in readings.values() for x in text.names}))}
    # the same half of the same phone, wherever it stands
    kinds = {
        text: HALVES * np.repeat([names[x] for x in reading.names], HALVES)
        + np.tile(np.arange(HALVES), len(reading.names))
        for text, reading in readings.items()
    }
    kind = np.concatenate([kinds[text][state] for text, state in zip(texts, states, strict=True)])
    anywhere = smoothed_means(np.concatenate(clips), kind, np.zeros((HALVES * len(names), clips[0].shape[1])))
    means = {text: anywhere[kinds[text]] for text in readings}
    for text in set(texts):
        own = [i for i, name in enumerate(texts) if name == text]
        frames, state = (np.concatenate([x[i] for i in own]) for x in (clips, states))
        means[text] = smoothed_means(frames, state, means[text])
    return means


def spans(states: np.ndarray, names: list[str]) -> pd.DataFrame:
    """Start and end (s), phone and position of each phone on a path of states, ``(frames,)``."""
    position = states // HALVES
    first = np.flatnonzero(np.diff(position, prepend=-1))
    # a phone's first frame begins half a step before its middle
    edges = FEATURES.first_frame + FEATURES.hop_seconds * (np.append(first, len(states)) - 0.5)
    return pd.DataFrame(
        {
            "start": edges[:-1].round(3),
            "end": edges[1:].round(3),
            "phone": [names[i] for i in position[first]],
            "position": position[first],
        }
    )


def read_readings(readings: str | Path) -> dict[str, Reading]:
    """The readings of a folder, or one recording in it, by the names of the recordings without the extension.

    Raises InputError if the folder's ``phones.csv`` or a recording of it cannot be used.
    """
    readings = Path(readings)
    folder = readings if readings.is_dir() else readings.parent
    phones = next((folder / name for name in NAMES if (folder / name).is_file()), folder / NAMES[0])
    for file in (readings, phones):
        if not file.exists():
            raise InputError(
                f"{file}: no such file; readings are recordings of the texts, beside a phones.csv that says when"
                " each phone is spoken in them (data/readings is an example)"
            )
    table = read_phones(phones)
    if readings.is_file():
        table = table[table["path"] == str(readings.absolute())].reset_index(drop=True)
        if not len(table):
            raise InputError(f"{phones}: says nothing of {readings.name}")
    texts = {}
    for path, phones in table.groupby("path"):
        frames = cepstra(path)
        if isinstance(frames, str):
            raise InputError(frames)
        texts[Path(path).stem] = Reading(phones, frames)
    return texts


def texts_of(table: pd.DataFrame, readings: dict[str, Reading], column: str) -> list[str]:
    """Which reading each clip goes with: the only one, or the one that the column names.

    Raises InputError if a clip names none of them.
    """
    if len(readings) == 1:
        return [next(iter(readings))] * len(table)
    if column not in table:
        raise InputError(
            f"there are {len(readings)} readings, and the corpus has no column {column!r} to say which"
        )
    unknown = sorted(set(table[column]) - set(readings))
    if unknown:
        raise InputError(
            f"column {column!r} says {unknown[0]!r}; there are the readings {', '.join(readings)}"
        )
    return list(table[column])


def align(
    table: pd.DataFrame, readings: str | Path, *, text_column: str = "sentence", progress: bool = True
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Find when each phone of a known text is spoken in each clip.

    Parameters
    ----------
    table : pandas.DataFrame
        A corpus (:func:`accentlib.read_corpus`). Where it has a split, means are taken of the training
        clips alone: the others are aligned with what was learned without them.
    readings : str or Path
        A folder with recordings of the texts, and their ``phones.csv``; or one recording in it.
    text_column : str
        The column of the corpus that names the reading (its file without the extension); not needed
        where there is only one.

    Returns
    -------
    phones : pandas.DataFrame
        Columns path, start and end (s), phone and position, as ``phones.csv`` has them.
    problems : dict
        What is wrong with each clip that could not be read.

    Raises InputError if the readings cannot be used, or no clip can be read.
    """
    texts = read_readings(readings)
    names = np.array(texts_of(table, texts, text_column))
    paths = list(table["path"])
    clips = list(on_all_cores(cepstra, paths, progress="cepstra" if progress else None))
    problems = {path: clip for path, clip in zip(paths, clips, strict=True) if isinstance(clip, str)}
    good = [i for i, path in enumerate(paths) if path not in problems]
    if not good:
        raise InputError(f"no clip could be read; the first: {problems[paths[0]]}")
    learned = [i for i in good if "split" not in table or table["split"].iloc[i] == "train"]
    sounding = {text: reading.frames for text, reading in texts.items()}  # what clips are warped onto
    for iteration in range(ITERATIONS + 1):
        states = {i: texts[names[i]].states[warp(clips[i], sounding[names[i]])] for i in good}
        if iteration < ITERATIONS:
            mine = [[x[i] for i in learned] for x in (clips, states, names)]
            means = text_means(*mine, texts)
            sounding = {text: means[text][reading.states] for text, reading in texts.items()}
    aligned = [spans(states[i], texts[names[i]].names).assign(path=paths[i]) for i in good]
    return pd.concat(aligned, ignore_index=True)[list(COLUMNS)], problems
