"""A cross-validation's networks on their test speakers, recorded elsewhere: with noise, or in a room.

    python data/comparisons/elsewhere.py RUN [RUN ...] --data CORPUS

RUN is the ``--out_dir`` of ``accentlib crossvalidate``; several make up one cross-validation. White noise lies 20 dB below
the recording's power. A room is an impulse and a tail of noise of the same energy, 60 dB less in RT60. Writes a row for
each network to ``people_elsewhere.csv``, and prints means over seeds, with intervals over speakers, and calibration errors.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.signal import fftconvolve

from accentlib import AccentNet, load_model, read_corpus, select
from accentlib.corpora.splits import fold_splits
from accentlib.embeddings.calibration import cut_clips, softmax
from accentlib.embeddings.inference import forward_log_mels
from accentlib.embeddings.metrics import (
    classification_metrics,
    expected_calibration_error,
    percent_interval,
    speaker_interval,
)
from accentlib.features.audio import load_audio
from accentlib.features.log_mel import wave_log_mel

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


def networks(runs: Sequence[Path], ensembles: bool) -> Iterator[tuple[AccentNet, int, str]]:
    """Each network (or ensemble) of cross-validations with its fold and seed."""
    pattern = "fold*/ensemble.pt" if ensembles else "fold*/seed*/best.pt"
    for file in sorted(path for run in runs for path in run.glob(pattern)):
        fold, last = file.relative_to(file.parents[1 if ensembles else 2]).parts[:2]
        yield load_model(file), int(fold[4:]), "all" if ensembles else last[4:]


def answers(model: AccentNet, waves: list[np.ndarray], test: pd.DataFrame) -> pd.DataFrame:
    """A row for each clip of ``evaluation_window`` s and each whole recording: predicted, probabilities."""
    log_mels = [wave_log_mel(wave, model.config) for wave in waves]
    clips, of = cut_clips(log_mels, model.config)
    parts = []
    for unit, x, own in (("clip", clips, test.iloc[of]), ("speaker", log_mels, test)):
        probabilities = softmax(forward_log_mels(model, x)[1], model.calibration.temperature)
        part = own[["speaker", "accent"]].reset_index(drop=True).assign(unit=unit, number=range(len(x)))
        part[model.labels] = probabilities
        parts.append(part.assign(predicted=np.array(model.labels)[probabilities.argmax(1)]))
    return pd.concat(parts)


def report(rows: pd.DataFrame, labels: list[str]) -> str:
    """Balanced accuracy, mean over seeds, with its interval over speakers, and expected calibration error."""
    wide = rows.pivot(index=["fold", "number", "speaker", "accent"], columns="seed", values="predicted")
    speakers, truth = (wide.index.get_level_values(name).to_numpy() for name in ("speaker", "accent"))
    each = [classification_metrics(truth, wide[seed], labels)["balanced_accuracy"] for seed in wide]
    accuracy = percent_interval(float(np.mean(each)), speaker_interval(truth, wide.to_numpy(), speakers))
    numbers = rows["accent"].map(labels.index).to_numpy()
    error = expected_calibration_error(rows[labels].to_numpy(), numbers)
    return f"{accuracy} of {len(set(speakers))} speakers; calibration error {error:.1%}"


def main() -> None:
    """Predict, write, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--name", default="", help="for the rows: where the phones came from")
    parser.add_argument("--ensembles", action="store_true", help="of all seeds, instead of each network")
    given = parser.parse_args()
    corpus, predictions, heard = read_corpus(given.data, split=False), [], {}
    for model, fold, seed in networks(given.runs, given.ensembles):
        test, rate = select(fold_splits(corpus, fold, 5), "test"), model.config.sample_rate
        if fold not in heard:
            waves = (load_audio(path, rate) for path in test["path"])
            heard = {fold: [sounds(wave, rate, seed=i) for i, wave in enumerate(waves)]}  # of one fold
        for sound in heard[fold][0]:
            key = {"phones": given.name, "fold": fold, "seed": seed, "sound": sound}
            rows = answers(model, [waves[sound] for waves in heard[fold]], test).assign(**key)
            predictions.append(rows)
            own = rows[rows["unit"] == "speaker"]
            figures = classification_metrics(own["accent"], own["predicted"], model.labels)
            row = key | {"speakers": len(own), "balanced_accuracy": round(figures["balanced_accuracy"], 3)}
            pd.DataFrame([row]).to_csv(ROWS, mode="a", header=not ROWS.is_file(), index=False)
            print(row, flush=True)
    for (sound, unit), rows in pd.concat(predictions).groupby(["sound", "unit"], sort=False):
        print(f"{sound}, a {unit}: {report(rows, model.labels)}")


if __name__ == "__main__":
    main()
