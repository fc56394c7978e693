"""Figures of a model on a table of clips."""

from typing import Any

import numpy as np
import pandas as pd

from ..config import InputError
from ..features.store import FeatureStore
from ..network.accent_net import AccentNet
from .inference import Answers, infer
from .metrics import corpus_metrics, expected_calibration_error


def check_accents(table: pd.DataFrame, labels: list[str]) -> None:
    """Raise an InputError if the table has an accent that is not among a model's labels."""
    unknown = sorted(set(table["accent"]) - set(labels))
    if unknown:
        raise InputError(
            f"the corpus has the accent {unknown[0]!r}; the model knows {', '.join(labels)}"
            " (accentlib corpus ... --accent-names gives labels other names)"
        )


def evaluate_table(
    model: AccentNet, table: pd.DataFrame, *, store: FeatureStore | None = None
) -> tuple[pd.DataFrame, Answers, dict[str, Any]]:
    """The rows whose clips could be read, what the network says of them, and the figures.

    ``store`` as for :func:`accentlib.infer`.

    Raises InputError if the table has an accent that the model does not know, or no clip can be read.
    """
    check_accents(table, model.labels)
    answers = infer(model, table, store=store)
    table = table[~table["path"].isin(answers.problems)].reset_index(drop=True)
    if not len(table):
        raise InputError(f"no clip could be read; the first: {next(iter(answers.problems.values()))}")
    metrics = corpus_metrics(table, answers.accents, model.labels)
    truth = np.array([model.labels.index(accent) for accent in table["accent"]])
    metrics["calibration_error"] = expected_calibration_error(answers.probabilities, truth)
    return table, answers, metrics
