"""Honest figures: balanced accuracy and macro F1, beside chance, with intervals over speakers; calibration; EER."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..corpora.splits import few_speakers
from .inference import cosine_scores

NAMES = {  # of the figures; accuracy is micro F1 as well
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro F1",
    "accuracy": "accuracy",
    "eer": "EER",
}


def classification_metrics(truth: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> dict:
    """Balanced accuracy, macro F1, accuracy and chance.

    Balanced accuracy is the mean recall of the accents that occur in ``truth``. Chance is one over their number,
    and so is always naming the commonest accent.
    """
    from sklearn.metrics import f1_score, recall_score

    truth, predicted = np.asarray(truth), np.asarray(predicted)
    present = [label for label in labels if label in set(truth)]
    kinds = {"labels": present, "average": "macro", "zero_division": 0}
    return {
        "balanced_accuracy": float(recall_score(truth, predicted, **kinds)),
        "macro_f1": float(f1_score(truth, predicted, **kinds)),
        "accuracy": float((truth == predicted).mean()),
        "chance": 1 / len(present),
    }


def corpus_metrics(table: pd.DataFrame, predicted: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """:func:`classification_metrics` of a corpus's rows, with the numbers of speakers and clips.

    ``interval`` is that of :func:`speaker_interval`, ``few_speakers`` what :func:`accentlib.corpora.splits.few_speakers`
    says. Where it is not known who speaks, ``speakers`` and ``interval`` are None.
    """
    known = "speaker" in table
    interval = speaker_interval(table["accent"].to_numpy(), predicted, table["speaker"]) if known else None
    return classification_metrics(table["accent"], predicted, labels) | {
        "interval": interval and [*interval],
        "speakers": int(table["speaker"].nunique()) if known else None,
        "clips": len(table),
        "few_speakers": few_speakers(table) if known else "",
    }


def percent_interval(value: float, interval: Sequence[float] | None) -> str:
    """A figure with its 95 % interval: 62.2 % (57.3 to 66.8)."""
    return f"{value:.1%}" + (f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else "")


def speaker_interval(
    truth: np.ndarray, predicted: np.ndarray, speakers: Sequence[str], *, draws: int = 1000
) -> tuple[float, float]:
    """A 95 % confidence interval of balanced accuracy, by bootstrap over speakers.

    Clips of one speaker are right or wrong together, so speakers are drawn, with replacement (Efron and
    Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).

    Parameters
    ----------
    truth : np.ndarray
        ``(clips,)``, accents.
    predicted : np.ndarray
        ``(clips,)``, or ``(clips, trainings)``: their mean is what the interval is of.
    speakers : sequence of str
        Who speaks in each clip.
    draws : int
        Bootstrap samples.
    """
    right = (np.asarray(predicted).reshape(len(truth), -1) == np.asarray(truth)[:, None]).mean(axis=1)
    rows = pd.DataFrame({"speaker": speakers, "accent": truth, "right": right, "clips": 1})
    sums = rows.groupby(["speaker", "accent"]).sum().unstack(fill_value=0)
    right, clips = sums["right"].to_numpy(), sums["clips"].to_numpy()  # (speakers, accents)
    times = np.random.default_rng(0).multinomial(len(clips), np.full(len(clips), 1 / len(clips)), size=draws)
    heard = times @ clips  # (draws, accents)
    recalls = np.where(heard > 0, times @ right / np.maximum(heard, 1), np.nan)
    low, high = np.percentile(np.nanmean(recalls, axis=1), [2.5, 97.5])
    return float(low), float(high)


def expected_calibration_error(probabilities: np.ndarray, truth: np.ndarray, bins: int = 10) -> float:
    """How far the probability of the named accent is from how often it is right, on average.

    Guo et al., On Calibration of Modern Neural Networks, arXiv 1706.04599, equation 3.

    Parameters
    ----------
    probabilities : np.ndarray
        ``(clips, accents)``.
    truth : np.ndarray
        ``(clips,)``, class numbers.
    bins : int
        Intervals of equal width that clips are gathered in, by the probability of their named accent.
    """
    table = reliability(probabilities, truth, bins)
    return float(
        (table["clips"] * (table["right"] - table["probability"]).abs()).sum() / table["clips"].sum()
    )


def reliability(probabilities: np.ndarray, truth: np.ndarray, bins: int = 10) -> pd.DataFrame:
    """A row an interval of probability that clips fall into: mean probability, share that is right, clips."""
    best = probabilities.max(axis=1)
    rows = pd.DataFrame({"probability": best, "right": probabilities.argmax(axis=1) == truth, "clips": 1})
    grouped = rows.groupby(np.minimum((best * bins).astype(int), bins - 1))
    return grouped.agg({"probability": "mean", "right": "mean", "clips": "sum"}).reset_index(drop=True)


def neighbour_metrics(embeddings: np.ndarray, table: pd.DataFrame) -> dict[str, float]:
    """How well embeddings gather by accent: numbers to stand beside a t-SNE picture.

    Returns
    -------
    dict
        ``nearest_neighbour_accuracy``: how often the nearest clip (by cosine) of ANOTHER speaker has
        the same accent. ``silhouette``: of the accents, by cosine, from -1 to 1. What is not defined
        (one accent; a single speaker of each) is left out.
    """
    from sklearn.metrics import silhouette_score

    figures = {}
    speakers, accents = table["speaker"].to_numpy(), table["accent"].to_numpy()
    if table.groupby("accent")["speaker"].nunique().max() < 2:  # what is alike is the voice
        return figures
    if len(set(speakers)) > 1:
        scores = cosine_scores(embeddings, embeddings)
        scores[speakers[:, None] == speakers[None, :]] = -np.inf
        nearest = accents[scores.argmax(axis=1)]
        figures["nearest_neighbour_accuracy"] = float((nearest == accents).mean())
    if 1 < len(set(accents)) < len(accents):
        figures["silhouette"] = float(
            silhouette_score(embeddings.astype(np.float64), accents, metric="cosine")
        )
    return figures


def error_rates(clients: np.ndarray, impostors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Misses (clients refused) and false alarms (impostors accepted) at every threshold, the highest first."""
    from sklearn.metrics import roc_curve

    truth = np.concatenate([np.ones(len(clients)), np.zeros(len(impostors))])
    false_alarms, hits, _ = roc_curve(truth, np.concatenate([clients, impostors]), drop_intermediate=False)
    return 1 - hits, false_alarms


def equal_error_rate(clients: np.ndarray, impostors: np.ndarray) -> float:
    """EER: the error where misses and false alarms are alike, on straight lines between thresholds.

    Parameters
    ----------
    clients, impostors : np.ndarray
        Scores of pairs that belong together and of pairs that do not; a client should score more.
        Without pairs of either kind the result is NaN.
    """
    if not len(clients) or not len(impostors):
        return math.nan
    misses, false_alarms = error_rates(clients, impostors)
    gap = misses - false_alarms  # falls from 1 to -1
    after = int((gap <= 0).argmax())
    part = gap[after - 1] / (gap[after - 1] - gap[after])
    return float(false_alarms[after - 1] + part * (false_alarms[after] - false_alarms[after - 1]))


def min_dcf(clients: np.ndarray, impostors: np.ndarray, target_prior: float = 0.01) -> float:
    """Least detection cost over all thresholds, both errors costing 1; 1 is what refusing all would cost.

    NIST Speaker Recognition Evaluation plans; ``target_prior`` is the probability of a client.
    """
    misses, false_alarms = error_rates(clients, impostors)
    cost = target_prior * misses + (1 - target_prior) * false_alarms
    return float(cost.min() / min(target_prior, 1 - target_prior))


def pair_scores(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of each row of a ``(pairs, embedding)`` to the same row of b: ``(pairs,)``."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return (a * b).sum(axis=1) / np.maximum(lengths, 1e-12)


def table_scores(pairs: pd.DataFrame, names: Sequence[str], embeddings: np.ndarray) -> np.ndarray:
    """:func:`pair_scores` of the columns a and b of a table, whose entries are among ``names``."""
    place = {name: i for i, name in enumerate(names)}
    a, b = (embeddings[[place[name] for name in pairs[side]]] for side in "ab")
    return pair_scores(a, b)


def accent_scores(embeddings: np.ndarray, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of all pairs of clips by different speakers: those of the same accent, and the others."""
    accents = pd.factorize(table["accent"])[0]
    speakers = pd.factorize(table["speaker"])[0]
    a, b = np.triu_indices(len(table), k=1)
    across = speakers[a] != speakers[b]
    a, b = a[across], b[across]
    scores, same = cosine_scores(embeddings, embeddings)[a, b], accents[a] == accents[b]
    return scores[same], scores[~same]
