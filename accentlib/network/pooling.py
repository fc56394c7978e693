"""Poolings: ``steps`` ``(batch, steps, size)`` to one vector, and the :class:`Weights` that made it.

``mask`` ``(batch, steps)`` is true where a step is speech and not padding. India, Safari and Hernando, Double
Multi-Head Attention for Speaker Verification, arXiv 2007.13199."""

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import Config


class Weights(NamedTuple):
    """Attention weights, None where a pooling has none: only double attention and phones weight heads."""

    frames: Any = None  # Tensor, or array of one clip: (batch, steps, heads), sums to 1 over steps
    heads: Any = None  # (batch, heads), sums to 1 over heads


def moments(values: Tensor, weights: Tensor) -> Tensor:
    """Means and, after them, standard deviations over steps: ``(batch, heads, 2 * size)``, of ``values``
    ``(batch, steps, heads, size)`` with ``weights`` ``(batch, steps, heads)`` that sum to 1 over steps."""
    weights = weights.unsqueeze(-1)
    mean = (weights * values).sum(1)  # (batch, heads, size)
    variance = (weights * (values - mean.unsqueeze(1)) ** 2).sum(1)  # (batch, heads, size)
    # The floor keeps the square root's gradient finite where a value never changes.
    return torch.cat([mean, variance.clamp(min=1e-6).sqrt()], dim=-1)


class StatisticsPooling(nn.Module):
    """Mean and standard deviation over steps: ``(batch, 2 * size)``."""

    def __init__(self, size: int):
        super().__init__()
        self.output_size = 2 * size

    def forward(self, steps: Tensor, mask: Tensor) -> tuple[Tensor, Weights]:
        weights = mask.unsqueeze(-1) / mask.sum(1).view(-1, 1, 1)  # (batch, steps, 1)
        return moments(steps.unsqueeze(2), weights).squeeze(1), Weights()


class AttentiveStatisticsPooling(nn.Module):
    """Mean and standard deviation over steps, weighted by one attention with a hidden layer:
    ``(batch, 2 * size)`` (Okabe, Koshinaka and Shinoda, arXiv 1803.10963, equations 3 to 6)."""

    def __init__(self, size: int, hidden: int = 64):
        super().__init__()
        self.output_size = 2 * size
        self.hidden, self.score = nn.Linear(size, hidden), nn.Linear(hidden, 1, bias=False)

    def forward(self, steps: Tensor, mask: Tensor) -> tuple[Tensor, Weights]:
        scores = self.score(self.hidden(steps).tanh())  # (batch, steps, 1)
        weights = scores.masked_fill(~mask.unsqueeze(-1), -torch.inf).softmax(dim=1)
        return moments(steps.unsqueeze(2), weights).squeeze(1), Weights(weights)


class AttentionPooling(nn.Module):
    """One self-attention over steps, ``(batch, size)``; the scores are not scaled (section 2.1)."""

    def __init__(self, size: int):
        super().__init__()
        self.output_size = size
        self.query = nn.Parameter(nn.init.xavier_normal_(torch.empty(size, 1)))

    def forward(self, steps: Tensor, mask: Tensor) -> tuple[Tensor, Weights]:
        scores = (steps @ self.query).masked_fill(~mask.unsqueeze(-1), -torch.inf)
        weights = scores.softmax(dim=1)  # (batch, steps, 1)
        return (weights * steps).sum(1), Weights(weights)


class MultiHeadAttentionPooling(nn.Module):
    """Each head attends over steps with a query of its own: ``(batch, size)`` (section 2.2, eq. 1 to 3).
    The vector of a step is cut into heads of ``size / heads`` values; head j weights step t with the softmax
    over t of ``h_tj . u_j / sqrt(heads)``. (The paper divides by the root of the head's size, the published
    code by that of the number of heads. We follow the code, so that its weights mean the same here.)"""

    def __init__(self, size: int, heads: int):
        super().__init__()
        self.heads, self.output_size = heads, size
        self.query = nn.Parameter(nn.init.xavier_normal_(torch.empty(size // heads, heads)))

    def contexts(self, steps: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Context vectors ``(batch, heads, size / heads)`` and weights ``(batch, steps, heads)``."""
        split = steps.unflatten(-1, (self.heads, -1))  # (batch, steps, heads, size / heads)
        scores = torch.einsum("bthd,dh->bth", split, self.query) / math.sqrt(self.heads)
        weights = scores.masked_fill(~mask.unsqueeze(-1), -torch.inf).softmax(dim=1)
        return torch.einsum("bth,bthd->bhd", weights, split), weights

    def forward(self, steps: Tensor, mask: Tensor) -> tuple[Tensor, Weights]:
        contexts, weights = self.contexts(steps, mask)
        return contexts.flatten(1), Weights(weights)  # (batch, size)


class DoubleMultiHeadAttentionPooling(nn.Module):
    """Attention over the steps in each head, then over the heads (section 3, eq. 4 to 6).
    Pools to ``(batch, size / heads)``. In training, each head is dropped with probability ``head_drop``
    before the second softmax."""

    def __init__(self, size: int, heads: int, head_drop: float):
        super().__init__()
        self.head_drop, self.output_size = head_drop, size // heads
        self.frame_attention = MultiHeadAttentionPooling(size, heads)
        self.query = nn.Parameter(nn.init.xavier_normal_(torch.empty(size // heads, 1)))

    def contexts(self, steps: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """What the second attention weights: of each head a vector ``(batch, heads, size / heads)``."""
        return self.frame_attention.contexts(steps, mask)

    def forward(self, steps: Tensor, mask: Tensor) -> tuple[Tensor, Weights]:
        contexts, frame_weights = self.contexts(steps, mask)
        scores = (contexts @ self.query).squeeze(-1)  # (batch, heads)
        if self.training:
            scores = scores.masked_fill(dropped_heads(scores, self.head_drop), -torch.inf)
        head_weights = scores.softmax(dim=1)  # (batch, heads)
        return torch.einsum("bh,bhd->bd", head_weights, contexts), Weights(frame_weights, head_weights)


class DoubleMultiHeadStatisticsPooling(DoubleMultiHeadAttentionPooling):
    """Double attention whose heads keep the deviation of what they attend to beside its mean: pools to
    ``(batch, 2 * size / heads)``. Not in the paper."""

    def __init__(self, size: int, heads: int, head_drop: float):
        super().__init__(size, heads, head_drop)
        self.output_size = 2 * size // heads
        self.query = nn.Parameter(nn.init.xavier_normal_(torch.empty(self.output_size, 1)))

    def contexts(self, steps: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation of each head, ``(batch, heads, 2 * size / heads)``."""
        _, weights = self.frame_attention.contexts(steps, mask)
        return moments(steps.unflatten(-1, (self.frame_attention.heads, -1)), weights), weights


class PhonePooling(nn.Module):
    """Attention with a head for each phone, which the phone layer tells where its phone is spoken.

    Pools to ``(batch, 2 * size + phones * values)``: mean and standard deviation over steps, then for each
    phone how a projection of its steps differs from the utterance's mean. The difference is shrunk as if
    ``softplus(prior)`` more steps of the phone were average, so that a phone that is not spoken gives 0.
    In training each phone, and the utterance's statistics, are left out with probability ``head_drop``, so
    that each is learned for itself: what is said differs from text to text."""

    def __init__(self, size: int, phones: int, head_drop: float = 0.0, values: int = 16):
        super().__init__()
        self.head_drop, self.output_size = head_drop, 2 * size + phones * values
        self.statistics, self.values = StatisticsPooling(size), nn.Linear(size, values, bias=False)
        self.prior = nn.Parameter(torch.tensor(1.0))

    def forward(self, steps: Tensor, mask: Tensor, phones: Tensor) -> tuple[Tensor, Weights]:
        """``phones`` ``(batch, steps, phones)`` are the phones' probabilities in each step."""
        whole, _ = self.statistics(steps, mask)
        shares = phones * mask.unsqueeze(-1)
        values = self.values(steps - whole[:, None, : steps.shape[2]])  # (batch, steps, values)
        spoken = shares.sum(1).unsqueeze(-1)  # (batch, phones, 1), steps
        rows = shares.transpose(1, 2) @ values / (spoken + F.softplus(self.prior))  # (batch, phones, values)
        if self.training and self.head_drop:
            kept = torch.rand(len(steps), 1 + rows.shape[1], 1, device=steps.device) >= self.head_drop
            whole, rows = whole * kept[:, 0], rows * kept[:, 1:]
        weights = shares / spoken.transpose(1, 2).clamp(min=1e-6)
        heads = spoken.squeeze(-1) / mask.sum(1, keepdim=True)  # (batch, phones), share of the utterance
        return torch.cat([whole, rows.flatten(1)], dim=1), Weights(weights, heads)


def dropped_heads(scores: Tensor, head_drop: float) -> Tensor:
    """Heads to drop, ``(batch, heads)`` bool: each with probability ``head_drop``, never all of a clip.
    Independent drops would sometimes drop every head (and softmax gives NaN). So their number is
    ``head_drop * heads``, rounded up or down at random so that its mean is exact, at most ``heads - 1``."""
    batch, heads = scores.shape
    mean = min(head_drop * heads, heads - 1)
    count = torch.floor(mean + torch.rand(batch, 1, device=scores.device))  # (batch, 1)
    rank = torch.rand(batch, heads, device=scores.device).argsort(dim=1).argsort(dim=1)
    return rank < count


def make_pooling(config: Config, phones: int = 0) -> nn.Module:
    """The pooling of the configuration, for a network that learns so many phones."""
    size, method = config.encoder_size, config.pooling_method
    if method in (simple := {"Statistics": StatisticsPooling, "Attention": AttentionPooling,
                             "AttentiveStatistics": AttentiveStatisticsPooling}):  # fmt: skip
        return simple[method](size)
    if method == "Phones":
        return PhonePooling(size, phones, config.head_drop)
    if method == "MHA":
        return MultiHeadAttentionPooling(size, config.heads)
    double = {
        "DoubleMHA": DoubleMultiHeadAttentionPooling,
        "DoubleMHAStatistics": DoubleMultiHeadStatisticsPooling,
    }
    return double[method](size, config.heads, config.head_drop)
