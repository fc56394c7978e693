"""A native ear, the baseline to beat on English: what pocketsphinx's acoustic model hears, and no network.

Log-posteriors of 42 phones, averaged over the frames of each best phone, and linear discriminant analysis."""

from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from pandas import DataFrame
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from ..config import InputError
from ..corpora.recogniser import FRAMES, LEAD, decode, decoder, in_english, lacking, pcm
from ..corpora.table import synthetic
from ..features.parallel import in_processes
from ..features.store import clip_ids
from ..files import replacing

PHONES, STATES = 42, 3  # context-independent phones, and states of each
NATS = 1024 * np.log(1.0001)  # a unit of the scores; lower scores are more likely
PRIOR = 10  # frames of each phone that count as average


def can_hear(table: DataFrame) -> bool:
    """Whether the baseline fits a corpus: people speaking English, as far as its manifest says."""
    return not (synthetic(table) or lacking(table)) and bool(in_english(table).all())


@cache
def ear() -> tuple[Any, TemporaryDirectory]:
    """A decoder that writes the scores of all states, and the folder that it writes to."""
    folder = TemporaryDirectory()
    narrow = {"beam": 1e-3, "pbeam": 1e-3}  # faster; only the scores are wanted, which it does not change
    return decoder(allphone=True, compallsen=True, senlogdir=folder.name, **narrow), folder


def log_posteriors(wave: bytes) -> np.ndarray:
    """Log-posteriors of phones in a recording (:func:`pcm`), ``(frames, 42)``, every 10 ms."""
    machine, folder = ear()
    decode(machine, wave)
    (dump,) = Path(folder.name).glob("*.sen")
    header, _, scores = dump.read_bytes().partition(b"endhdr\n")
    dump.unlink()
    count = int(header.split(b"n_sen", 1)[1].split()[0])
    # a word of byte order, then for each frame how many scores follow, and the scores
    rows = np.frombuffer(scores, "<i2", offset=4).reshape(-1, count + 1)
    assert (rows[:, 0] == count).all(), "pocketsphinx writes another format"
    own = rows[:, 1 : PHONES * STATES + 1].reshape(-1, PHONES, STATES)
    x = -NATS * own.min(axis=2).astype(np.float64)  # the best state of each phone, (frames, 42)
    x -= x.max(axis=1, keepdims=True)
    return (x - np.log(np.exp(x).sum(axis=1, keepdims=True)))[round(FRAMES * LEAD) :]


def heard(path: str | Path) -> np.ndarray:
    """Sums of the log-posteriors over the frames of each best phone, and in the last column the number of
    these frames: ``(42, 43)``; zeros if the recording is unreadable."""
    sums = np.zeros((PHONES, PHONES + 1))
    with suppress(InputError):
        x = log_posteriors(pcm(path))
        np.add.at(sums, x.argmax(axis=1), np.column_stack([x, np.ones(len(x))]))
    return sums


def profiles(table: DataFrame, file: Path, *, progress: bool = True) -> dict[str, np.ndarray]:
    """What is :func:`heard` in each clip, by id; kept in ``file``, and taken from there."""
    known: dict[str, np.ndarray] = {}
    if file.is_file():
        with np.load(file) as arrays:
            known = dict(zip(arrays["ids"].tolist(), arrays["heard"], strict=True))
    new = table[[clip not in known for clip in clip_ids(table)]]
    if new.empty:
        return known
    answers = in_processes(heard, list(new["path"]), progress="native ear" if progress else None)
    known |= dict(zip(clip_ids(new), answers, strict=True))
    arrays = {"ids": np.array([*known], str), "heard": np.stack([*known.values()]).astype(np.float32)}
    with replacing(file) as temporary, temporary.open("wb") as content:
        np.savez(content, **arrays)
    return known


def native_ear(known: dict[str, np.ndarray], train: DataFrame, test: DataFrame) -> np.ndarray:
    """Predicted accents of the rows of ``test``, ``(clips,)``, from :func:`profiles`."""
    x, x_test = (np.stack([known[clip] for clip in clip_ids(t)]).astype(float) for t in (train, test))
    mean = x[..., :-1].sum(axis=0) / np.maximum(x[..., -1:].sum(axis=0), 1)  # (42, 42)

    def sounds(x: np.ndarray) -> np.ndarray:
        count = x[..., -1:]
        return ((x[..., :-1] - count * mean) / (count + PRIOR)).reshape(len(x), -1)  # (clips, 42 * 42)

    classifier = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.5)
    return classifier.fit(sounds(x), train["accent"]).predict(sounds(x_test))
