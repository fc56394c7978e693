"""From a vector a frame to one vector an utterance: statistics, attention, multi-head, double multi-head.

Every pooling takes ``frames`` ``(batch, frames, size)`` and ``mask`` ``(batch, frames)``, true where a
frame is speech and not padding, and returns the pooled vector and the :class:`Weights` it used.
India, Safari and Hernando, Double Multi-Head Attention for Speaker Verification, arXiv 2007.13199.
"""

import math
from typing import NamedTuple

import torch
from torch import nn


class Weights(NamedTuple):
    """Attention weights. Both are None for statistics; only double attention weighs heads."""

    frames: torch.Tensor | None = None  # (batch, frames, heads), sums to 1 over frames
    heads: torch.Tensor | None = None  # (batch, heads), sums to 1 over heads


class StatisticsPooling(nn.Module):
    """Mean and standard deviation over frames: ``(batch, 2 * size)``."""

    def __init__(self, size: int):
        super().__init__()
        self.output_size = 2 * size

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, Weights]:
        weights = mask.unsqueeze(-1) / mask.sum(1).view(-1, 1, 1)  # (batch, frames, 1)
        mean = (weights * frames).sum(1)  # (batch, size)
        variance = (weights * (frames - mean.unsqueeze(1)) ** 2).sum(1)  # (batch, size)
        # The floor keeps the square root's gradient finite where a value never changes.
        return torch.cat([mean, variance.clamp(min=1e-6).sqrt()], dim=1), Weights()


class MultiHeadAttentionPooling(nn.Module):
    """Each head attends over frames with a query of its own: ``(batch, size)`` (section 2.2, eq. 1 to 3).

    The frame vector is cut into heads of ``size / heads`` values; head j weighs frame t with
    softmax over t of ``h_tj . u_j / sqrt(heads)``. (The paper divides by the root of the head's size;
    the published code by that of the number of heads, which is kept: its weights must mean the same.)
    """

    def __init__(self, size: int, heads: int):
        super().__init__()
        self.heads, self.output_size = heads, size
        self.query = nn.Parameter(torch.empty(size // heads, heads))
        nn.init.xavier_normal_(self.query)

    def contexts(self, frames: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Context vector of each head ``(batch, heads, size / heads)`` and weights ``(batch, frames, heads)``."""
        split = frames.unflatten(-1, (self.heads, -1))  # (batch, frames, heads, size / heads)
        scores = torch.einsum("bfhd,dh->bfh", split, self.query) / math.sqrt(self.heads)
        weights = scores.masked_fill(~mask.unsqueeze(-1), -torch.inf).softmax(dim=1)
        return torch.einsum("bfh,bfhd->bhd", weights, split), weights

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, Weights]:
        contexts, weights = self.contexts(frames, mask)
        return contexts.flatten(1), Weights(weights)  # (batch, size)


class AttentionPooling(nn.Module):
    """One self-attention over frames, ``(batch, size)``; the scores are not scaled (section 2.1)."""

    def __init__(self, size: int):
        super().__init__()
        self.output_size = size
        self.query = nn.Parameter(torch.empty(size, 1))
        nn.init.xavier_normal_(self.query)

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, Weights]:
        scores = (frames @ self.query).masked_fill(~mask.unsqueeze(-1), -torch.inf)
        weights = scores.softmax(dim=1)  # (batch, frames, 1)
        return (weights * frames).sum(1), Weights(weights)


class DoubleMultiHeadAttentionPooling(nn.Module):
    """Attention over frames in each head, then over the heads: ``(batch, size / heads)`` (section 3, eq. 4 to 6).

    While training, each head is dropped with probability ``mask_prob`` before the second softmax.
    """

    def __init__(self, size: int, heads: int, mask_prob: float):
        super().__init__()
        self.mask_prob, self.output_size = mask_prob, size // heads
        self.frame_attention = MultiHeadAttentionPooling(size, heads)
        self.query = nn.Parameter(torch.empty(size // heads, 1))
        nn.init.xavier_normal_(self.query)

    def forward(self, frames: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, Weights]:
        contexts, frame_weights = self.frame_attention.contexts(frames, mask)
        scores = (contexts @ self.query).squeeze(-1)  # (batch, heads)
        if self.training:
            scores = scores.masked_fill(dropped_heads(scores, self.mask_prob), -torch.inf)
        head_weights = scores.softmax(dim=1)  # (batch, heads)
        pooled = torch.einsum("bh,bhd->bd", head_weights, contexts)
        return pooled, Weights(frame_weights, head_weights)


def dropped_heads(scores: torch.Tensor, mask_prob: float) -> torch.Tensor:
    """Choose heads to drop: each with probability exactly ``mask_prob``, never all of an utterance.

    Dropping each head on its own would now and then drop all of them (and softmax gives NaN), and
    putting that right afterwards would change the probability. So the number of dropped heads is
    ``mask_prob * heads``, rounded up or down at random so that its mean is exact, and which heads
    they are is a random draw. A ``mask_prob`` above ``1 - 1 / heads`` counts as that.

    Parameters
    ----------
    scores : torch.Tensor
        ``(batch, heads)``.

    Returns
    -------
    torch.Tensor
        ``(batch, heads)``, bool.
    """
    batch, heads = scores.shape
    mean = min(mask_prob * heads, heads - 1)
    count = torch.floor(mean + torch.rand(batch, 1, device=scores.device))  # (batch, 1)
    rank = torch.rand(batch, heads, device=scores.device).argsort(dim=1).argsort(dim=1)
    return rank < count


def make_pooling(method: str, size: int, heads: int, mask_prob: float) -> nn.Module:
    """The pooling of that name for frame vectors of ``size`` values."""
    if method == "Statistics":
        return StatisticsPooling(size)
    if method == "Attention":
        return AttentionPooling(size)
    if method == "MHA":
        return MultiHeadAttentionPooling(size, heads)
    return DoubleMultiHeadAttentionPooling(size, heads, mask_prob)
