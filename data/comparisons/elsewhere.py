"""A cross-validation's networks on their test speakers, recorded elsewhere: with noise, or in a room.

    python data/comparisons/elsewhere.py RUN [RUN ...] --data CORPUS

RUN is the ``--out_dir`` of ``accentlib crossvalidate``; several make up one cross-validation. White noise lies 20 dB below
the recording's power. A room is an impulse and a tail of noise of the same energy, 60 dB less in RT60. Writes a row for
each network to ``people_elsewhere.csv``, and prints means over seeds, with intervals over speakers.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import fftconvolve

from accentlib import load_model, predict, read_corpus, select
from accentlib.corpora.splits import fold_splits
from accentlib.embeddings.metrics import classification_metrics, percent_interval, speaker_interval
from accentlib.features.audio import load_audio

ROWS = Path(__file__).with_name("people_elsewhere.csv")


def noisy(wave: np.ndarray, decibels: float, rng: np.random.Generator) -> np.ndarray:
    """The wave with white noise, ``decibels`` below its power."""
    white = rng.standard_normal(len(wave)) * np.sqrt((wave**2).mean() * 10 ** (-decibels / 10))
    return (wave + white).astype(np.float32)


def in_room(wave: np.ndarray, rt60: float, rate: int, rng: np.random.Generator) -> np.ndarray:
    """The wave in a room: its tail has the energy of the direct sound, and decays by 60 dB in ``rt60`` s."""
    times = np.arange(round(1.5 * rt60 * rate)) / rate
    tail = rng.standard_normal(len(times)) * 10 ** (-3 * times / rt60)
    tail[: round(0.002 * rate)] = 0  # the first reflection comes after 2 ms
    tail /= np.sqrt((tail**2).sum())
    return (wave + fftconvolve(wave, tail)[: len(wave)]).astype(np.float32)


def sounds(wave: np.ndarray, rate: int, seed: int) -> dict[str, np.ndarray]:
    """The wave as it is, and elsewhere."""
    rng = np.random.default_rng(seed)
    return {
        "clean": wave,
        "white noise, 20 dB": noisy(wave, 20, rng),
        "room, RT60 0.6 s": in_room(wave, 0.6, rate, rng),
    }


def main() -> None:
    """Predict, write, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--name", default="", help="for the rows: where the phones came from")
    given = parser.parse_args()
    corpus, predictions = read_corpus(given.data, split=False), []
    for file in sorted(path for run in given.runs for path in run.glob("fold*/seed*/best.pt")):
        fold, seed = (int(part[4:]) for part in file.parts[-3:-1])
        model, test = load_model(file), select(fold_splits(corpus, fold, 5), "test")
        rate = model.config.sample_rate
        waves = [sounds(load_audio(path, rate), rate, seed=i) for i, path in enumerate(test["path"])]
        for sound in waves[0]:
            answers = predict(model, [(wave[sound], rate) for wave in waves])
            key = {"phones": given.name, "fold": fold, "seed": seed, "sound": sound}
            rows = test[["speaker", "accent"]].assign(predicted=answers["nearest"].to_numpy(), **key)
            predictions.append(rows)
            figures = classification_metrics(rows["accent"], rows["predicted"], model.labels)
            row = key | {"speakers": len(rows), "balanced_accuracy": round(figures["balanced_accuracy"], 3)}
            pd.DataFrame([row]).to_csv(ROWS, mode="a", header=not ROWS.is_file(), index=False)
            print(row, flush=True)
    for sound, rows in pd.concat(predictions).groupby("sound", sort=False):
        wide = rows.pivot(index=["speaker", "accent"], columns="seed", values="predicted")
        speakers, truth = (wide.index.get_level_values(name) for name in ("speaker", "accent"))
        labels = sorted(set(truth))
        each = [classification_metrics(truth, wide[seed], labels)["balanced_accuracy"] for seed in wide]
        interval = speaker_interval(truth.to_numpy(), wide.to_numpy(), speakers)
        print(f"{sound}: {percent_interval(float(np.mean(each)), interval)} of {len(wide)} speakers")


if __name__ == "__main__":
    main()
