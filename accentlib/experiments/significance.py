"""Whether one classifier is better than another on the same clips, by its speakers."""

from pathlib import Path

import numpy as np
import pandas as pd

from ..config import InputError
from ..corpora.splits import few_speakers
from ..embeddings.metrics import classification_metrics, speaker_interval
from ..files import read_table

DRAWS = 10_000
POWER = 1.96 + 0.84  # standard errors of a difference that is seen with a probability of 80 %, at p < 0.05


def read_predictions(file: str | Path) -> pd.DataFrame:
    """Predictions on the split test, or on all clips if none is named, by id; InputError if unusable."""
    table = read_table(file)
    if missing := [name for name in ("id", "speaker", "accent", "predicted") if name not in table]:
        raise InputError(f"{file}: lacks the column {', '.join(missing)}; it has {', '.join(table.columns)}")
    table = table[table["split"] == "test"] if "split" in table else table
    if table["id"].duplicated().any():
        raise InputError(f"{file}: {table['id'][table['id'].duplicated()].iloc[0]} is listed twice")
    return table.set_index("id")


def significance(a: str | Path, b: str | Path) -> dict:
    """The difference in balanced accuracy of the predictions in ``a`` and in ``b``, on the clips of both.

    Returns ``difference`` (a less b) with its 95 % interval over speakers, paired by speaker (``low``,
    ``high``), ``p`` of a permutation test that swaps the predictions of whole speakers, and
    ``speakers_needed`` to see such a difference with a probability of 80 %. Raises InputError for tables
    without clips in common, or that disagree on a clip's accent or speaker."""
    first, second = read_predictions(a), read_predictions(b)
    both = first.merge(second, left_index=True, right_index=True, suffixes=("", "_b"))
    if both.empty:
        raise InputError(f"{a} and {b} have no clip in common")
    for name in ("accent", "speaker"):
        if (differ := both[name] != both[f"{name}_b"]).any():
            raise InputError(f"{a} and {b} name different {name}s for {both.index[differ][0]}")
    truth, speakers = both["accent"].to_numpy(), both["speaker"]
    ours, theirs = (both[name].to_numpy() for name in ("predicted", "predicted_b"))
    labels = sorted(set(truth))
    gains = [classification_metrics(truth, x, labels)["balanced_accuracy"] for x in (ours, theirs)]
    low, high = speaker_interval(truth, ours, speakers, than=theirs)
    # each clip's share of the balanced accuracy is 1 / (accents * clips of its accent)
    clips = pd.Series(truth).map(pd.Series(truth).value_counts()).to_numpy()
    shares = ((ours == truth) * 1.0 - (theirs == truth)) / (len(labels) * clips)
    each = pd.Series(shares).groupby(speakers.to_numpy()).sum().to_numpy()  # (speakers,)
    signs = np.random.default_rng(0).choice([-1, 1], size=(DRAWS, len(each)))
    extreme = (np.abs(signs @ each) >= abs(each.sum()) - 1e-12).sum()
    difference, error = gains[0] - gains[1], (high - low) / (2 * 1.96)
    needed = int(np.ceil(len(each) * (POWER * error / difference) ** 2)) if difference and error else None
    return {
        "difference": difference, "low": low, "high": high, "p": float((extreme + 1) / (DRAWS + 1)),
        "a": gains[0], "b": gains[1], "speakers": len(each), "clips": len(both),
        "clips_in_one_only": len(first) + len(second) - 2 * len(both), "speakers_needed": needed,
        "few_speakers": few_speakers(both),
    }  # fmt: skip
