"""Padded batches of random training windows, with their lengths."""

import signal
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, Sampler

from ..config import SHORTEST_SLICE, Config, InputError
from ..corpora.phones import UNKNOWN, FramePhones
from ..features.audio import load_audio
from ..features.batches import pad
from ..features.log_mel import normalise, wave_log_mel
from ..features.store import FeatureStore, audio_beside, clip_ids
from .augment import augment_wave, noise_and_rooms, training_window
from .processes import rank, world_size

Batch = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor, torch.Tensor | None]
Key = tuple[int, ...]


class WindowDataset(Dataset):
    """Random windows of training clips: log-mels, the accent's number, and phone numbers or None. Random
    choices follow from the seed and the key: (epoch, index, frames), and the clip's earlier draws if any."""

    def __init__(self, store: FeatureStore, table: pd.DataFrame, labels: Sequence[str], config: Config,
                 phones: FramePhones | None = None):  # fmt: skip
        self.store, self.config, self.phones = store, config, phones
        self.clips = list(zip(clip_ids(table), table["path"].tolist(), strict=True))
        self.targets = table["accent"].map({name: i for i, name in enumerate(labels)}).tolist()

    def __getitem__(self, key: Key) -> tuple[np.ndarray, int, np.ndarray | None]:
        epoch, index, frames, *again = key
        config, (clip, path) = self.config, self.clips[index]
        rng = np.random.default_rng((config.seed, epoch, index, *again))
        log_mels = self.augmented(path, rng, frames) if config.wave_augment else self.store[clip]
        if config.noise_and_rooms:
            log_mels = noise_and_rooms(log_mels, rng, config)
        log_mels = normalise(log_mels, config.normalization)
        phones = None if self.phones is None else self.phones.frames(clip, len(log_mels))
        window, phones = training_window(log_mels, rng, config, frames, phones)
        return window, self.targets[index], phones

    def augmented(self, path: str, rng: np.random.Generator, frames: int) -> np.ndarray:
        """Log-mels ``(frames or more, mels)`` of a random, augmented piece of a clip's wave."""
        config, wave = self.config, load_audio(audio_beside(path) or path, self.config.sample_rate)
        # A piece only, as a phase vocoder is slow; long enough for the fastest stretch and speed.
        seconds = 1.3 * (1 + config.speed_range) * frames * config.hop_seconds + config.window_seconds
        wanted = max(config.n_fft, round(seconds * config.sample_rate))
        wave = wave[rng.integers(0, max(0, len(wave) - wanted) + 1) :][:wanted]
        changed = augment_wave(wave, config.sample_rate, rng)
        return wave_log_mel(changed if len(changed) >= config.n_fft else wave, config)


class EpochSampler(Sampler):
    """Shuffled batches of keys of a :class:`WindowDataset`, one epoch at a time, from ``first_batch`` on.
    Each process takes every ``world_size``-th key. ``random_slicing`` cuts a batch to one random length."""

    def __init__(self, targets: Sequence[int], config: Config, speakers: Sequence[str] | None = None):
        self.config, self.targets = config, np.asarray(targets)
        self.speakers = pd.Series(speakers).to_numpy() if config.clips_per_speaker else None
        self.longest = round(config.crop_seconds / config.hop_seconds)
        self.shortest = round(SHORTEST_SLICE / config.hop_seconds) if config.random_slicing else self.longest
        self.epoch = self.first_batch = 0
        accents = len(set(self.targets)) if config.balance == "sampling" else 1
        self.draws = max(1, len(self.order()) // accents) * accents  # the same in every epoch
        if config.batch_size % world_size():
            raise InputError(f"{world_size()} processes cannot share a batch_size of {config.batch_size}")
        if world_size() > 1 and self.draws < config.batch_size:
            raise InputError(f"{self.draws} training clips do not fill a batch_size of {config.batch_size}")

    def __len__(self) -> int:
        return max(1, self.draws // self.config.batch_size)  # other epochs draw the rest

    def order(self) -> np.ndarray:
        """This epoch's clips ``(clips,)``, shuffled, at most ``clips_per_speaker``; not balanced yet."""
        order = np.random.default_rng((self.config.seed, self.epoch)).permutation(len(self.targets))
        if self.speakers is None:
            return order
        return pd.Series(order).groupby(self.speakers[order]).head(self.config.clips_per_speaker).to_numpy()

    def keys(self) -> list[Key]:
        """(index,) of each draw of this epoch, or (index, number of earlier draws) of a clip drawn again."""
        order = self.order()
        if self.config.balance != "sampling":
            return [(int(index),) for index in order]
        clips = [order[self.targets[order] == accent] for accent in sorted(set(self.targets))]
        each = range(self.draws // len(clips))
        drawn = [(int(own[i % len(own)]), i // len(own)) for own in clips for i in each]
        shuffled = np.random.default_rng((self.config.seed, self.epoch, len(order))).permutation(len(drawn))
        return [drawn[i] if drawn[i][1] else drawn[i][:1] for i in shuffled]

    def __iter__(self) -> Iterator[list[Key]]:
        keys, size = self.keys(), self.config.batch_size
        for batch in range(self.first_batch, len(self)):
            rng = np.random.default_rng((self.config.seed, self.epoch, batch))
            frames = int(rng.integers(self.shortest, self.longest + 1))
            own = keys[batch * size : (batch + 1) * size][rank() :: world_size()]
            yield [(self.epoch, index, frames, *again) for index, *again in own]

    def class_weights(self, classes: int) -> torch.Tensor:
        """Loss weights ``(classes,)`` that balance accents: clips / (accents * clips of the accent)."""
        counts = np.bincount(self.targets[self.order()], minlength=classes)
        weights = counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))
        return torch.from_numpy(weights.astype(np.float32))


def collate(items: list[tuple]) -> Batch:
    """A padded batch of items: log-mels, lengths or None, targets, and phones or None."""
    windows, targets, phones = zip(*items, strict=True)
    numbers = None if phones[0] is None else pad_sequence([*map(torch.from_numpy, phones)], True, UNKNOWN)
    return *pad(windows), torch.tensor(targets), numbers


class Loader(DataLoader):
    """A DataLoader whose workers ignore Ctrl-C and SIGTERM, which reach all processes; the trainer reacts."""

    batch_sampler: EpochSampler

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]  # PyTorch names a private class
        if not self.num_workers or not hasattr(signal, "pthread_sigmask"):  # Windows
            return super().__iter__()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            return super().__iter__()  # starts workers, which inherit the mask
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def training_loader(store: FeatureStore, table: pd.DataFrame, labels: Sequence[str], config: Config,
                    phones: FramePhones | None = None) -> Loader:  # fmt: skip
    """Batches of random windows; set ``loader.batch_sampler.epoch`` before each pass."""
    if config.clips_per_speaker and "speaker" not in table:
        raise InputError("clips_per_speaker needs a column speaker, which label files lack")
    if config.wave_augment and (without := next((p for p in table["path"] if not audio_beside(p)), None)):
        raise InputError(f"wave_augment needs the audio: there is none beside {without}")
    if (config.wave_augment or config.tract_range or config.noise_and_rooms) and not config.sample_rate:
        raise InputError("the features do not name their sample rate; give --sample_rate")
    if config.phone_weight and config.wave_augment:
        raise InputError("wave_augment moves the phones: with it, phone_weight must be 0")
    data = WindowDataset(store, table, labels, config, phones)
    sampler, workers = EpochSampler(data.targets, config, table.get("speaker")), config.num_workers
    own = torch.Generator()  # else each pass would draw dropout's numbers
    return Loader(data, batch_sampler=sampler, collate_fn=collate, num_workers=workers, generator=own)
