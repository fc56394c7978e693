"""From stored log-mels to padded batches that carry their lengths."""

import signal
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from ..config import SHORTEST_SLICE, Config, InputError
from ..corpora.phones import UNKNOWN, FramePhones
from ..features.audio import load_audio
from ..features.batches import pad
from ..features.log_mel import normalise, wave_log_mel
from ..features.store import FeatureStore, audio_beside
from .augment import augment_wave, training_window
from .processes import check_shares, rank, world_size

Batch = tuple[torch.Tensor, torch.Tensor | None, torch.Tensor, torch.Tensor | None]
Item = tuple[np.ndarray, int, np.ndarray | None]
Key = tuple[int, ...]


class WindowDataset(Dataset):
    """Random windows of the training utterances: log-mels, the accent's number, and the phones' where known.

    An item is asked for by (epoch, index, frames of the window), and where an epoch draws it again, how often
    it did so before. Its random choices follow from the seed and these alone: the same whatever the number of
    workers, and after a resume.
    """

    def __init__(
        self,
        store: FeatureStore,
        table: pd.DataFrame,
        labels: Sequence[str],
        config: Config,
        phones: FramePhones | None = None,
    ):
        self.store, self.config, self.phones = store, config, phones
        self.paths = list(table["path"])
        self.targets = [labels.index(accent) for accent in table["accent"]]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, key: Key) -> Item:
        epoch, index, frames, *again = key
        rng = np.random.default_rng((self.config.seed, epoch, index, *again))
        path = self.paths[index]
        log_mels = self.augmented(path, rng, frames) if self.config.wave_augment else self.store[path]
        log_mels = normalise(log_mels, self.config.normalization)
        phones = None if self.phones is None else self.phones.frames(path, len(log_mels))
        window, phones = training_window(log_mels, rng, self.config, frames, phones)
        return window, self.targets[index], phones

    def augmented(self, path: str, rng: np.random.Generator, frames: int) -> np.ndarray:
        """Log-mels ``(frames or more, mels)`` of a random piece of the utterance's wave, changed."""
        config = self.config
        wave = load_audio(audio_beside(path), config.sample_rate)
        # Only a piece, for a phase vocoder is slow; long enough for the fastest stretch and speed.
        seconds = 1.3 * (1 + config.speed_range) * frames * config.hop_seconds + config.window_seconds
        wanted = max(config.n_fft, round(seconds * config.sample_rate))
        start = rng.integers(0, max(0, len(wave) - wanted) + 1)
        wave = wave[start : start + wanted]
        changed = augment_wave(wave, config.sample_rate, rng)
        return wave_log_mel(changed if len(changed) >= config.n_fft else wave, config)


class EpochSampler(Sampler):
    """Shuffled batches of keys of a :class:`WindowDataset`, one epoch at a time; it can start within an epoch.

    With ``random_slicing`` all windows of a batch are cut to one random length. With ``clips_per_speaker``
    an epoch has at most so many clips of a speaker, others each time. With ``balance`` "sampling" it has as
    many of each accent, those of the rarer ones more than once, each time another window. Of several processes
    (:mod:`accentlib.training.processes`) each has every so manieth key of each batch.

    Parameters
    ----------
    targets : sequence of int
        Class number of each clip.
    config : Config
        The fields named above, ``batch_size``, ``crop_seconds`` and ``seed``.
    speakers : sequence of str, optional
        Who speaks in each, for ``clips_per_speaker``.
    """

    def __init__(self, targets: Sequence[int], config: Config, speakers: Sequence[str] | None = None):
        self.config = config
        self.targets = np.asarray(targets)
        self.speakers = pd.factorize(np.asarray(speakers))[0] if config.clips_per_speaker else None
        self.frames = round(config.crop_seconds / config.hop_seconds)
        self.shortest = self.frames
        if config.random_slicing:
            self.shortest = round(SHORTEST_SLICE / config.hop_seconds)
        self.epoch = 0
        self.first_batch = 0
        self.draws = len(self.order())  # the same in every epoch
        if config.balance == "sampling":
            accents = len(set(self.targets))
            self.draws = max(1, self.draws // accents) * accents
        check_shares(config, self.draws)

    def __len__(self) -> int:
        return max(1, self.draws // self.config.batch_size)  # the rest of an epoch is left to other epochs

    def order(self) -> np.ndarray:
        """The clips of this epoch ``(clips,)``, shuffled; capped, but not balanced yet."""
        order = np.random.default_rng((self.config.seed, self.epoch)).permutation(len(self.targets))
        if self.speakers is None:
            return order
        earlier = pd.Series(self.speakers[order]).groupby(self.speakers[order]).cumcount().to_numpy()
        return order[earlier < self.config.clips_per_speaker]

    def keys(self) -> list[tuple[int, ...]]:
        """(index,) of each draw of this epoch, or (index, times that it was drawn before)."""
        order = self.order()
        if self.config.balance != "sampling":
            return [(int(index),) for index in order]
        accents = sorted(set(self.targets))
        each = self.draws // len(accents)
        drawn = []
        for accent in accents:
            own = order[self.targets[order] == accent]
            drawn += [(int(own[i % len(own)]), i // len(own)) for i in range(each)]
        shuffled = np.random.default_rng((self.config.seed, self.epoch, len(order))).permutation(len(drawn))
        return [drawn[i] if drawn[i][1] else drawn[i][:1] for i in shuffled]

    def __iter__(self) -> Iterator[list[Key]]:
        keys, size = self.keys(), self.config.batch_size
        for batch in range(self.first_batch, len(self)):
            rng = np.random.default_rng((self.config.seed, self.epoch, batch))
            frames = int(rng.integers(self.shortest, self.frames + 1))
            chosen = keys[batch * size : (batch + 1) * size]
            own = chosen[rank() :: world_size()]
            yield [(self.epoch, index, frames, *again) for index, *again in own]

    def class_weights(self, classes: int) -> np.ndarray:
        """Weights of the loss ``(classes,)`` that make each accent count alike: all / (accents * its clips)."""
        counts = np.bincount(self.targets[self.order()], minlength=classes)
        return (counts.sum() / (np.count_nonzero(counts) * np.maximum(counts, 1))).astype(np.float32)


def collate(items: list[Item]) -> Batch:
    """Items of a :class:`WindowDataset` to a padded batch, its lengths (or None), targets and phones (or None)."""
    windows, targets, phones = zip(*items, strict=True)
    log_mels, lengths = pad(windows)
    numbers = None
    if phones[0] is not None:
        numbers = torch.full(log_mels.shape[:2], UNKNOWN)  # (batch, frames)
        for row, x in zip(numbers, phones, strict=True):
            row[: len(x)] = torch.from_numpy(x)
    return log_mels, lengths, torch.tensor(targets), numbers


def check_training(table: pd.DataFrame, config: Config) -> None:
    """Raise an InputError if training utterances cannot be drawn or changed as the configuration wants."""
    if config.clips_per_speaker and "speaker" not in table:
        raise InputError("clips_per_speaker needs to know who speaks; label files do not say it")
    if config.wave_augment:
        without = next((path for path in table["path"] if audio_beside(path) is None), None)
        if without:
            raise InputError(f"wave_augment needs the audio: there is none beside {without}")
    if (config.wave_augment or config.tract_range) and not config.sample_rate:
        raise InputError("the features do not say their sample rate; give it by --sample_rate")
    if config.phone_weight and config.wave_augment:
        raise InputError("wave_augment moves the phones: with it, phone_weight must be 0")


class Loader(DataLoader):
    """A DataLoader whose processes leave Ctrl-C and SIGTERM, which all processes are sent, to the one that trains."""

    def __iter__(self) -> Iterator[Batch]:
        if not self.num_workers or not hasattr(signal, "pthread_sigmask"):  # Windows
            return super().__iter__()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
        try:
            return super().__iter__()  # starts them; they keep what is blocked
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def training_loader(
    store: FeatureStore,
    table: pd.DataFrame,
    labels: Sequence[str],
    config: Config,
    phones: FramePhones | None = None,
) -> DataLoader:
    """Batches of random windows; set ``loader.batch_sampler.epoch`` before each pass.

    Raises InputError if the configuration asks for what these utterances do not allow.
    """
    check_training(table, config)
    dataset = WindowDataset(store, table, labels, config, phones)
    return Loader(
        dataset,
        batch_sampler=EpochSampler(dataset.targets, config, table.get("speaker")),
        collate_fn=collate,
        num_workers=config.num_workers,
        generator=torch.Generator(),  # else each pass draws from the generator of dropout
    )
