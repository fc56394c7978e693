"""Classical baselines: scikit-learn's classifiers on statistics of the network's features."""

from collections.abc import Mapping, Sequence

import numpy as np
from pandas import DataFrame
from scipy.stats import skew
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ..config import counted
from ..embeddings.metrics import classification_metrics
from ..features.log_mel import mfccs
from ..features.store import FeatureStore, clip_ids

MAX_TRAINING_CLIPS = 5_000  # an SVM's time grows with their square
INTERVALS = "in brackets: 95 % confidence interval by bootstrap over speakers"
NATIVE_EAR = "native_ear"  # the name of :mod:`accentlib.experiments.native_ear` among the baselines
LogMels = FeatureStore | Mapping  # log-mels (frames, mels) by clip id


def statistics(log_mels: np.ndarray, kind: str) -> np.ndarray:
    """Statistics of one clip, ``(values,)``: mean and deviation of each band (``log_mel``); or (``mfcc``)
    deviation, skewness and mean absolute value of 20 normalised MFCCs and their first two differences."""
    if kind == "log_mel":
        return np.concatenate([log_mels.mean(axis=0), log_mels.std(axis=0)])
    mfcc = mfccs(log_mels, 20)
    mfcc = np.pad(mfcc, ((0, max(0, 4 - len(mfcc))), (0, 0)), mode="edge")  # differences need frames
    tracks = [mfcc, np.diff(mfcc, axis=0), np.diff(mfcc, n=2, axis=0)]
    x = np.concatenate([track[: len(tracks[-1])] for track in tracks], axis=1)  # (frames, 60)
    return np.concatenate([x.std(axis=0), np.nan_to_num(skew(x, axis=0)), np.abs(x).mean(axis=0)])


def classical_predictions(log_mels: LogMels, train: DataFrame, test: DataFrame) -> dict[str, np.ndarray]:
    """Each classifier's predicted accents of the rows of ``test``, ``(clips,)``, trained on ``train``."""
    predictions = {}
    for kind in ("log_mel", "mfcc"):
        x, x_test = (np.stack([statistics(log_mels[c], kind) for c in clip_ids(t)]) for t in (train, test))
        regression, svm = LogisticRegression(C=0.1, max_iter=2000), SVC(C=3.0, class_weight="balanced")
        for name, classifier in (("logistic_regression", regression), ("svm", svm)):
            pipeline = make_pipeline(StandardScaler(), classifier).fit(x, train["accent"])
            predictions[f"{name}_{kind}"] = pipeline.predict(x_test)
    return predictions


def baselines(log_mels: LogMels, train: DataFrame, test: DataFrame, labels: Sequence[str]) -> dict:
    """Balanced accuracy on ``test`` of each classifier; ``log_mels`` maps clip ids to ``(frames, mels)``."""
    predictions, truth = classical_predictions(log_mels, train, test).items(), test["accent"]
    return {name: classification_metrics(truth, x, labels)["balanced_accuracy"] for name, x in predictions}


def baseline_clips(train: DataFrame) -> DataFrame:
    """The clips that train the baselines: all, or MAX_TRAINING_CLIPS at random."""
    return train if len(train) <= MAX_TRAINING_CLIPS else train.sample(MAX_TRAINING_CLIPS, random_state=0)


def best_baseline(accuracies: Mapping[str, float]) -> tuple[str, float]:
    """The description and the balanced accuracy of the best of :func:`baselines`."""
    name = max(accuracies, key=accuracies.__getitem__)
    if name == NATIVE_EAR:
        return "a native ear (English phones as pocketsphinx hears them)", accuracies[name]
    classifier = "SVM" if name.startswith("svm") else "logistic regression"
    return f"{classifier} on {'MFCC' if name.endswith('mfcc') else 'log-mel'} statistics", accuracies[name]


def worse_than(accuracy: float, accuracies: Mapping[str, float]) -> str:
    """A warning if a network's balanced accuracy is below the best baseline's; else nothing."""
    name, best = best_baseline(accuracies)
    figures = f"worse than {name} on the same split: {100 * accuracy:.1f} against {best:.1%}"
    advice = "longer training (--max_epochs), more speakers, or --preset real_speech, which learns phones too"
    return f"{figures}; do not use this model; try a {advice}" if accuracy < best else ""


def tested_on(figures: Mapping) -> str:
    """What figures were measured on, and chance: 3 unseen speakers (9 clips), unseen texts; chance 33.3%."""
    clips = f" ({counted(figures['clips'], 'clip')})" if "clips" in figures else ""
    shared = figures.get("shared_texts")
    texts = "unseen texts" if shared == 0 else f"{shared or 0:.0%} with texts of the training"
    texts = f", {'texts not named' if shared is None else texts}" if "shared_texts" in figures else ""
    return f"{counted(figures['speakers'], 'unseen speaker')}{clips}{texts}; chance {figures['chance']:.1%}"
