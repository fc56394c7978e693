"""From clips to embeddings, accents and their probabilities."""

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pandas as pd
import torch

from ..config import Config, InputError
from ..device import keep_freed_memory
from ..features.audio import as_wave, read_audio, to_mono
from ..features.batches import length_buckets, pad
from ..features.log_mel import at_rate, moments, normalise, wave_log_mel
from ..features.parallel import TOGETHER, on_all_cores
from ..features.store import FeatureStore, log_mels_of_files
from ..network.accent_net import AccentNet, evaluating
from ..network.pooling import Weights

Clip = (
    str | Path | bytes | BinaryIO | tuple[np.ndarray | torch.Tensor, int]
)  # a file, what is in one, or a wave
Clips = Clip | Iterable[Clip] | pd.DataFrame
CHUNK = 512  # files whose features are held in memory at once


class Answers(NamedTuple):
    """What the network says of clips: a row a clip that could be read, in the given order."""

    ids: list[str]
    accents: list[str]  # the most probable accent of each clip
    embeddings: np.ndarray  # (clips, embedding), float32
    probabilities: np.ndarray  # (clips, accents), with the temperature of a calibrated model
    problems: dict[str, str]  # what is wrong with each clip that could not be read


def evaluation_windows(frames: int, window: int) -> list[tuple[int, int]]:
    """First and last frames (exclusive) of the fewest even windows that cover an utterance; 0: one window."""
    if not window or frames <= window:
        return [(0, frames)]
    starts = np.linspace(0, frames - window, -(-frames // window)).round().astype(int)
    return [(start, start + window) for start in starts.tolist()]


def window_pieces(log_mels: Sequence[np.ndarray], config: Config) -> list[tuple[int, int, int]]:
    """Which utterance, first and last frame (exclusive) of each window that ``evaluation_window`` makes of them."""
    window = round(config.evaluation_window / config.hop_seconds)
    return [(i, *ends) for i, x in enumerate(log_mels) for ends in evaluation_windows(len(x), window)]


@torch.inference_mode()
def forward_log_mels(model: AccentNet, log_mels: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings and logits of utterances, in padded batches of like lengths.

    With ``evaluation_window`` an utterance is cut into windows (:func:`evaluation_windows`), after it was
    normalised as a whole, and theirs are averaged. The logits of n windows count ``n^window_gain`` times.

    Parameters
    ----------
    model : AccentNet
        Used in float32 and in evaluation mode, whatever mode it is in; it is left as it was.
    log_mels : sequence of np.ndarray
        ``(frames, mels)`` each, before normalisation; views of a store are read a batch at a time.

    Returns
    -------
    embeddings, logits : np.ndarray
        ``(clips, embedding)`` and ``(clips, accents)``, in the given order.
    """
    device, config = next(model.parameters()).device, model.config
    pieces = window_pieces(log_mels, config)
    of_clip = np.array([clip for clip, *_ in pieces], dtype=int)
    counts = np.bincount(of_clip)[:, None]
    known = [moments(x, config.normalization) for x in log_mels]
    embeddings = np.zeros((len(log_mels), config.embedding_size), np.float32)
    logits = np.zeros((len(log_mels), len(model.labels)), np.float32)
    with evaluating(model):
        for bucket in length_buckets([stop - start for _, start, stop in pieces]):
            cut = [
                (log_mels[c][start:stop] - known[c][0]) / known[c][1]
                for c, start, stop in map(pieces.__getitem__, bucket)
            ]
            batch, lengths = pad(cut)
            vectors = model.embed(batch.to(device), lengths)
            scores = model.am_softmax.scale * model.cosines(vectors)
            np.add.at(embeddings, of_clip[bucket], vectors.cpu().numpy())
            np.add.at(logits, of_clip[bucket], scores.cpu().numpy())
    logits = logits / counts ** (1 - model.calibration.window_gain)
    return (embeddings / counts).astype(np.float32), logits.astype(np.float32)


def as_clips(clips: Clips) -> list[Clip]:
    """A list of what was given: of one clip, of several, or of a table's column ``path``.

    Raises InputError if it is neither a clip nor a sequence.
    """
    if isinstance(clips, pd.DataFrame):
        if "path" not in clips:
            raise InputError(f"the table has no column 'path'; it has {', '.join(map(str, clips.columns))}")
        return list(clips["path"])
    if _is_clip(clips):
        return [clips]
    if isinstance(clips, Iterable) and not isinstance(clips, Mapping) and not _is_numbers(clips):
        clips = list(clips)
        for i, clip in enumerate(clips):
            if not _is_clip(clip):
                raise InputError(f"clip {i}: {_not_a_clip(clip)}")
        return clips
    raise InputError(_not_a_clip(clips))


def _is_wave(clip: Any) -> bool:
    """Whether it is a pair, one of it a number: a wave and its rate."""
    return (
        isinstance(clip, tuple)
        and len(clip) == 2
        and any(isinstance(x, (int, float, np.number)) for x in clip)
    )


def _is_numbers(clips: Any) -> bool:
    """Whether it is an array or a tensor of numbers."""
    return isinstance(clips, torch.Tensor) or (
        isinstance(clips, np.ndarray) and clips.dtype.kind not in "OSUT"
    )


def _is_clip(clip: Any) -> bool:
    return isinstance(clip, (str, os.PathLike, bytes, bytearray)) or hasattr(clip, "read") or _is_wave(clip)


def _not_a_clip(clip: Any) -> str:
    if _is_numbers(clip):
        return f"an array of shape {tuple(clip.shape)} needs its sample rate; pass (array, sample rate)"
    return (
        f"a {type(clip).__name__} is not a clip: give a path, (wave, sample rate), a binary file or its bytes"
    )


def infer(
    model: AccentNet,
    clips: Clips,
    *,
    store: FeatureStore | None = None,
    scheduler: str = "",
) -> Answers:
    """Run the network over clips.

    Parameters
    ----------
    model : AccentNet
        As :func:`accentlib.load_model` or :func:`accentlib.train` gives it.
    clips : a clip, several of them, or a table with a column ``path``
        A clip is the path of an audio file, an open (binary) file or its bytes, or a pair of a wave and its rate in
        Hz: an array or tensor ``(samples,)``, ``(samples, channels)`` or ``(channels, samples)``, of floats in
        [-1, 1], int16, int32 or uint8.
    store : FeatureStore, optional
        Holds the features of files, made with the model's configuration, so that they need not be decoded.
    scheduler : str
        A Dask cluster that does it (:func:`accentlib.features.parallel.on_all_cores`).
    """
    clips = as_clips(clips)
    keep_freed_memory()
    size = CHUNK // TOGETHER if scheduler else CHUNK
    chunks = [(start, clips[start : start + size]) for start in range(0, len(clips), size)]
    if scheduler:
        parts = on_all_cores(partial(_listen_to_chunk, model, None), chunks, scheduler=scheduler)
    else:
        parts = (_listen_to_chunk(model, store, chunk) for chunk in chunks)
    nothing = [np.empty((0, size), np.float32) for size in (model.config.embedding_size, len(model.labels))]
    names, accents, embeddings, probabilities, problems = [], [], [nothing[0]], [nothing[1]], {}
    for part in parts:
        names += part.ids
        accents += part.accents
        embeddings.append(part.embeddings)
        probabilities.append(part.probabilities)
        problems |= part.problems
    return Answers(names, accents, np.concatenate(embeddings), np.concatenate(probabilities), problems)


def _listen_to_chunk(
    model: AccentNet, store: FeatureStore | None, chunk: tuple[int, Sequence[Clip]]
) -> Answers:
    """What the network says of clips; the number of the first of them comes with them."""
    start, clips = chunk
    names, features, problems = [], [], {}
    for name, result in _log_mels(model, clips, start, store):
        if isinstance(result, str):
            problems[name] = result
        else:
            names.append(name)
            features.append(result)
    embeddings, logits = forward_log_mels(model, features)
    probabilities = (torch.from_numpy(logits) / model.calibration.temperature).softmax(dim=1).numpy()
    accents = [model.labels[i] for i in probabilities.argmax(axis=1)]
    return Answers(names, accents, embeddings, probabilities, problems)


def _log_mels(model: AccentNet, clips: Sequence[Clip], start: int, store: FeatureStore | None = None):
    """Yield a name, and log-mels or the line that says what is wrong, for each clip."""
    paths = [str(clip) for clip in clips if isinstance(clip, (str, os.PathLike))]
    stored = {path for path in paths if store and path in store}
    of_files = iter(list(log_mels_of_files([path for path in paths if path not in stored], model.config)))
    for i, clip in enumerate(clips, start):
        if isinstance(clip, (str, os.PathLike)):
            yield str(clip), store[str(clip)] if str(clip) in stored else next(of_files)
            continue
        try:
            yield f"clip {i}", _log_mel_in_memory(clip, model.config)
        except InputError as error:
            yield f"clip {i}", f"clip {i}: {error}"


def _log_mel_in_memory(clip: Clip, config: Config) -> np.ndarray:
    """Log-mels ``(frames, mels)`` of a wave with its rate, or of an audio file that is open or given as bytes."""
    if _is_wave(clip):
        wave, rate = as_wave(*clip)
    else:
        if hasattr(clip, "read"):
            if clip.seekable():
                clip.seek(0)
            clip = clip.read()
            if isinstance(clip, str):
                raise InputError("a text file; open the audio file in binary mode")
        wave, rate = read_audio(BytesIO(clip))
    config = at_rate(config, rate)
    return wave_log_mel(to_mono(wave, rate, config.sample_rate), config)


def _all_read(answers: Answers) -> Answers:
    if answers.problems:
        raise InputError("\n".join(answers.problems.values()))
    return answers


def embed(model: AccentNet, clips: Clips) -> np.ndarray:
    """Embeddings ``(clips, embedding)`` of clips (see :func:`infer` for what a clip can be).

    Raises InputError if a clip cannot be used; a line for each.
    """
    return _all_read(infer(model, clips)).embeddings


def predict(model: AccentNet, clips: Clips) -> pd.DataFrame:
    """The most probable accent of each clip: a table of path, accent, probability and nearest.

    Of a calibrated model (:func:`accentlib.embeddings.calibration.calibrate`) the probability says how often such an
    answer is right, and the accent is "unsure" where that is too seldom; ``nearest`` names one all the same.

    Raises InputError if a clip cannot be used; a line for each.
    """
    return prediction_table(model, _all_read(infer(model, clips)))


def prediction_table(model: AccentNet, answers: Answers) -> pd.DataFrame:
    """Path, accent (or "unsure"), probability and nearest accent, a row a clip."""
    nearest, probability = answers.accents, answers.probabilities.max(axis=1, initial=0)
    return pd.DataFrame(
        {
            "path": answers.ids,
            "accent": np.where(probability < model.calibration.unsure_below, "unsure", nearest),
            "probability": probability.round(4),
            "nearest": nearest,
        }
    )


def attention(model: AccentNet, clip: Clip) -> tuple[np.ndarray, Weights]:
    """What the network attends to in one clip.

    Returns
    -------
    log_mels : np.ndarray
        ``(frames, mels)``, normalised.
    weights : Weights
        Arrays ``frames`` ``(frames / 8 or 16, heads)`` and ``heads`` ``(heads,)``, or None where the
        pooling has none.

    Raises InputError if the clip cannot be used.
    """
    ((_, log_mels),) = _log_mels(model, as_clips(clip), 0)
    if isinstance(log_mels, str):
        raise InputError(log_mels)
    log_mels = normalise(log_mels, model.config.normalization)
    return log_mels, log_mel_attention(model, log_mels)


@torch.inference_mode()
def log_mel_attention(model: AccentNet, log_mels: np.ndarray) -> Weights:
    """The weights of :func:`attention`, for normalised log-mels ``(frames, mels)``."""
    batch = torch.from_numpy(log_mels)[None].to(next(model.parameters()).device)
    with evaluating(model):
        _, weights = model.attend(batch)
    return Weights(*(None if w is None else w[0].cpu().numpy() for w in weights))


def cosine_scores(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of every embedding of a to every one of b: ``(len(a), len(b))``, float64.

    In float32 the embeddings of an untrained network, whose cosines are all above 0.99999, have no order.
    """
    from sklearn.metrics.pairwise import cosine_similarity

    return cosine_similarity(*(np.atleast_2d(x).astype(np.float64) for x in (a, b)))
