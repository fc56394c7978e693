"""From stored log-mels to padded batches that carry their lengths."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from .augment import training_window
from .config import Config
from .features import normalise
from .store import FeatureStore

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class WindowDataset(Dataset):
    """Random windows of the training utterances.

    An item is asked for by (epoch, index), and its random choices follow from the seed and these two
    alone: the same whatever the number of workers, and after a resume.
    """

    def __init__(self, store: FeatureStore, table: pd.DataFrame, labels: Sequence[str], config: Config):
        self.store, self.config = store, config
        self.paths = list(table["path"])
        self.targets = [labels.index(accent) for accent in table["accent"]]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, key: tuple[int, int]) -> tuple[np.ndarray, int]:
        epoch, index = key
        rng = np.random.default_rng((self.config.seed, epoch, index))
        log_mels = normalise(self.store[self.paths[index]], self.config.normalization)
        return training_window(log_mels, rng, self.config), self.targets[index]


class EpochSampler(Sampler):
    """Shuffled batches of (epoch, index), one epoch at a time; it can start within an epoch."""

    def __init__(self, size: int, batch_size: int, seed: int):
        self.size, self.batch_size, self.seed = size, batch_size, seed
        self.epoch = 0
        self.first_batch = 0

    def __len__(self) -> int:
        return max(1, self.size // self.batch_size)  # the rest of an epoch is left to other epochs

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.size)
        for batch in range(self.first_batch, len(self)):
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            yield [(self.epoch, int(index)) for index in chosen]


def pad(log_mels: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad arrays ``(frames, mels)`` with zeros: ``(batch, frames, mels)`` and lengths ``(batch,)``."""
    lengths = torch.tensor([len(x) for x in log_mels])
    padded = torch.zeros(len(log_mels), int(lengths.max()), log_mels[0].shape[1])
    for row, x in zip(padded, log_mels, strict=True):
        row[: len(x)] = torch.from_numpy(np.ascontiguousarray(x))
    return padded, lengths


def collate(items: list[tuple[np.ndarray, int]]) -> Batch:
    """Items of a :class:`WindowDataset` to a padded batch, its lengths and its targets."""
    windows, targets = zip(*items, strict=True)
    return *pad(windows), torch.tensor(targets)


def training_loader(
    store: FeatureStore, table: pd.DataFrame, labels: Sequence[str], config: Config
) -> DataLoader:
    """Batches of random windows; set ``loader.batch_sampler.epoch`` before each pass."""
    dataset = WindowDataset(store, table, labels, config)
    return DataLoader(
        dataset,
        batch_sampler=EpochSampler(len(dataset), config.batch_size, config.seed),
        collate_fn=collate,
        num_workers=config.num_workers,
        generator=torch.Generator(),  # else each pass draws from the generator of dropout
    )


def length_buckets(lengths: Sequence[int], frames_a_batch: int = 16_000) -> list[list[int]]:
    """Group indices of like lengths, so that a padded batch holds about so many frames and little padding."""
    order = sorted(range(len(lengths)), key=lambda i: lengths[i])
    buckets: list[list[int]] = []
    for index in order:
        if not buckets or (len(buckets[-1]) + 1) * lengths[index] > frames_a_batch:
            buckets.append([])
        buckets[-1].append(index)
    return buckets
