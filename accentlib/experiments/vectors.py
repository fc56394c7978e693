"""Somebody else's vectors on our splits: what a linear classifier of them reaches."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ..config import InputError
from ..corpora.splits import shared_texts
from ..corpora.table import corpus_note, read_corpus, select
from ..embeddings.metrics import corpus_metrics, neighbour_metrics
from ..features.store import clip_ids
from ..files import read_table


def read_vectors(file: str | Path) -> dict[str, np.ndarray]:
    """The vectors of an ``.npz`` with the arrays ``ids`` (or ``paths``) and ``embeddings``, or of a ``.csv``
    as ``accentlib embed`` writes it, by id. Raises InputError if it is none, or a vector is not finite."""
    if Path(file).suffix.lower() == ".csv":
        table = read_table(file)
        values = table[[name for name in table if re.fullmatch(r"e\d+", name)]]
        keys = table.reindex(columns=["id", "path"]).bfill(axis=1)["id"].to_numpy(str)
        return check_vectors(file, keys, values.apply(pd.to_numeric, errors="coerce").to_numpy(float))
    try:
        with np.load(file, allow_pickle=False) as arrays:
            ids, vectors = arrays["ids" if "ids" in arrays else "paths"], arrays["embeddings"]
    except (OSError, ValueError, KeyError, EOFError) as error:
        missing = isinstance(error, FileNotFoundError)
        why = "no such file" if missing else "no plain arrays ids and embeddings in it"
        raise InputError(f"{file}: {why}") from None
    return check_vectors(file, ids, vectors)


def check_vectors(file: str | Path, ids: np.ndarray, vectors: np.ndarray) -> dict[str, np.ndarray]:
    """Vectors by id; InputError if they cannot be used."""
    numbers = vectors.ndim == 2 and vectors.dtype.kind in "fiu" and vectors.size
    if not numbers or ids.shape != vectors.shape[:1]:
        raise InputError(f"{file}: {ids.shape} ids and embeddings {vectors.shape} do not go together")
    if len(bad := ids[~np.isfinite(vectors).all(axis=1)]):
        raise InputError(f"{file}: the embedding of {bad[0]} is not finite ({len(bad)} in all)")
    return dict(zip(map(str, ids), vectors.astype(np.float64), strict=True))


def evaluate_vectors(file: str | Path, data: str | Path, split: str = "test") -> dict:
    """Figures of a logistic regression on vectors, trained on the corpus's training speakers and tested on
    ``split``, as :func:`accentlib.evaluate` gives them; ids are the corpus's, or paths as in its manifest.
    Raises InputError if clips have no vector."""
    known, folder = read_vectors(file), Path(data) if Path(data).is_dir() else Path(data).parent
    table = read_corpus(data)
    table["id"] = [clip if clip in known else os.path.relpath(clip, folder) for clip in clip_ids(table)]
    if lacking := [clip for clip in clip_ids(table) if clip not in known]:
        count = f"{len(lacking)} of {len(table)} clips lack one"
        raise InputError(f"{file}: no embedding of {lacking[0]} ({count})")
    train, test = select(table, "train"), select(table, split)
    x, x_test = (np.stack([known[clip] for clip in clip_ids(rows)]) for rows in (train, test))
    classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    predicted, labels = classifier.fit(x, train["accent"]).predict(x_test), sorted(set(table["accent"]))
    metrics = corpus_metrics(test, predicted, labels) | {"embedding": neighbour_metrics(x_test, test)}
    texts: dict = {"shared_texts": shared_texts(table, split), "note": corpus_note(data), "problems": {}}
    return metrics | {"classifier": "logistic regression", "split": split} | texts
