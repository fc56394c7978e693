"""Checks of the reader's answers to the notebooks' exercises: numbers and functions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import binom

from ..embeddings.metrics import classification_metrics, equal_error_rate, expected_calibration_error
from ..features.log_mel import normalise
from ..network.pooling import MultiHeadAttentionPooling
from ..training.schedule import cosine_rate

NO_ANSWER = "No answer yet: put it in place of None, and run this cell again."
# the number, how far an answer may be from it, and what helps
NUMBERS: dict[str, tuple[float, float, str]] = {
    "00.1": (1, 0, "each of six clips has six possible answers, and one of them is right"),
    "01.1": (
        1 + (32_000 - 512) // 160,
        0,
        "a frame needs all of its 512 samples: the last window must be whole",
    ),
    "02.1": (22, 0, "each of the four blocks halves, and rounds up: 347, 174, ..."),
    "03.1": (
        100 / (1 + np.exp(30 * (0.3 - 0.1))),
        0.05,
        "the margin is taken from the cosine before the scale",
    ),
    "04.1": (100 / 6, 0.5, "the other voices speak the six accents equally often"),
    "05.1": (
        2 * (1.2 * (1.96 + 0.84)) ** 2,
        1.5,
        "n is 2 (deviation / difference)^2 (1.96 + 0.84)^2, of each",
    ),
    "06.1": (17, 0, "12 % of so many speakers, rounded up, must be three"),
    "07.1": (100 / 9, 1.0, "nine first languages are on the map, and none is preferred"),
}


def _accuracy(truth: list[str], answers: list[str]) -> float:
    return classification_metrics(truth, answers, sorted(set(truth)))["balanced_accuracy"]


def _multi_head(h: np.ndarray, u: np.ndarray) -> np.ndarray:
    pooling = MultiHeadAttentionPooling(h.shape[1] * h.shape[2], h.shape[1])
    pooling.query.data = torch.from_numpy(u.T)  # (size, heads)
    steps = torch.from_numpy(h).flatten(1)[None]  # (1, steps, heads * size)
    return pooling(steps, torch.ones(steps.shape[:2], dtype=torch.bool))[0][0].detach().numpy()


def _leaks(table: pd.DataFrame) -> list[str]:
    splits = table.groupby("speaker")["split"].nunique()
    return sorted(splits.index[splits > 1])


def _functions() -> dict[str, tuple[Callable, list[tuple]]]:
    """Of each exercise what the function should do, and what it is tried on."""
    rng = np.random.default_rng(0)
    names, x = list("aaaabbc"), rng.normal(size=(50, 40)).astype(np.float32)
    heads, queries = (rng.normal(size=shape).astype(np.float32) for shape in ((9, 4, 6), (4, 6)))
    splits = pd.DataFrame(
        {"speaker": list("ababcd"), "split": ["train", "test", "test", "test", "train", "test"]}
    )
    probabilities = rng.dirichlet(np.ones(3), size=200)
    return {
        "00.2": (_accuracy, [(names, names), (names, list("aabbbba"))]),
        "01.2": (lambda x: normalise(x, "cmvn"), [(x,), (3 * x + 7,)]),
        "02.2": (_multi_head, [(heads, queries)]),
        "03.2": (cosine_rate, [(step, 100, 0.003) for step in (0, 5, 10, 55, 99)]),
        "04.2": (equal_error_rate, [(rng.normal(1, 1, 300), rng.normal(-1, 1, 500))]),
        "05.2": (lambda wins, n: binom.sf(wins - 1, n, 0.5), [(5, 5), (3, 5), (0, 4), (14, 15)]),
        "06.2": (_leaks, [(splits,), (splits[3:],)]),
        "07.2": (expected_calibration_error, [(probabilities, rng.integers(0, 3, 200))]),
    }


def check(exercise: str, answer: Any) -> str:
    """Judge the answer to an exercise, such as "01.1": a number, a function, or None (no answer yet)."""
    if answer is None:
        return NO_ANSWER
    if exercise in NUMBERS:
        truth, within, help = NUMBERS[exercise]
        if not isinstance(answer, (int, float, np.number)):
            return f"Not yet: a number is wanted, not {answer!r}."
        if abs(answer - truth) <= within:
            return "Right."
        return (
            f"Not yet: it is {'less' if truth < answer else 'more'} than {answer:g}. Think of this: {help}."
        )
    wanted, tried = _functions()[exercise]
    if not callable(answer):
        return f"Not yet: a function is wanted, not {answer!r}."
    for given in tried:
        truth, shown = wanted(*given), ", ".join(_brief(x) for x in given)
        try:
            own = answer(*given)
        except Exception as error:
            return f"Not yet: for {shown} it stops with {type(error).__name__}: {error}."
        if isinstance(truth, list):
            same = isinstance(own, (list, set, tuple, pd.Index, np.ndarray)) and sorted(own) == truth
        else:
            if np.shape(own) != np.shape(truth):
                return f"Not yet: for {shown} its shape is {np.shape(own)}, and should be {np.shape(truth)}."
            same = np.allclose(np.asarray(own, float), truth, rtol=1e-3, atol=2e-3)
        if not same:
            return f"Not yet: for {shown} it gives {_brief(own)}, and should give {_brief(truth)}."
    return "Right."


def _brief(x: Any) -> str:
    """A value in a few characters."""
    if isinstance(x, (np.ndarray, pd.DataFrame)) and np.size(x) > 6:
        first = f", first {np.asarray(x).flat[0]:.3g}" if isinstance(x, np.ndarray) else ""
        return f"<{'x'.join(map(str, np.shape(x)))}{first}>"
    return f"{x:.4g}" if isinstance(x, (float, np.floating)) else str(x)
