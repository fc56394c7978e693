"""The published trainer's tests: label files, and pairs of clients and impostors."""

from pathlib import Path
from typing import Any

import pandas as pd

from ..config import InputError
from ..embeddings.evaluate import evaluate_table
from ..embeddings.inference import infer
from ..embeddings.metrics import equal_error_rate, min_dcf, table_scores
from ..network.accent_net import AccentNet
from .lists import name_labels, read_label_names, read_labels


def evaluate_labels(
    model: AccentNet,
    labels_path: str | Path,
    data_dir: str | Path | None = None,
    label_names: str | Path | None = None,
) -> dict[str, Any]:
    """Figures of a model on a label file (:func:`accentlib.published.lists.read_labels`), as :func:`evaluate` gives them.

    A model whose accents have names needs the table that gave them, ``label_names``. Who speaks is not in label files: that these are other speakers than those of the training is for the
    caller to know.

    Raises InputError if a line cannot be used, or is of an accent that the model does not know.
    """
    table = read_labels(labels_path, data_dir)
    names = [str(label) for label in range(len(model.labels))]
    if label_names:
        names = read_label_names(label_names)
    table["accent"] = name_labels(table, names, labels_path)
    _, answers, metrics = evaluate_table(model, table)
    return metrics | {"problems": answers.problems}


def score_pairs(model: AccentNet, pairs: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any], dict[str, str]]:
    """Compare pairs of utterances by the cosine of their embeddings.

    Parameters
    ----------
    model : AccentNet
        As :func:`accentlib.load_model` gives it.
    pairs : pandas.DataFrame
        Columns a, b (audio or feature files) and client (:func:`accentlib.published.lists.read_pairs`).

    Returns
    -------
    scored : pandas.DataFrame
        The pairs that could be read, with a column score.
    figures : dict
        eer, min_dcf (target prior 0.01) and the numbers of pairs.
    problems : dict
        What is wrong with each file that could not be read; its pairs are left out.
    """
    answers = infer(model, list(dict.fromkeys([*pairs["a"], *pairs["b"]])))
    read = pairs["a"].isin(answers.ids) & pairs["b"].isin(answers.ids)
    scored = pairs[read].reset_index(drop=True)
    scored["score"] = table_scores(scored, answers.ids, answers.embeddings)
    clients, impostors = (scored.loc[scored["client"] == kind, "score"].to_numpy() for kind in (True, False))
    if not len(clients) or not len(impostors):
        raise InputError("no pair of clients, or of impostors, could be read")
    figures = {"eer": equal_error_rate(clients, impostors), "min_dcf": min_dcf(clients, impostors)}
    return scored, figures | {"clients": len(clients), "impostors": len(impostors)}, answers.problems
