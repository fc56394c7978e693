"""Networks on recordings of people, one thing changed at a time: a row in ``people.csv`` for each training.

    python data/comparisons/try_people.py RUN --data CORPUS --only preset "no noise" --seeds 1 2 3

Trains on four fifths of the speakers and tests on the development fold, 0, whose figures choose settings and count
nowhere else. A row that is there is not made again; its settings are those that differ from ``Config.laptop()``.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
from elsewhere import answers, sounds

from accentlib import Config, read_corpus, read_phones, select
from accentlib.corpora.splits import fold_splits
from accentlib.embeddings.calibration import cut_clips
from accentlib.embeddings.inference import forward_log_mels
from accentlib.embeddings.metrics import classification_metrics
from accentlib.experiments.run import best_model
from accentlib.features.audio import load_audio
from accentlib.features.store import clip_ids
from accentlib.training.state import Trainer

ROWS = Path(__file__).with_name("people.csv")
STATISTICS = {"pooling_method": "Statistics", "phone_weight": 0.0}
CHANGES: dict[str, dict] = {
    "preset": {},
    "no phones": STATISTICS,
    "no noise": {"noise_and_rooms": False},
    "160 ms": {"step_frames": 0},
    "128 channels": {"channels": 128},
    "statistics": {"pooling_method": "Statistics"},
    "attentive statistics": {"pooling_method": "AttentiveStatistics"},
    "double attention": {"pooling_method": "DoubleMHA", "heads": 4},
    "double attention with deviations": {"pooling_method": "DoubleMHAStatistics", "heads": 4},
}


def train_and_test(change: dict, *, data: str, phones: str, fold: int, seed: int, folder: Path) -> dict:
    """The figures of one training: balanced accuracy of clips and of speakers, of the best epoch (in noise and in a room,
    too) and the last."""
    table = fold_splits(read_corpus(data, split=False), fold, 5)
    config = Config.real_speech(**change).replace(seed=seed)
    known = read_phones(phones) if config.phone_weight else None
    options = {
        "phones": known,
        "progress": False,
        "overwrite": True,
        "features_dir": folder.parent / "features",
    }
    trainer = Trainer(table, config, folder, **options)
    started = time.process_time()
    trainer.train()
    best, laptop = max(trainer.history, key=trainer.validation.score), Config.laptop().to_dict()
    row = {
        "updates": trainer.step,
        "seconds": round(trainer.seconds),
        "cpu_seconds": round(time.process_time() - started),
    }
    row |= {"best_epoch": best["epoch"], "validation_f1": round(best["macro_f1"], 3)}
    test = select(trainer.table, "test")
    log_mels = [trainer.store[clip] for clip in clip_ids(test)]
    clips, of = cut_clips(log_mels, config)
    for when, model in (("best", best_model(trainer)), ("last", trainer.evaluated)):
        for unit, x, own in (("clip", clips, test.iloc[of]), ("speaker", log_mels, test)):
            predicted = np.array(model.labels)[forward_log_mels(model, x)[1].argmax(axis=1)]
            figures = classification_metrics(own["accent"], predicted, model.labels)
            row[f"{when}_{unit}"] = round(figures["balanced_accuracy"], 3)
        if when == "best":
            heard = [sounds(load_audio(path, model.config.sample_rate), model.config.sample_rate, seed=i)
                     for i, path in enumerate(test["path"])]  # fmt: skip
            for sound, column in (("white noise, 20 dB", "noise"), ("room, RT60 0.6 s", "room")):
                rows = answers(model, [waves[sound] for waves in heard], test)
                own = rows[rows["unit"] == "speaker"]
                figures = classification_metrics(own["accent"], own["predicted"], model.labels)
                row[f"best_speaker_{column}"] = round(figures["balanced_accuracy"], 3)
    differ = {name: x for name, x in config.to_dict().items() if x != laptop[name] and name != "seed"}
    return row | {"settings": json.dumps(differ)}


def main() -> None:
    """Train, test, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--phones", help="table of phones (default: phones.csv beside the manifest)")
    parser.add_argument("--only", nargs="+", default=[*CHANGES], choices=[*CHANGES])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--folds", type=int, nargs="+", default=[0])
    given = parser.parse_args()
    phones = given.phones or given.data
    for fold in given.folds:
        for seed in given.seeds:
            for name in given.only:
                key = {"change": name, "phones": Path(phones).stem, "fold": fold, "seed": seed}
                known = pd.read_csv(ROWS) if ROWS.is_file() else pd.DataFrame(columns=[*key])
                if (known[[*key]] == [*key.values()]).all(axis=1).any():
                    continue
                folder = given.run / f"{name.replace(' ', '_')}-{key['phones']}-{fold}-{seed}"
                options = {"data": given.data, "phones": phones, "fold": fold, "seed": seed, "folder": folder}
                row = key | train_and_test(CHANGES[name], **options)
                known = (
                    pd.read_csv(ROWS) if ROWS.is_file() else pd.DataFrame()
                )  # another process may have added
                pd.concat([known, pd.DataFrame([row])]).to_csv(ROWS, index=False)
                print(row, flush=True)


if __name__ == "__main__":
    main()
