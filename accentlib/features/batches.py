"""Clips of unequal length in one padded batch."""

from collections.abc import Sequence

import numpy as np
import torch


def pad(log_mels: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Pad with zeros to ``(batch, frames, mels)``; also lengths ``(batch,)``, or None: nothing to mask."""
    lengths = torch.tensor([len(x) for x in log_mels])
    padded = torch.zeros(len(log_mels), int(lengths.max()), log_mels[0].shape[1])
    for row, x in zip(padded, log_mels, strict=True):
        row[: len(x)] = torch.from_numpy(np.ascontiguousarray(x))
    return padded, None if bool((lengths == padded.shape[1]).all()) else lengths


def length_buckets(lengths: Sequence[int], frames_a_batch: int = 8_000) -> list[list[int]]:
    """Group indices of similar lengths, so that a padded batch has at most ``frames_a_batch`` frames."""
    buckets: list[list[int]] = []
    for index in sorted(range(len(lengths)), key=lambda i: lengths[i]):
        if not buckets or (len(buckets[-1]) + 1) * lengths[index] > frames_a_batch:
            buckets.append([])
        buckets[-1].append(index)
    return buckets
