"""Whether a recording is like the training material; if it is not, its nearest accent means nothing.

The mean of the front end's output over a window is a point; probabilistic PCA (Tipping and Bishop,
J. R. Stat. Soc. B 61, 1999) says how far it is from the points of training."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..network.accent_net import AccentNet, Familiar
from .inference import cut_clips, window_outputs

COMPONENTS, FLOOR = 64, 1e-4
FEWEST = 16  # windows that can be described
PARTS = (8, 4, 2, 1)  # windows are cut to an eighth and so on: the new recording may be short
ACCEPTED = 0.9  # of these parts of validation windows


def points(model: AccentNet, log_mels: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """A point ``(size,)`` for each window of utterances ``(frames, mels)``, and its steps, on the CPU."""
    outputs = [(points.cpu(), steps.cpu()) for *_, points, steps in window_outputs(model, log_mels)]
    return torch.cat([x for x, _ in outputs]), torch.cat([n for _, n in outputs])


def fit_familiar(model: AccentNet, log_mels: Sequence[np.ndarray], validation: Sequence[np.ndarray]) -> None:
    """Fit ``model.familiar`` to training recordings; what is usual, and the limit, to validation speakers."""
    from sklearn.decomposition import PCA

    known, _ = points(model, log_mels)
    if len(known) < FEWEST:
        return
    mean, scale = known.mean(0), known.std(0).clamp(min=1e-6)
    pca = PCA(min(COMPONENTS, len(known) // 4, known.shape[1] - 1)).fit(((known - mean) / scale).numpy())
    variances, noise = np.maximum(pca.explained_variance_, FLOOR), max(pca.noise_variance_, FLOOR)
    numbers = (pca.components_, variances, noise, ((1.0,), (1.0,)), 0.0)
    fitted = Familiar(mean, scale, *(torch.as_tensor(x, dtype=torch.float32) for x in numbers))
    windows, _ = cut_clips(validation, model.config)
    heard = [points(model, [x[: -(-len(x) // part)] for x in windows]) for part in PARTS]
    usual = [(steps.median(), fitted.distances(x, steps).median()) for x, steps in heard]
    fitted = fitted._replace(usual=torch.tensor(usual, dtype=torch.float32).T)
    distances = torch.cat([fitted.distances(*of_part) for of_part in heard])
    model.familiar = fitted._replace(limit=torch.quantile(distances, ACCEPTED))
