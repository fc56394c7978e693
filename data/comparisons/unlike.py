"""What a cross-validation's networks call unlike anything I know: recordings of people, other voices, music, noise.

    python data/comparisons/unlike.py RUN [RUN ...] --data CORPUS --voices OTHER [OTHER ...]

RUN is the ``--out_dir`` of ``accentlib crossvalidate`` on CORPUS; its networks hear their own unseen speakers, clean, in noise
and in a room, up to 100 clips of each corpus OTHER, and 20 sounds of each kind that this file makes, of 6 s at 16 kHz.
Prints for each kind the share of recordings that are refused: of people it should be small, of all else large.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from elsewhere import networks, sounds

from accentlib import infer, read_corpus, select
from accentlib.corpora.splits import fold_splits
from accentlib.features.audio import load_audio

RATE, SECONDS, COUNT = 16_000, 6, 20
TIME = np.arange(RATE * SECONDS) / RATE


def partials(pitch: float, seconds: float, shape: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A tone of six partials, Hz, with an envelope over its time in s."""
    t = np.arange(round(seconds * RATE)) / RATE
    return shape(t) * sum(np.sin(2 * np.pi * k * pitch * t) / k for k in range(1, 7))


def notes(rng: np.random.Generator, low: float, every: float, decay: float, together: int = 1) -> np.ndarray:
    """Plucked notes of a random tune: the lowest pitch (Hz), s between notes, and their decay (1/s)."""
    wave = np.zeros(len(TIME) + 3 * RATE)
    for start in np.arange(0, SECONDS, every):
        for semitone in rng.choice([0, 2, 4, 5, 7, 9, 11, 12, 14, 16], together, replace=False):
            note = partials(low * 2 ** (semitone / 12), 2.0, lambda t: np.exp(-decay * t))
            place = round(start * RATE)
            wave[place : place + len(note)] += note
    return wave[: len(TIME)]


def coloured(rng: np.random.Generator, slope: float) -> np.ndarray:
    """Noise whose power density falls with frequency, to the power of ``slope``."""
    spectrum = np.fft.rfft(rng.standard_normal(len(TIME)))
    return np.fft.irfft(spectrum * np.maximum(np.arange(len(spectrum)), 1) ** (-slope / 2), len(TIME))


def squeaks(rng: np.random.Generator) -> np.ndarray:
    """A squeaking toy: short tones that glide up and down between 800 and 3000 Hz."""
    glide = 1900 + 1100 * np.sin(2 * np.pi * rng.uniform(1, 3) * TIME)
    return np.sin(2 * np.pi * np.cumsum(glide) / RATE) * (np.sin(2 * np.pi * rng.uniform(1.5, 4) * TIME) > 0)


MADE: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "music: a tune on strings": lambda rng: notes(rng, rng.uniform(100, 300), 0.3, 3),
    "music: chords": lambda rng: notes(rng, rng.uniform(80, 200), 1.0, 1, together=3),
    "music box": lambda rng: notes(rng, rng.uniform(800, 1200), 0.2, 6),
    "white noise": lambda rng: coloured(rng, 0),
    "pink noise": lambda rng: coloured(rng, 1),
    "brown noise": lambda rng: coloured(rng, 2),
    "mains hum": lambda rng: partials(50, SECONDS, lambda t: 1 + 0 * t) + 0.05 * coloured(rng, 1),
    "clicks": lambda rng: (rng.random(len(TIME)) < 5e-4) + 1e-3 * rng.standard_normal(len(TIME)),
    "squeaking toy": squeaks,
    "silence (-66 dBFS of noise)": lambda rng: rng.standard_normal(len(TIME)) * 1e-3,
}


def main() -> None:
    """Make, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", required=True)
    parser.add_argument("--voices", nargs="*", default=[])
    parser.add_argument("--ensembles", action="store_true", help="of all seeds, instead of each network")
    given = parser.parse_args()
    corpus, shares = read_corpus(given.data, split=False), []
    others: dict[str, list] = {}
    for name, make in MADE.items():
        waves = [make(np.random.default_rng(i)) for i in range(COUNT)]
        loudness = [1.0 if name.startswith("silence") else 0.3 / np.abs(wave).max() for wave in waves]
        pairs = zip(waves, loudness, strict=True)
        others[name] = [((wave * gain).astype(np.float32), RATE) for wave, gain in pairs]
    for voices in given.voices:
        table = read_corpus(voices, split=False)
        others[Path(voices).name] = list(table["path"].sample(min(len(table), 100), random_state=0))
    for model, fold, _ in networks(given.runs, given.ensembles):
        test, rate = select(fold_splits(corpus, fold, 5), "test"), model.config.sample_rate
        heard = [sounds(load_audio(path, rate), rate, seed=i) for i, path in enumerate(test["path"])]
        people = {f"unseen people: {name}": [(x[name], rate) for x in heard] for name in heard[0]}
        for seconds in (2, 1, 0.5):
            parts = [(x["clean"][: round(seconds * rate)], rate) for x in heard]
            people[f"unseen people: the first {seconds:g} s"] = parts
        for name, clips in (people | others).items():
            refused = infer(model, clips).distances > float(model.familiar.limit)
            shares.append({"heard": name, "clips": len(clips), "refused": refused.mean()})
        print(pd.DataFrame(shares).groupby("heard", sort=False).mean().round(3).to_string(), flush=True)


if __name__ == "__main__":
    main()
