"""Metrics: balanced accuracy with an interval over speakers, calibration error, EER, nearest neighbours."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support, roc_curve, silhouette_score

from ..corpora.splits import few_speakers
from .inference import cosine_scores, unit_rows

# Names in plots and logs; accuracy is also micro F1.
NAMES = dict(balanced_accuracy="balanced accuracy", macro_f1="macro F1", accuracy="accuracy", eer="EER")
BINS = 10  # of predicted probability, for the calibration error


def classification_metrics(truth: Collection[str], predicted: Collection[str], labels: Sequence[str]) -> dict:
    """Balanced accuracy (mean recall of accents in ``truth``), macro F1, accuracy, chance (1 / accents)."""
    truth, predicted = np.asarray(truth), np.asarray(predicted)
    present = [label for label in labels if label in set(truth)]
    options = {"labels": present, "average": "macro", "zero_division": 0}
    _, recall, f1, _ = precision_recall_fscore_support(truth, predicted, **options)
    metrics = {"balanced_accuracy": recall, "macro_f1": f1, "accuracy": (truth == predicted).mean()}
    return {name: float(value) for name, value in metrics.items()} | {"chance": 1 / len(present)}


def corpus_metrics(table: pd.DataFrame, predicted: Collection[str], labels: Sequence[str]) -> dict:
    """:func:`classification_metrics` of clips, :func:`speaker_interval`, and numbers of clips and speakers.

    Without speakers, ``speakers`` and ``interval`` are None. ``few_speakers`` is a warning, or empty."""
    more: dict = {"interval": None, "speakers": None, "clips": len(table), "few_speakers": ""}
    if "speaker" in table:
        interval = speaker_interval(table["accent"].to_numpy(), np.asarray(predicted), table["speaker"])
        more |= {"interval": [*interval], "speakers": int(table["speaker"].nunique())}
        more["few_speakers"] = few_speakers(table)
    return classification_metrics(table["accent"], predicted, labels) | more


def percent_interval(value: float, interval: Sequence[float] | None) -> str:
    """Format a value with its 95 % interval: 62.2% (57.3 to 66.8)."""
    return f"{value:.1%}" + (f" ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else "")


def speaker_interval(truth: np.ndarray, predicted: np.ndarray, speakers: Sequence[str], *,
                     than: np.ndarray | None = None, draws: int = 1000) -> tuple[float, float]:  # fmt: skip
    """The 95 % interval of the balanced accuracy of ``(clips,)`` or ``(clips, trainings)``, over speakers:
    clips of one are not independent (Efron, Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13).
    With other predictions ``than`` of the same clips, that of the difference to them, paired by speaker."""

    def share_right(x: np.ndarray) -> np.ndarray:
        return (np.asarray(x).reshape(len(truth), -1) == np.asarray(truth)[:, None]).mean(axis=1)

    right = share_right(predicted) - (0 if than is None else share_right(than))
    rows = pd.DataFrame({"speaker": speakers, "accent": truth, "right": right, "clips": 1})
    sums = rows.groupby(["speaker", "accent"]).sum().unstack(fill_value=0)
    right, clips = sums["right"].to_numpy(), sums["clips"].to_numpy()  # (speakers, accents)
    times = np.random.default_rng(0).multinomial(len(clips), np.full(len(clips), 1 / len(clips)), size=draws)
    drawn = times @ clips  # (draws, accents)
    recalls = np.where(drawn > 0, times @ right / np.maximum(drawn, 1), np.nan)
    return tuple(np.percentile(np.nanmean(recalls, axis=1), [2.5, 97.5]).tolist())


def reliability(probabilities: np.ndarray, truth: np.ndarray) -> pd.DataFrame:
    """A row for each bin with clips: mean probability of the predicted accent, share of right ones, clips."""
    best = probabilities.max(axis=1)
    rows = pd.DataFrame({"probability": best, "right": probabilities.argmax(axis=1) == truth, "clips": 1})
    grouped = rows.groupby(np.minimum((best * BINS).astype(int), BINS - 1))
    return grouped.agg({"probability": "mean", "right": "mean", "clips": "sum"}).reset_index(drop=True)


def expected_calibration_error(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Mean gap between probability and share of right ones (Guo et al., arXiv 1706.04599, equation 3)."""
    table = reliability(probabilities, truth)
    return float(np.average((table["right"] - table["probability"]).abs(), weights=table["clips"]))


def neighbour_metrics(embeddings: np.ndarray, table: pd.DataFrame) -> dict[str, float]:
    """How well embeddings cluster by accent: numbers to read beside a t-SNE picture.

    ``nearest_neighbour_accuracy`` is how often the nearest clip (by cosine) of ANOTHER speaker shares the
    accent; ``silhouette`` is that of the accents by cosine, from -1 to 1. The result is empty if no accent
    has two speakers, because accents and speakers are then the same."""
    speakers, accents = table["speaker"].to_numpy(), table["accent"].to_numpy()
    if table.groupby("accent")["speaker"].nunique().max() < 2:
        return {}
    scores = cosine_scores(embeddings, embeddings)
    scores[speakers[:, None] == speakers] = -np.inf
    metrics = {"nearest_neighbour_accuracy": float((accents[scores.argmax(axis=1)] == accents).mean())}
    if 1 < len(set(accents)) < len(accents):
        metrics["silhouette"] = float(silhouette_score(unit_rows(embeddings), accents, metric="cosine"))
    return metrics


def _error_rates(clients: np.ndarray, impostors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Misses (clients rejected) and false alarms (impostors accepted) at each threshold, highest first."""
    truth = np.repeat([1, 0], [len(clients), len(impostors)])
    false_alarms, hits, _ = roc_curve(truth, np.concatenate([clients, impostors]), drop_intermediate=False)
    return 1 - hits, false_alarms


def equal_error_rate(clients: np.ndarray, impostors: np.ndarray) -> float:
    """EER: the rate at which misses and false alarms are equal, interpolated between thresholds.

    ``clients`` are scores of pairs that belong together, ``impostors`` of the others; NaN without either."""
    if not len(clients) or not len(impostors):
        return np.nan
    misses, false_alarms = _error_rates(clients, impostors)
    return float(np.interp(0, false_alarms - misses, false_alarms))  # the difference rises from -1 to 1


def min_dcf(clients: np.ndarray, impostors: np.ndarray, target_prior: float = 0.01) -> float:
    """Lowest detection cost over all thresholds, as in NIST's speaker recognition evaluations.

    Both errors cost 1, ``target_prior`` is the probability of a client; rejecting everyone scores 1."""
    misses, false_alarms = _error_rates(clients, impostors)
    cost = target_prior * misses + (1 - target_prior) * false_alarms
    return float(cost.min() / min(target_prior, 1 - target_prior))


def table_scores(pairs: pd.DataFrame, names: Sequence[str], embeddings: np.ndarray) -> np.ndarray:
    """Cosine of each pair, ``(pairs,)``: columns a and b have names of embeddings ``(names, embedding)``."""
    place, vectors = {name: i for i, name in enumerate(names)}, unit_rows(embeddings)
    a, b = (vectors[[place[name] for name in pairs[column]]] for column in "ab")
    return (a * b).sum(axis=1)


def accent_scores(embeddings: np.ndarray, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of all pairs of clips of different speakers: pairs that share the accent, and the others."""
    accents, speakers = (pd.factorize(table[column])[0] for column in ("accent", "speaker"))
    pairs = np.triu(speakers[:, None] != speakers, k=1)
    scores, same = cosine_scores(embeddings, embeddings), accents[:, None] == accents
    return scores[pairs & same], scores[pairs & ~same]
