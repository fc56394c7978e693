"""Padding: frames past an utterance's end, which never change its embedding."""

import torch
from torch import Tensor

Lengths = Tensor | None  # (batch,), frames of each utterance; None: nothing is padded


def frame_mask(lengths: Tensor, frames: int) -> Tensor:
    """True where a frame belongs to the utterance: ``(batch, frames)``."""
    return torch.arange(frames, device=lengths.device) < lengths.unsqueeze(1)


def zero_padding(x: Tensor, lengths: Lengths) -> Tensor:
    """Set the frames past each utterance's end to zero: ``(batch, channels, frames, mels)``."""
    if lengths is None:
        return x
    mask = frame_mask(lengths, x.shape[2])[:, None, :, None].to(x.dtype)
    # A product keeps channels_last and costs nothing; masked_fill takes as long as the network.
    return x * mask if torch.is_grad_enabled() else x.mul_(mask)


def zero_before_relu(x: Tensor, lengths: Lengths) -> Tensor:
    """:func:`zero_padding` in place, unseen by autograd: the ReLU that follows has no gradient where it gives
    zero, so the way back needs no product (5 % of a training step)."""
    with torch.no_grad():
        return zero_padding(x, lengths)


def as_image(log_mels: Tensor, lengths: Lengths) -> Tensor:
    """``(batch, 1, frames, mels)`` with zeros for padding, whatever it held, even NaN."""
    if lengths is not None:
        log_mels = log_mels.masked_fill(~frame_mask(lengths, log_mels.shape[1]).unsqueeze(-1), 0)
    return log_mels.unsqueeze(1).contiguous(memory_format=torch.channels_last)


def halved(lengths: Lengths) -> Lengths:
    """Lengths after a stride of 2, rounded up; None (nothing is padded) stays None."""
    return None if lengths is None else (lengths + 1) // 2
