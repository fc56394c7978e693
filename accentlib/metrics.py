"""Honest figures: balanced accuracy and macro F1, beside chance, majority and simple baselines."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from .embeddings import cosine_scores
from .features import normalise
from .store import FeatureStore


def classification_metrics(truth: Sequence[str], predicted: Sequence[str], labels: Sequence[str]) -> dict:
    """Balanced accuracy, macro F1, and beside them chance and always naming the commonest accent.

    Balanced accuracy is the mean recall of the accents that occur in ``truth``; for both chance and
    majority it is one over their number, so ``majority`` is given as plain accuracy.
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
        "majority": float(pd.Series(truth).value_counts(normalize=True).iloc[0]),
    }


def corpus_metrics(table: pd.DataFrame, predicted: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """:func:`classification_metrics` of a corpus's rows, with the numbers of speakers and clips."""
    return classification_metrics(table["accent"], predicted, labels) | {
        "speakers": int(table["speaker"].nunique()),
        "clips": len(table),
    }


def statistics(store: FeatureStore, table: pd.DataFrame, kind: str) -> np.ndarray:
    """A vector of statistics a clip, for the classical baselines: ``(clips, values)``.

    ``log_mel``: mean and deviation of each band. ``mfcc``: of 20 mean-normalised MFCCs and of their
    first and second differences, the deviation, the skewness and the mean of the absolute values.
    """
    import scipy.fft
    import scipy.stats

    vectors = []
    for path in table["path"]:
        if kind == "log_mel":
            x = store[path]
            vectors.append(np.concatenate([x.mean(axis=0), x.std(axis=0)]))
            continue
        mfcc = scipy.fft.dct(normalise(store[path]), axis=1, norm="ortho")[:, :20]  # (frames, 20)
        mfcc = np.pad(mfcc, ((0, max(0, 4 - len(mfcc))), (0, 0)), mode="edge")  # differences need frames
        tracks = [mfcc, np.diff(mfcc, axis=0), np.diff(mfcc, n=2, axis=0)]
        x = np.concatenate([track[: len(tracks[-1])] for track in tracks], axis=1)  # (frames, 60)
        skewness = np.nan_to_num(scipy.stats.skew(x, axis=0))
        vectors.append(np.concatenate([x.std(axis=0), skewness, np.abs(x).mean(axis=0)]))
    return np.stack(vectors)


def baselines(store: FeatureStore, train: pd.DataFrame, test: pd.DataFrame, labels: Sequence[str]) -> dict:
    """Balanced accuracy on ``test`` of scikit-learn's classifiers on statistics of the same features."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    results = {}
    for kind in ("log_mel", "mfcc"):
        x_train, x_test = statistics(store, train, kind), statistics(store, test, kind)
        classifiers = {
            "logistic_regression": LogisticRegression(C=0.1, max_iter=2000),
            "svm": SVC(C=3.0, class_weight="balanced"),
        }
        for name, classifier in classifiers.items():
            pipeline = make_pipeline(StandardScaler(), classifier).fit(x_train, train["accent"])
            figures = classification_metrics(test["accent"], pipeline.predict(x_test), labels)
            results[f"{name}_{kind}"] = figures["balanced_accuracy"]
    return results


def neighbour_metrics(embeddings: np.ndarray, table: pd.DataFrame) -> dict[str, float]:
    """How well embeddings gather by accent: numbers to stand beside a t-SNE picture.

    Returns
    -------
    dict
        ``nearest_neighbour_accuracy``: how often the nearest clip (by cosine) of ANOTHER speaker has
        the same accent. ``silhouette``: of the accents, by cosine, from -1 to 1. What is not defined
        (one speaker, one accent, one clip an accent) is left out.
    """
    from sklearn.metrics import silhouette_score

    figures = {}
    speakers, accents = table["speaker"].to_numpy(), table["accent"].to_numpy()
    if len(set(speakers)) > 1:
        scores = cosine_scores(embeddings, embeddings)
        scores[speakers[:, None] == speakers[None, :]] = -np.inf
        nearest = accents[scores.argmax(axis=1)]
        figures["nearest_neighbour_accuracy"] = float((nearest == accents).mean())
    if 1 < len(set(accents)) < len(accents):
        figures["silhouette"] = float(silhouette_score(embeddings, accents, metric="cosine"))
    return figures
