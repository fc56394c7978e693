"""Classical baselines: what scikit-learn makes of statistics of the same features."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..config import Config
from ..corpora.phones import cut_phones
from ..embeddings.metrics import classification_metrics
from ..features.log_mel import mfccs
from ..features.store import FeatureStore

MOST_CLIPS = 5_000  # an SVM's time grows with their square
LogMels = FeatureStore | Mapping[str, np.ndarray]  # log-mels (frames, mels) by path


def statistics(log_mels: np.ndarray, kind: str) -> np.ndarray:
    """A vector of statistics of one clip, ``(values,)``.

    ``log_mel``: mean and deviation of each band. ``mfcc``: of 20 mean-normalised MFCCs and of their
    first and second differences, the deviation, the skewness and the mean of the absolute values.
    """
    import scipy.stats

    if kind == "log_mel":
        return np.concatenate([log_mels.mean(axis=0), log_mels.std(axis=0)])
    mfcc = mfccs(log_mels, 20)
    mfcc = np.pad(mfcc, ((0, max(0, 4 - len(mfcc))), (0, 0)), mode="edge")  # differences need frames
    tracks = [mfcc, np.diff(mfcc, axis=0), np.diff(mfcc, n=2, axis=0)]
    x = np.concatenate([track[: len(tracks[-1])] for track in tracks], axis=1)  # (frames, 60)
    skewness = np.nan_to_num(scipy.stats.skew(x, axis=0))
    return np.concatenate([x.std(axis=0), skewness, np.abs(x).mean(axis=0)])


def classical_predictions(
    log_mels: LogMels, train: pd.DataFrame, test: pd.DataFrame
) -> dict[str, np.ndarray]:
    """The accent that each classifier names for each row of ``test``, trained on ``train``."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import SVC

    predictions = {}
    for kind in ("log_mel", "mfcc"):
        x_train, x_test = (
            np.stack([statistics(log_mels[path], kind) for path in table["path"]]) for table in (train, test)
        )
        classifiers = {
            "logistic_regression": LogisticRegression(C=0.1, max_iter=2000),
            "svm": SVC(C=3.0, class_weight="balanced"),
        }
        for name, classifier in classifiers.items():
            pipeline = make_pipeline(StandardScaler(), classifier).fit(x_train, train["accent"])
            predictions[f"{name}_{kind}"] = pipeline.predict(x_test)
    return predictions


def baselines(log_mels: LogMels, train: pd.DataFrame, test: pd.DataFrame, labels: Sequence[str]) -> dict:
    """Balanced accuracy on ``test`` of scikit-learn's classifiers on statistics of the same features."""
    return {
        name: classification_metrics(test["accent"], predicted, labels)["balanced_accuracy"]
        for name, predicted in classical_predictions(log_mels, train, test).items()
    }


def baseline_clips(train: pd.DataFrame) -> pd.DataFrame:
    """The training clips that the baselines are trained on: all, or MOST_CLIPS drawn at random."""
    return train if len(train) <= MOST_CLIPS else train.sample(MOST_CLIPS, random_state=0)


def best_baseline(figures: Mapping[str, float]) -> tuple[str, float]:
    """The best of :func:`baselines`: what it is, in words, and its balanced accuracy."""
    name = max(figures, key=figures.__getitem__)
    classifier = name.removesuffix("_mfcc").removesuffix("_log_mel").replace("_", " ").replace("svm", "SVM")
    return f"{classifier} on {'MFCC' if name.endswith('mfcc') else 'log-mel'} statistics", figures[name]


def phone_statistics(
    log_mels: LogMels, table: pd.DataFrame, phones: pd.DataFrame, config: Config
) -> np.ndarray:
    """How each phone of a text is spoken in each clip: ``(clips, positions * 14)``.

    For each position of the text the mean of 13 MFCCs (normalised over the clip) while its phone is
    spoken, and the logarithm of its duration; NaN where the clip lacks it.
    """
    positions = int(phones["position"].max()) + 1
    by_clip = dict(list(cut_phones(phones[phones["path"].isin(table["path"])], config).groupby("path")))
    vectors = np.full((len(table), positions, 14), np.nan)
    for vector, path in zip(vectors, table["path"], strict=True):
        if path not in by_clip:
            continue
        spoken = by_clip[path]
        mfcc = mfccs(log_mels[path], 13)
        mfcc = mfcc / (mfcc.std(axis=0) + 1e-3)
        edges = (
            ((spoken[["start", "end"]].to_numpy() - config.first_frame) / config.hop_seconds)
            .round()
            .astype(int)
        )
        for (start, end), position in zip(edges.clip(0, len(mfcc)), spoken["position"], strict=True):
            if end > start:
                vector[position, :13] = mfcc[start:end].mean(axis=0)
        vector[spoken["position"], 13] = np.log(spoken["end"] - spoken["start"])
    return vectors.reshape(len(table), -1)


def reading_predictions(
    log_mels: LogMels, train: pd.DataFrame, test: pd.DataFrame, phones: pd.DataFrame, config: Config
) -> np.ndarray:
    """The accent of each row of ``test``, judged phone by phone: an upper reference where all read one text.

    Linear discriminant analysis of 100 principal components of :func:`phone_statistics`. It knows the text, and
    compares each phone with the same phone of others; a network that is given any speech cannot. With one
    training recording of each accent, it names the accent of the nearest recording.
    """
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.impute import SimpleImputer
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x_train, x_test = (phone_statistics(log_mels, table, phones, config) for table in (train, test))
    components = PCA(min(100, len(train) // 2), random_state=0)
    one_each = train["accent"].is_unique  # nothing varies within accents, which discriminant analysis needs
    classifier = KNeighborsClassifier(1) if one_each else LinearDiscriminantAnalysis()
    steps = (SimpleImputer(keep_empty_features=True), StandardScaler(), components, classifier)
    return make_pipeline(*steps).fit(x_train, train["accent"]).predict(x_test)
