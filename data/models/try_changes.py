"""What lifts ``real_speech``: its preset with one thing changed at a time, on people that the card does not count.

    python data/models/try_changes.py RUN --data CORPUS --readings READING     # all, or --only "heads 1" ...

Smaller and shorter than the preset (64 channels, 120 epochs), tested on fold 0, one training a change (three of the
preset itself, to show what chance does). Results are kept below RUN and not made twice; the table is written to
``real_speech_changes.csv`` beside this script, and printed.
"""

import argparse
import shutil
from pathlib import Path

import pandas as pd

from accentlib import Config
from accentlib.experiments.crossvalidate import NETWORK, cross_validate

HERE = Path(__file__).parent
SMALL = {"channels": 64, "max_epochs": 120}
CHANGES = {
    "as it is": {},
    "as it is, seed 2": {"seed": 2},
    "as it is, seed 3": {"seed": 3},
    "no phones": {"phone_weight": 0.0},
    "phones, weight 1": {"phone_weight": 1.0},
    "phones, weight 30": {"phone_weight": 30.0},
    "128 channels": {"channels": 128},
    "heads 1": {"heads": 1},
    "heads 16": {"heads": 16},
    "heads dropped, 0.3": {"head_drop": 0.3},
    "multi-head attention": {"pooling_method": "MHA"},
    "attention": {"pooling_method": "Attention"},
    "statistics": {"pooling_method": "Statistics"},
    "no SpecAugment": {"spec_augment": False},
    "no change of speed": {"speed_range": 0.0},
    "no change of vocal tract": {"tract_range": 0.0},
    "none of the three": {"spec_augment": False, "speed_range": 0.0, "tract_range": 0.0},
    "cmvn": {"normalization": "cmvn"},
    "windows of 2 s": {"crop_seconds": 2.0},
    "windows of 8 s": {"crop_seconds": 8.0},
    "random windows, 2 to 4 s": {"random_slicing": True},
    "accents drawn equally": {"balance": "sampling"},
    "dropout 0.3": {"dropout": 0.3},
    "no weight decay": {"weight_decay": 0.0},
    "weight decay 0.2": {"weight_decay": 0.2},
    "cross-entropy (no margin)": {"margin": 0.0},
    "cross-entropy, scale 10": {"margin": 0.0, "scale": 10.0},
    "margin 0.4": {"margin": 0.4},
    "margin 0.4, annealed": {"margin": 0.4, "annealing": True},
    "no averaged weights": {"weight_averaging": 0.0},
    "VGG3L": {"front_end": "VGG3L"},
}


def main() -> None:
    """Train, test, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--readings", required=True)
    parser.add_argument("--only", nargs="+", default=[*CHANGES], choices=[*CHANGES])
    arguments = parser.parse_args()
    rows = []
    for name in arguments.only:
        config = Config.real_speech(**(SMALL | CHANGES[name]))
        fold = arguments.run / name.replace(" ", "_") / "fold0"
        fold.mkdir(parents=True, exist_ok=True)
        for kept in ("phones.csv", "baselines.csv"):  # which no change touches: made once
            if (arguments.run / kept).is_file() and not (fold / kept).is_file():
                shutil.copy(arguments.run / kept, fold)
        seed = config.seed if "seed" in CHANGES[name] else 1
        figures = cross_validate(
            arguments.data,
            config.replace(seed=1),
            fold.parent,
            tested=[0],
            seeds=[seed],
            readings=arguments.readings,
        )[1]
        for kept in ("phones.csv", "baselines.csv"):
            if not (arguments.run / kept).is_file():
                shutil.copy(fold / kept, arguments.run)
        of = {unit: figures[unit][NETWORK] for unit in ("clip", "speaker")}
        rows.append({"change": name} | {unit: round(x["balanced_accuracy"], 3) for unit, x in of.items()})
        print(rows[-1], flush=True)
    if len(rows) == len(CHANGES):
        pd.DataFrame(rows).to_csv(HERE / "real_speech_changes.csv", index=False)


if __name__ == "__main__":
    main()
