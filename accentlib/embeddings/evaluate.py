"""Metrics of a model on a table of clips."""

import numpy as np
import pandas as pd

from ..config import InputError
from ..features.store import FeatureStore, clip_ids
from ..network.accent_net import AccentNet
from .inference import Answers, infer
from .metrics import corpus_metrics, expected_calibration_error


def check_accents(table: pd.DataFrame, labels: list[str]) -> None:
    """Raise an InputError if the table has an accent that is not among a model's labels."""
    if unknown := sorted(set(table["accent"]) - set(labels)):
        known = f"{', '.join(labels)} (accentlib corpus ... --accent-names renames accents)"
        raise InputError(f"the corpus has the accent {unknown[0]!r}; the model knows {known}")


def evaluate_table(model: AccentNet, table: pd.DataFrame, *,
                   store: FeatureStore | None = None) -> tuple[pd.DataFrame, Answers, dict]:  # fmt: skip
    """Rows of readable clips (InputError without any), answers and metrics; ``store`` as in :func:`infer`."""
    check_accents(table, model.labels)
    answers = infer(model, table, store=store)
    read = [str(clip_id) not in answers.problems for clip_id in clip_ids(table)]
    table = table[read].reset_index(drop=True)
    if not len(table):
        raise InputError(f"no clip could be read; the first: {next(iter(answers.problems.values()))}")
    metrics = corpus_metrics(table, answers.accents, model.labels)
    truth = np.array([model.labels.index(accent) for accent in table["accent"]])
    metrics["calibration_error"] = expected_calibration_error(answers.probabilities, truth)
    return table, answers, metrics
