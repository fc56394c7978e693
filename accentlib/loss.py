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


def sound_loss(logits: torch.Tensor, sounds: torch.Tensor, frames_a_step: int) -> torch.Tensor:
    """Cross-entropy of naming the sounds (phones) that are spoken, a scalar.

    A front end's step lasts several frames, in which sounds may change: its target is each sound's share of
    them. To learn accents and sounds together is what helped most in the Accented English Speech Recognition
    Challenge 2020 (arXiv 2102.10233).

    Parameters
    ----------
    logits : torch.Tensor
        ``(batch, steps, sounds)``.
    sounds : torch.Tensor
        ``(batch, frames)``, the number of the sound in each frame, below 0 where it is not known. A step in
        which none is known does not count.
    frames_a_step : int
        ``steps`` times this is ``frames``, or a little more.
    """
    steps, classes = logits.shape[1:]
    sounds = F.pad(sounds, (0, steps * frames_a_step - sounds.shape[1]), value=-1)
    known = (sounds >= 0).unsqueeze(-1)
    shares = (F.one_hot(sounds.clamp(min=0), classes) * known).float()  # (batch, frames, sounds)
    shares = shares.unflatten(1, (steps, frames_a_step)).sum(2)  # (batch, steps, sounds)
    counts = shares.sum(-1, keepdim=True)  # (batch, steps, 1)
    shares = shares / counts.clamp(min=1)
    losses = -(shares * logits.float().log_softmax(-1)).sum(-1)  # (batch, steps)
    return losses.sum() / (counts > 0).sum().clamp(min=1)
