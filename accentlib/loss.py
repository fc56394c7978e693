"""AM-Softmax: cross-entropy of scaled cosines, the true class handicapped by a margin.

Wang et al., Additive Margin Softmax for Face Verification, arXiv 1801.05599, equation 6.
"""

import torch
import torch.nn.functional as F
from torch import nn


class AMSoftmax(nn.Module):
    """One weight vector a class; what counts is the angle to it.

    Parameters
    ----------
    size, classes : int
        Size of the vectors, number of classes.
    scale, margin : float
        s and m of the paper.
    annealing : bool
        Blend the margin in during training: with ``alpha = 1000 / (1 + 1e-4 step)^2`` the true class's
        cosine is ``(alpha cos + (cos - m)) / (1 + alpha)``, so the margin is ``m / (1 + alpha)``.
    """

    def __init__(self, size: int, classes: int, scale: float, margin: float, annealing: bool = False):
        super().__init__()
        self.scale, self.margin, self.annealing = scale, margin, annealing
        self.weight = nn.Parameter(torch.empty(size, classes))
        nn.init.xavier_normal_(self.weight)

    def cosines(self, x: torch.Tensor) -> torch.Tensor:
        """Cosine of each vector ``(batch, size)`` to each class: ``(batch, classes)``, float32."""
        with torch.autocast(x.device.type, enabled=False):
            return F.normalize(x.float(), dim=1) @ F.normalize(self.weight, dim=0)

    def margin_at(self, step: int) -> float:
        """The margin after so many updates."""
        if not self.annealing:
            return self.margin
        alpha = 1000 / (1 + 1e-4 * step) ** 2
        return self.margin / (1 + alpha)

    def margin_logits(self, cosines: torch.Tensor, targets: torch.Tensor, step: int = 0) -> torch.Tensor:
        """``s (cos - m [true class])``, ``(batch, classes)``."""
        margins = self.margin_at(step) * F.one_hot(targets, cosines.shape[1])
        return self.scale * (cosines - margins)
