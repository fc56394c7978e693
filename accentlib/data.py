"""From stored log-mels to padded batches that carry their lengths."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from .audio import load_audio
from .augment import augment_wave, training_window
from .config import SHORTEST_SLICE, Config, InputError
from .corpus import audio_beside
from .features import normalise, wave_log_mel
from .store import FeatureStore

Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
Key = tuple[int, int, int]


class WindowDataset(Dataset):
    """Random windows of the training utterances.

    An item is asked for by (epoch, index, frames of the window), and its random choices follow from the
    seed and these alone: the same whatever the number of workers, and after a resume.
    """

    def __init__(self, store: FeatureStore, table: pd.DataFrame, labels: Sequence[str], config: Config):
        self.store, self.config = store, config
        self.paths = list(table["path"])
        self.targets = [labels.index(accent) for accent in table["accent"]]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, key: Key) -> tuple[np.ndarray, int]:
        epoch, index, frames = key
        rng = np.random.default_rng((self.config.seed, epoch, index))
        path = self.paths[index]
        log_mels = self.augmented(path, rng, frames) if self.config.wave_augment else self.store[path]
        log_mels = normalise(log_mels, self.config.normalization)
        return training_window(log_mels, rng, self.config, frames), self.targets[index]

    def augmented(self, path: str, rng: np.random.Generator, frames: int) -> np.ndarray:
        """Log-mels ``(frames or more, mels)`` of a random piece of the utterance's wave, changed."""
        config = self.config
        wave = load_audio(audio_beside(path), config.sample_rate)
        # Only a piece, for a phase vocoder is slow; long enough for the fastest stretch and speed.
        seconds = 1.3 * (1 + config.speed_range) * frames * config.hop_length + config.win_length
        wanted = max(config.n_fft, round(seconds * config.sample_rate))
        start = rng.integers(0, max(0, len(wave) - wanted) + 1)
        wave = wave[start : start + wanted]
        changed = augment_wave(wave, config.sample_rate, rng)
        return wave_log_mel(changed if len(changed) >= config.n_fft else wave, config)


class EpochSampler(Sampler):
    """Shuffled batches of (epoch, index, frames), one epoch at a time; it can start within an epoch.

    With ``random_slicing`` all windows of a batch are cut to one random length.
    """

    def __init__(self, size: int, config: Config):
        self.size, self.batch_size, self.seed = size, config.batch_size, config.seed
        self.frames = round(config.window_size / config.hop_length)
        self.shortest = self.frames
        if config.random_slicing:
            self.shortest = round(SHORTEST_SLICE / config.hop_length)
        self.epoch = 0
        self.first_batch = 0

    def __len__(self) -> int:
        return max(1, self.size // self.batch_size)  # the rest of an epoch is left to other epochs

    def __iter__(self) -> Iterator[list[Key]]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.size)
        for batch in range(self.first_batch, len(self)):
            chosen = order[batch * self.batch_size : (batch + 1) * self.batch_size]
            rng = np.random.default_rng((self.seed, self.epoch, batch))
            frames = int(rng.integers(self.shortest, self.frames + 1))
            yield [(self.epoch, int(index), frames) for index in chosen]


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


def check_augmentation(table: pd.DataFrame, config: Config) -> None:
    """Raise an InputError if training utterances cannot be changed as the configuration wants."""
    if config.wave_augment:
        without = next((path for path in table["path"] if audio_beside(path) is None), None)
        if without:
            raise InputError(f"wave_augment needs the audio: there is none beside {without}")
    if (config.wave_augment or config.tract_range) and not config.sample_rate:
        raise InputError("the features do not say their sample rate; give it by --sample_rate")


def training_loader(
    store: FeatureStore, table: pd.DataFrame, labels: Sequence[str], config: Config
) -> DataLoader:
    """Batches of random windows; set ``loader.batch_sampler.epoch`` before each pass.

    Raises InputError if the configuration asks for augmentation that these utterances do not allow.
    """
    check_augmentation(table, config)
    dataset = WindowDataset(store, table, labels, config)
    return DataLoader(
        dataset,
        batch_sampler=EpochSampler(len(dataset), config),
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
