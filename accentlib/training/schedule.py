"""Optimizers, learning rate schedules, and averaging of weights."""

import math
from collections.abc import Callable

import torch

from ..config import Config


def make_optimizer(model: torch.nn.Module, config: Config) -> torch.optim.Optimizer:
    """The configuration's optimizer, which has PyTorch's name."""
    kind = getattr(torch.optim, config.optimizer)
    return kind(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)


def cosine_rate(step: int, steps: int, peak: float) -> float:
    """Learning rate of update ``step`` of ``steps``: a linear rise in a tenth, then half a cosine to zero."""
    warm_up = max(1, round(0.1 * steps))
    if step < warm_up:
        return peak * (step + 1) / warm_up
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(1, steps - warm_up)))


def plateau_rate(rate: float, stale: int, config: Config) -> float:
    """Learning rate after ``stale`` validations without a new best: halved every ``patience`` of them."""
    due = config.schedule == "plateau" and config.optimizer != "RMSprop"  # which keeps its rate, as published
    return rate / 2 if due and stale and stale % config.patience == 0 else rate


def averaging(decay: float) -> Callable:
    """Exponential average of weights; its memory grows from 10 updates to ``1 / (1 - decay)``: with a fixed
    length, a short run's average would still be its initial weights."""
    return lambda average, weight, count: average + (weight - average) * max(1 - decay, 9 / (10 + count))
