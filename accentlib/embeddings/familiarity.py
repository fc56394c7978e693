"""Whether a recording is like the training material; if it is not, its nearest accent means nothing.

Mean and deviation of the front end's output in a window are a point; probabilistic PCA (Tipping and Bishop,
J. R. Stat. Soc. B 61, 1999) says how far it is from the points of training."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..network.accent_net import AccentNet, Familiar
from .inference import window_outputs

COMPONENTS, FLOOR = 64, 1e-4
FEWEST = 16  # windows that can be described
ACCEPTED = 0.95  # of the validation windows


def points(model: AccentNet, log_mels: Sequence[np.ndarray]) -> Tensor:
    """A point ``(2 * size)`` for each window of utterances ``(frames, mels)``, on the CPU."""
    return torch.cat([points.cpu() for *_, points in window_outputs(model, log_mels)])


def fit_familiar(model: AccentNet, log_mels: Sequence[np.ndarray], validation: Sequence[np.ndarray]) -> None:
    """Fit ``model.familiar`` to training recordings, and its limit to those of validation speakers."""
    from sklearn.decomposition import PCA

    if len(known := points(model, log_mels)) < FEWEST:
        return
    mean, scale = known.mean(0), known.std(0).clamp(min=1e-6)
    pca = PCA(min(COMPONENTS, len(known) // 4, known.shape[1] - 1)).fit(((known - mean) / scale).numpy())
    variances, noise = np.maximum(pca.explained_variance_, FLOOR), max(pca.noise_variance_, FLOOR)
    numbers = (pca.components_, variances, noise, 0.0)
    fitted = Familiar(mean, scale, *(torch.as_tensor(x, dtype=torch.float32) for x in numbers))
    limit = torch.quantile(fitted.distances(points(model, validation)), ACCEPTED)
    model.familiar = fitted._replace(limit=limit)
