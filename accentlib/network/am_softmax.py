"""The losses: AM-Softmax (Wang et al., arXiv 1801.05599, equation 6), and cross-entropy of phones."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class AMSoftmax(nn.Module):
    """Cross-entropy of scaled cosines, the true class handicapped by a margin: s and m of the paper.
    With ``annealing`` the margin is ``m / (1 + alpha)``, where ``alpha = 1000 / (1 + 1e-4 step)^2``."""

    def __init__(self, size: int, classes: int, scale: float, margin: float, annealing: bool = False):
        super().__init__()
        self.scale, self.margin, self.annealing = scale, margin, annealing
        self.weight = nn.Parameter(nn.init.xavier_normal_(torch.empty(size, classes)))

    def cosines(self, x: Tensor) -> Tensor:
        """Cosine of each vector ``(batch, size)`` to each class: ``(batch, classes)``, float32."""
        with torch.autocast(x.device.type, enabled=False):
            return F.normalize(x.float(), dim=1) @ F.normalize(self.weight, dim=0)

    def margin_at(self, step: int) -> float:
        """The margin after ``step`` updates."""
        return self.margin / (1 + 1000 / (1 + 1e-4 * step) ** 2) if self.annealing else self.margin

    def margin_logits(self, cosines: Tensor, targets: Tensor, step: int = 0) -> Tensor:
        """``s (cos - m [true class])``, ``(batch, classes)``."""
        return self.scale * (cosines - self.margin_at(step) * F.one_hot(targets, cosines.shape[1]))


def phone_loss(logits: Tensor, phones: Tensor, frames_a_step: int) -> Tensor:
    """Cross-entropy of phones, from logits ``(batch, steps, phones)`` and numbers ``(batch, frames)``.
    The target of a step is each phone's share of its frames. Negative numbers are unknown; steps without a
    known phone do not count. That phones help accents: arXiv 2102.10233."""
    steps, classes = logits.shape[1:]
    phones = F.pad(phones, (0, steps * frames_a_step - phones.shape[1]), value=-1)
    known = (phones >= 0).unsqueeze(-1)
    shares = (F.one_hot(phones.clamp(min=0), classes) * known).float()  # (batch, frames, phones)
    shares = shares.unflatten(1, (steps, frames_a_step)).sum(2)  # (batch, steps, phones)
    counts = shares.sum(-1, keepdim=True)  # (batch, steps, 1)
    losses = -(shares / counts.clamp(min=1) * logits.float().log_softmax(-1)).sum(-1)  # (batch, steps)
    return losses.sum() / (counts > 0).sum().clamp(min=1)
