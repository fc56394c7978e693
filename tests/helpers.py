"""Constants and small makers of audio, corpora and calls that the tests share."""

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile as sf

ROOT = Path(__file__).parents[1]

BUNDLED = ROOT / "data" / "accents_mini"

RATE = 16_000

TINY = {
    "n_mels": 80,
    "channels": 16,
    "heads": 4,
    "embedding_size": 12,
    "batch_size": 8,
    "crop_seconds": 0.5,
    "max_epochs": 2,
    "precision": "float32",
}


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
    table = pd.DataFrame(rows).assign(speech="synthetic")
    (table if with_split else table.drop(columns="split")).to_csv(folder / "manifest.csv", index=False)
    return folder


NUMBERS = {"high": 0, "low": 1, "middle": 2}


def as_flags(values: dict) -> list[str]:
    """A configuration as the command line takes it."""
    return [text for name, value in values.items() for text in (f"--{name}", str(value))]


def train_argv(lists: Path, out_dir: Path, *more: str) -> list[str]:
    """The command of a small training in the published style."""
    data = f"{lists}/audio"
    return [
        "train", "--train_labels_path", f"{lists}/train.lst", "--valid-labels-path", f"{lists}/validation.lst",
        "--train_data_dir", data, "--valid_data_dir", data + "/", "--out_dir", str(out_dir),
        *as_flags(TINY | {"num_workers": 0}), *more,
    ]  # fmt: skip


def write_phones(corpus: Path, *spoken: str) -> pd.DataFrame:
    """Give each recording of a corpus these phones, 0.2 s each."""
    rows = [
        {"path": path, "start": 0.2 * i, "end": 0.2 * (i + 1), "phone": phone}
        for path in pd.read_csv(corpus / "manifest.csv")["path"]
        for i, phone in enumerate(spoken)
    ]
    pd.DataFrame(rows).to_csv(corpus / "phones.csv", index=False)
    return pd.DataFrame(rows)
