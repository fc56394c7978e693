"""Small corpora, audio files and configurations that the tests share."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from accentlib.config import Config

ROOT = Path(__file__).parents[1]
BUNDLED = ROOT / "data" / "accents_mini"
RATE = 16_000

TINY = {
    "kernel_size": 16,
    "heads_number": 4,
    "embedding_size": 12,
    "batch_size": 8,
    "window_size": 0.5,
    "max_epochs": 2,
    "precision": "float32",
}


@pytest.fixture
def tiny() -> Config:
    """A network of a few thousand weights, at 16 kHz."""
    return Config.laptop(sample_rate=RATE, **TINY)


def tone(frequency: float, seconds: float = 0.6, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """A wave (samples,) with harmonics and a little noise."""
    t = np.arange(round(seconds * rate)) / rate
    wave = sum(np.sin(2 * np.pi * k * frequency * t) / k for k in (1, 2, 3))
    return (0.2 * wave + 0.005 * np.random.default_rng(seed).normal(size=t.shape)).astype(np.float32)


def write_corpus(folder: Path, *, speakers: int = 5, clips: int = 3, with_split: bool = True) -> Path:
    """Three "accents" told apart by pitch; lengths differ."""
    rows = []
    for a, accent in enumerate(("high", "low", "middle")):
        for s in range(speakers):
            for c in range(clips):
                path = f"{accent}_{s}_{c}.wav"
                wave = tone((900, 150, 400)[a] * (1 + 0.02 * s), 0.5 + 0.1 * c, seed=s * 10 + c)
                folder.mkdir(parents=True, exist_ok=True)
                sf.write(folder / path, wave, RATE)
                split = "validation" if s == 0 else "test" if s == 1 else "train"
                rows.append({"path": path, "accent": accent, "speaker": f"{accent}{s}", "split": split})
    table = pd.DataFrame(rows)
    (table if with_split else table.drop(columns="split")).to_csv(folder / "manifest.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def corpus_dir(tmp_path_factory) -> Path:
    """A folder with a manifest and 45 short clips."""
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def bundled() -> pd.DataFrame:
    """The bundled corpus."""
    from accentlib.corpus import read_corpus

    return read_corpus(BUNDLED)


NUMBERS = {"high": 0, "low": 1, "middle": 2}


def as_flags(values: dict) -> list[str]:
    """A configuration as the command line takes it."""
    return [text for name, value in values.items() for text in (f"--{name}", str(value))]


@pytest.fixture(scope="session")
def lists(tmp_path_factory) -> Path:
    """A folder as a user of the published trainer has it, features extracted: 45 files of 15 voices."""
    folder = tmp_path_factory.mktemp("published")
    table = pd.read_csv(write_corpus(folder / "audio") / "manifest.csv")
    names = table["path"].str.removesuffix(".wav")
    (folder / "files.lst").write_text("\n".join(f"{folder}/audio/{name}" for name in names) + "\n")
    for split, rows in table.groupby("split"):
        lines = [f"{names[i]} {NUMBERS[rows['accent'][i]]} -1\n" for i in rows.index]
        (folder / f"{split}.lst").write_text("".join(lines))
    (folder / "clients.ndx").write_text("low_0_0 low_0_1\nhigh_0_0 high_0_1\n")
    (folder / "impostors.ndx").write_text("low_0_0 high_0_1\nmiddle_0_0 high_0_1\n")
    from accentlib.__main__ import main

    assert main(["features", "-i", str(folder / "files.lst")]) == 0
    return folder


def train_argv(lists: Path, out_dir: Path, *more: str) -> list[str]:
    """The command of a small training in the published style."""
    data = f"{lists}/audio"
    return [
        "train", "--train_labels_path", f"{lists}/train.lst", "--valid-labels-path", f"{lists}/validation.lst",
        "--train_data_dir", data, "--valid_data_dir", data + "/", "--out_dir", str(out_dir),
        *as_flags(TINY | {"num_workers": 0}), *more,
    ]  # fmt: skip
