"""From clips to embeddings, accents and their probabilities."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO
from itertools import pairwise
from numbers import Real
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import torch

from ..config import Config, InputError
from ..features.audio import as_wave, native_rate, read_audio, to_mono
from ..features.batches import length_buckets, pad
from ..features.log_mel import at_rate, file_log_mel, moments, normalise, speech, wave_log_mel
from ..features.parallel import TOGETHER, keep_freed_memory, on_all_cores
from ..features.store import FeatureStore, clip_ids
from ..files import file_and_segment
from ..network.accent_net import AccentNet, evaluating
from ..network.padding import frame_mask
from ..network.pooling import Weights

Clip: TypeAlias = str | os.PathLike | bytes | BinaryIO | tuple[np.ndarray | torch.Tensor, int]  # wave and Hz
Clips: TypeAlias = Clip | Iterable[Clip] | pd.DataFrame
UNLIKE = "unlike anything I know"  # instead of an accent, and of a probability
CHUNK = 512  # clips whose features are in memory at once


class Answers(NamedTuple):
    """What a model predicts: one row for each readable clip, in the given order."""

    ids: list[str]
    accents: list[str]  # the most probable accent of each clip
    embeddings: np.ndarray  # (clips, embedding), float32
    probabilities: np.ndarray  # (clips, accents), calibrated if the model is
    problems: dict[str, str]  # id and error message of each unreadable clip
    distances: np.ndarray  # (clips,), to the training material (1: usual), NaN where a model does not know it


def evaluation_windows(frames: int, window: int) -> list[tuple[int, int]]:
    """First and last frames (exclusive) of the fewest even windows that cover an utterance; 0: one window."""
    if not window or frames <= window:
        return [(0, frames)]
    starts = np.linspace(0, frames - window, -(-frames // window)).round().astype(int)
    return [(start, start + window) for start in starts.tolist()]


def cut_clips(log_mels: Sequence[np.ndarray], config: Config) -> tuple[list[np.ndarray], np.ndarray]:
    """Cut utterances into windows of ``evaluation_window`` s; also return each window's utterance number."""
    window = round(config.evaluation_window / config.hop_seconds)
    ends = [(i, *pair) for i, x in enumerate(log_mels) for pair in evaluation_windows(len(x), window)]
    return [log_mels[i][start:stop] for i, start, stop in ends], np.array([i for i, *_ in ends], dtype=int)


@torch.inference_mode()
def window_outputs(model: AccentNet, log_mels: Sequence[np.ndarray]) -> Iterator[tuple]:
    """Batches of windows of utterances, each normalised as a whole: the utterances' numbers, the embeddings
    ``(windows, embedding)``, and of the front end's output the mean ``(windows, size)`` and the steps."""
    device, config = next(model.parameters()).device, model.config
    windows, of_clip = cut_clips(log_mels, config)
    known = [moments(x, config.normalization) for x in log_mels]
    with evaluating(model):
        for bucket in length_buckets([len(x) for x in windows]):
            own = of_clip[bucket]
            pairs = zip(bucket, own, strict=True)
            batch, lengths = pad([(windows[i] - known[c][0]) / known[c][1] for i, c in pairs])
            encoded, steps = model.encode(batch.to(device), lengths)
            spoken = frame_mask(steps, encoded.shape[1]).unsqueeze(-1)  # (windows, steps, 1)
            means = (spoken * encoded.float()).sum(1) / spoken.sum(1)
            yield own, model.embed_pooled(model.pool(encoded, steps)[0]), means, steps


@torch.inference_mode()
def forward_log_mels(model: AccentNet, log_mels: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Embeddings ``(clips, embedding)``, logits ``(clips, accents)`` and distances to the training material
    ``(clips,)``: means over windows. Logits of n windows are multiplied by ``n ** window_gain``."""
    count, familiar = len(log_mels), model.familiar
    embeddings = np.zeros((count, model.size * model.config.embedding_size), np.float32)
    logits = np.zeros((count, len(model.labels)), np.float32)
    distances, windows = np.full(count, 0.0 if familiar else np.nan, np.float32), np.zeros(count)
    for own, vectors, means, steps in window_outputs(model, log_mels):
        np.add.at(windows, own, 1)
        np.add.at(embeddings, own, vectors.cpu().numpy())
        np.add.at(logits, own, model.classify(vectors).cpu().numpy())
        if familiar:
            np.add.at(distances, own, familiar.distances(means.cpu(), steps.cpu()).numpy())
    shares = windows[:, None] ** (1 - model.calibration.window_gain)
    return tuple(
        x.astype(np.float32) for x in (embeddings / windows[:, None], logits / shares, distances / windows)
    )


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities ``(clips, accents)`` from logits divided by a temperature."""
    return torch.from_numpy(logits / temperature).softmax(dim=1).numpy()


def as_clips(clips: Clips) -> list[tuple[str, Clip]]:
    """Pair each clip with its id: a table's, else its path, else "clip 0". InputError if it is not a clip."""
    ids: Iterable[str] | None = None
    if isinstance(clips, pd.DataFrame):
        if "path" not in clips:
            raise InputError(f"the table has no column 'path'; it has {', '.join(map(str, clips.columns))}")
        ids, clips = map(str, clip_ids(clips)), clips["path"]
    fault = _not_a_clip(clips)
    numbers = isinstance(clips, np.ndarray) and clips.dtype.kind not in "OSUT"
    if fault and (numbers or isinstance(clips, (Mapping, torch.Tensor)) or not isinstance(clips, Iterable)):
        raise InputError(fault)
    clips = list(clips) if fault and isinstance(clips, Iterable) else [clips]
    for i, clip in enumerate(clips):
        if fault := _not_a_clip(clip):
            raise InputError(f"clip {i}: {fault}")
    ids = ids or (str(x) if isinstance(x, (str, os.PathLike)) else f"clip {i}" for i, x in enumerate(clips))
    return list(zip(ids, clips, strict=True))


def _not_a_clip(clip: Any) -> str:
    """The message for something that is not a clip; empty if it is one."""
    wave = isinstance(clip, tuple) and len(clip) == 2 and any(isinstance(x, Real) for x in clip)
    if wave or isinstance(clip, (str, os.PathLike, bytes, bytearray)) or hasattr(clip, "read"):
        return ""
    if isinstance(clip, (np.ndarray, torch.Tensor)):
        return f"an array of shape {tuple(clip.shape)} needs its sample rate; pass (array, sample rate)"
    return f"a {type(clip).__name__} is not a clip: give a path, (wave, sample rate), a binary file or bytes"


def clip_log_mel(clip_id: str, clip: Clip, config: Config) -> np.ndarray:
    """Log-mels ``(frames, mels)`` of a clip; raises InputError that names its file, or else its id."""
    if isinstance(clip, (str, os.PathLike)):
        return file_log_mel(str(clip), config)
    content: Any = clip
    try:
        if hasattr(content, "read"):
            if content.seekable():
                content.seek(0)
            content = content.read()
        if isinstance(content, str):
            raise InputError("a text file; open the audio file in binary mode")
        wave, rate = as_wave(*content) if isinstance(content, tuple) else read_audio(BytesIO(content))
        config = at_rate(config, rate)
        return wave_log_mel(to_mono(wave, rate, config.sample_rate), config)
    except InputError as error:
        raise InputError(f"{clip_id}: {error}") from None


def infer(model: AccentNet, clips: Clips, *, store: FeatureStore | None = None,
          scheduler: str = "") -> Answers:  # fmt: skip
    """Compute embeddings, accent probabilities and the most probable accents of clips.

    Parameters
    ----------
    clips : a clip, several clips, or a table with a column ``path`` and perhaps ``id``
        A clip is a path, an open binary file, its bytes, or a pair (wave, sample rate in Hz). A wave is an
        array or tensor of floats in [-1, 1], int16, int32 or uint8: ``(samples,)``, or with channels.
    store : FeatureStore, optional
        Features made with the model's configuration; clips with an id in it are not decoded.
    scheduler : str
        Address of a Dask cluster to run on (:func:`accentlib.features.parallel.on_all_cores`)."""
    clips = as_clips(clips)
    keep_freed_memory()
    size = CHUNK // TOGETHER if scheduler else CHUNK
    chunks = [clips[start : start + size] for start in range(0, len(clips), size)] or [[]]
    infer_chunk = partial(_infer_chunk, model, {} if store is None else store)
    parts = on_all_cores(infer_chunk, chunks, scheduler=scheduler) if scheduler else map(infer_chunk, chunks)
    readable, faults, embeddings, logits, distances = zip(*parts, strict=True)
    ids = [clip_id for part in readable for clip_id in part]
    probabilities = softmax(np.concatenate(logits), model.calibration.temperature)
    accents = [model.labels[i] for i in probabilities.argmax(axis=1)]
    problems = {clip_id: problem for part in faults for clip_id, problem in part.items()}
    return Answers(
        ids, accents, np.concatenate(embeddings), probabilities, problems, np.concatenate(distances)
    )


def _infer_chunk(model: AccentNet, store: FeatureStore | dict, clips: list[tuple[str, Clip]]) -> tuple:
    """Ids of readable clips, problems of the others, and what :func:`forward_log_mels` gives for them."""

    def read(clip: tuple[str, Clip]) -> np.ndarray | str:
        try:
            return store[clip[0]] if clip[0] in store else clip_log_mel(*clip, model.config)
        except InputError as error:
            return str(error)

    results = list(zip([clip for clip, _ in clips], on_all_cores(read, clips), strict=True))
    problems = {clip: x for clip, x in results if isinstance(x, str)}
    ids = [clip for clip, x in results if not isinstance(x, str)]
    log_mels = [x for _, x in results if not isinstance(x, str)]
    return ids, problems, *forward_log_mels(model, log_mels)


def _infer_all(model: AccentNet, clips: Clips) -> Answers:
    answers = infer(model, clips)
    if answers.problems:
        raise InputError("\n".join(answers.problems.values()))
    return answers


def embed(model: AccentNet, clips: Clips) -> np.ndarray:
    """Embeddings ``(clips, embedding)`` of clips (see :func:`infer`); InputError as in :func:`predict`."""
    return _infer_all(model, clips).embeddings


def predict(model: AccentNet, clips: Clips, *, every: bool = False) -> pd.DataFrame:
    """A table with path, accent, probability and nearest accent of clips (see :func:`infer`), and with
    ``every`` the probability of each accent, in columns ``p:ACCENT``.

    A calibrated model (:func:`accentlib.calibrate`) predicts "unsure" at probabilities where it is too often
    wrong, and if it knows its training material, "unlike anything I know", without a probability, to what is
    far from that; ``nearest`` is always the most probable accent. If a table has ids other than its paths,
    they are a first column ``id``. Raises InputError with one line for each unreadable clip."""
    answers = _infer_all(model, clips)
    predictions = prediction_table(model, answers, every=every)
    if isinstance(clips, pd.DataFrame) and "id" in clips and list(clips["path"]) != answers.ids:
        predictions["path"] = list(clips["path"])
        predictions.insert(0, "id", answers.ids)
    return predictions


def prediction_table(model: AccentNet, answers: Answers, *, every: bool = False) -> pd.DataFrame:
    """The table of :func:`predict` for answers with paths as their ids."""
    nearest, best = answers.accents, answers.probabilities.max(axis=1, initial=0)
    accents = np.where(best < model.calibration.unsure_below, "unsure", nearest)
    if model.familiar:
        unlike = answers.distances > float(model.familiar.limit)
        accents, best = np.where(unlike, UNLIKE, accents), np.where(unlike, np.nan, best)
    table = pd.DataFrame(dict(path=answers.ids, accent=accents, probability=best.round(4), nearest=nearest))
    if every:
        table[[f"p:{label}" for label in model.labels]] = answers.probabilities.round(4)
    return table


def predict_windows(model: AccentNet, path: str | Path, *, seconds: float = 0.0) -> pd.DataFrame:
    """Who sounds like what, when: :func:`predict` with ``every`` for consecutive windows of a recording.

    Returns a row for each window of ``seconds`` (by default the model's, or 4): ``path``, ``start`` and
    ``end`` (s, in the recording; pauses that the model cuts do not count), and the columns of
    :func:`predict`. Each window is normalised and judged by itself. Raises InputError if the recording is
    unusable."""
    rate, seconds = (
        model.config.sample_rate or native_rate(path),
        seconds or model.config.evaluation_window or 4,
    )
    wave = to_mono(*read_audio(path), rate, name=str(path))
    kept = np.arange(len(wave))
    if model.config.trim_silence:
        kept = np.flatnonzero(speech(wave, rate, model.config.trim_silence))
    edges = np.linspace(0, len(kept), max(1, round(len(kept) / (seconds * rate))) + 1).astype(int)
    spans = [(kept[a], kept[b - 1] + 1) for a, b in pairwise(edges)]
    table = predict(model, [(wave[a:b], rate) for a, b in spans], every=True).assign(path=str(path))
    start = file_and_segment(path)[1]
    first = start[0] if start else 0.0
    times = pd.DataFrame([(first + a / rate, first + b / rate) for a, b in spans], columns=["start", "end"])
    return table[["path"]].join(times.round(3)).join(table.drop(columns="path"))


def attention(model: AccentNet, clip: Clip) -> tuple[np.ndarray, Weights]:
    """Normalised log-mels ``(frames, mels)`` and attention weights of a clip; InputError if it is unreadable.

    ``weights.frames`` is ``(steps, heads)``, with ``config.frames_a_step`` frames a step, ``weights.heads``
    ``(heads,)``; each is None if the pooling has no such weights."""
    ((clip_id, clip),) = as_clips(clip)
    log_mels = clip_log_mel(clip_id, clip, model.config)
    return normalise(log_mels, model.config.normalization), log_mel_attention(model, [log_mels])[0]


@torch.inference_mode()
def log_mel_attention(model: AccentNet, log_mels: Sequence[np.ndarray]) -> list[Weights]:
    """Attention weights, as of :func:`attention`, of log-mels ``(frames, mels)`` before normalisation."""
    device, normalization = next(model.parameters()).device, model.config.normalization
    found = [Weights()] * len(log_mels)
    if model.config.pooling_method == "Statistics":
        return found
    with evaluating(model):
        for bucket in length_buckets([len(x) for x in log_mels]):
            batch, lengths = pad([normalise(log_mels[i], normalization) for i in bucket])
            encoded, steps = model.encode(batch.to(device), lengths)
            _, (frames, heads) = model.pool(encoded, steps)
            for row, i in enumerate(bucket):
                of_heads = None if heads is None else heads[row].cpu().numpy()
                found[i] = Weights(frames[row, : steps[row]].cpu().numpy(), of_heads)
    return found


def unit_rows(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors ``(n, size)`` to length one, in float64: float32 loses the order of similar vectors."""
    vectors = np.atleast_2d(vectors).astype(np.float64)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def cosine_scores(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of each embedding in a and each in b: ``(len(a), len(b))``, float64."""
    return unit_rows(a) @ unit_rows(b).T
