"""The published trainer's way, for comparison: written anew from what is known of it, as slow as it is.

Features: librosa file by file, n_fft 2048, the filters made for each, one float64 pickle an utterance. Training: a
pickle read an utterance, NCHW in float32, scores of every head against every head of which the diagonal is kept,
accuracy by a loop.
"""

import pickle
from pathlib import Path

import librosa
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn


def extract(path: str, target: Path) -> None:
    """Write the log-mels ``(mels, frames)`` of an audio file."""
    wave, rate = librosa.load(path, sr=None)
    wave = wave * 32768
    wave = np.append((1 - 0.97) * wave[0], wave[1:] - 0.97 * wave[:-1])
    options = {"hop_length": round(0.010 * rate), "win_length": round(0.025 * rate), "window": "hamming"}
    magnitudes = np.abs(librosa.stft(wave, n_fft=2048, center=False, **options))
    filters = librosa.filters.mel(sr=rate, n_fft=2048, n_mels=80, fmin=0, fmax=rate // 2, norm=None)
    with target.open("wb") as file:
        pickle.dump(np.log(np.maximum(1, filters @ magnitudes)).astype(np.float64), file)


class Pickles(torch.utils.data.Dataset):
    """A random window of each utterance, read from its pickle each time."""

    def __init__(self, paths: list[Path], labels: list[int], frames: int):
        self.paths, self.labels, self.frames = paths, labels, frames

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with self.paths[index].open("rb") as file:
            features = pickle.load(file).T
        features = features - features.mean(axis=0)
        start = np.random.default_rng().integers(0, max(1, len(features) - self.frames))
        window = features[start : start + self.frames]
        window = np.pad(window, ((0, self.frames - len(window)), (0, 0)))
        return torch.FloatTensor(window), self.labels[index]


class Network(nn.Module):
    """VGG4L, double multi-head attention, embedding and AM-Softmax."""

    def __init__(self, channels: int, heads: int, accents: int, size: int = 400):
        super().__init__()
        widths = [1, channels // 8, channels // 4, channels // 2, channels]
        self.convolutions = nn.ModuleList(
            nn.Conv2d(a if first else b, b, 3, padding=1)
            for a, b in zip(widths[:-1], widths[1:], strict=True)
            for first in (True, False)
        )
        self.heads, encoded = heads, channels * 5
        self.query = nn.Parameter(torch.randn(encoded // heads, heads) * 0.1)
        self.head_query = nn.Parameter(torch.randn(encoded // heads, 1) * 0.1)
        self.fc1, self.fc2, self.fc3 = (
            nn.Linear(encoded // heads, size),
            nn.Linear(size, size),
            nn.Linear(size, size),
        )
        self.norm = nn.BatchNorm1d(size)
        self.classes = nn.Parameter(torch.randn(size, accents))

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``(batch, frames, mels)`` to scores with and without the margin, ``(batch, accents)``."""
        x = x.view(len(x), 1, x.shape[1], x.shape[2])
        for i, convolution in enumerate(self.convolutions):
            x = F.relu(convolution(x))
            if i % 2:
                x = F.max_pool2d(x, 2, stride=2, ceil_mode=True)
        x = x.transpose(1, 2).contiguous().view(len(x), x.shape[2], -1)  # (batch, frames, channels * mels)
        parts = x.view(len(x), x.shape[1], self.heads, -1)  # (batch, frames, heads, size)
        scores = torch.matmul(parts, self.query)  # (batch, frames, heads, heads)
        scores = torch.diagonal(scores, dim1=2, dim2=3) / self.heads**0.5  # (batch, frames, heads)
        weights = F.softmax(scores, dim=1)
        contexts = (weights.unsqueeze(-1) * parts).sum(dim=1)  # (batch, heads, size)
        kept = F.softmax(torch.matmul(contexts, self.head_query), dim=1)
        x = (kept * contexts).sum(dim=1)
        x = self.norm(F.relu(self.fc2(F.relu(self.fc1(x)))))
        cosines = F.normalize(self.fc3(x)) @ F.normalize(self.classes, dim=0)
        margin = torch.zeros_like(cosines).scatter_(1, labels.view(-1, 1), 0.4)
        return 30 * cosines, 30 * (cosines - margin)


def accuracy(scores: torch.Tensor, labels: torch.Tensor) -> float:
    """The share of right answers, one by one."""
    right = 0.0
    for row, label in zip(scores, labels, strict=True):
        if torch.argmax(row) == label:
            right += 1
    return right / len(labels)


def train_step(
    network: Network, optimizer: torch.optim.Optimizer, batch: tuple[torch.Tensor, torch.Tensor]
) -> None:
    """One update of the network."""
    windows, labels = batch
    scores, margin_scores = network(windows, labels)
    loss = F.cross_entropy(margin_scores, labels)
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    accuracy(scores, labels)
