"""Tests of the published trainer: label files, and pairs of clients and impostors."""

from pathlib import Path
from typing import Any

import pandas as pd

from ..config import InputError
from ..embeddings.evaluate import evaluate_table
from ..embeddings.inference import infer
from ..embeddings.metrics import equal_error_rate, min_dcf, table_scores
from ..network.accent_net import AccentNet
from .lists import label_corpus


def evaluate_labels(model: AccentNet, labels_path: str | Path, data_dir: str | Path | None = None,
                    label_names: str | Path | None = None) -> dict[str, Any]:  # fmt: skip
    """Metrics of a model on a label file, as of :func:`accentlib.evaluate`, and problems of its files."""
    count = None if label_names else len(model.labels)
    table, _ = label_corpus(labels_path, None, data_dir, None, label_names, num_accents=count)
    _, answers, metrics = evaluate_table(model, table.drop(columns="split"))
    return metrics | {"problems": answers.problems}


def score_pairs(model: AccentNet, pairs: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any], dict[str, str]]:
    """Score pairs of utterances (:func:`accentlib.published.lists.read_pairs`) by their embeddings' cosines.

    Returns the readable pairs with a column score; eer, min_dcf (target prior 0.01) and numbers of pairs; and
    what is wrong with each unreadable file. Raises InputError if no clients or no impostors are readable."""
    answers = infer(model, list(dict.fromkeys([*pairs["a"], *pairs["b"]])))
    scored = pairs[pairs[["a", "b"]].isin(answers.ids).all(axis=1)].reset_index(drop=True)
    scored["score"] = table_scores(scored, answers.ids, answers.embeddings)
    clients, impostors = (scored.loc[scored["client"] == kind, "score"].to_numpy() for kind in (True, False))
    if not len(clients) or not len(impostors):
        raise InputError("no pair of clients, or no pair of impostors, could be read")
    metrics = {"eer": equal_error_rate(clients, impostors), "min_dcf": min_dcf(clients, impostors)}
    return scored, metrics | {"clients": len(clients), "impostors": len(impostors)}, answers.problems
