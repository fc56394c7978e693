"""Fine-tuning to new accents of a small corpus, against training anew and simple baselines.

    python data/comparisons/finetuning.py RUN --data CORPUS --phones TABLE --seeds 1 2

A network learns the first five accents (in the alphabet) of CORPUS. It is then adapted to the others, of which 10 speakers
each are kept for the test, with few speakers each (one in eight, at least one, chooses the epoch). Writes a row for each
training to ``finetuning.csv``: balanced accuracy of whole recordings of the test speakers.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from accentlib import Config, load_model, read_corpus, read_phones, select
from accentlib.config import FINETUNING
from accentlib.corpora.splits import validation_rows
from accentlib.embeddings.inference import forward_log_mels
from accentlib.embeddings.metrics import classification_metrics, speaker_interval
from accentlib.experiments.baselines import classical_predictions
from accentlib.experiments.recipe import DRAWS, MOST_EPOCHS
from accentlib.features.store import clip_ids
from accentlib.training.state import Trainer

ROWS = Path(__file__).with_name("finetuning.csv")
SPEAKERS, TESTED = (5, 10, 20, 28), 10  # of each accent
WAYS: dict[str, dict] = {
    "trained anew": {"max_epochs": MOST_EPOCHS},
    "fine-tuned": {"max_epochs": 60, "learning_rate": 1e-3},
    "fine-tuned, front end frozen": {"max_epochs": 60, "learning_rate": 1e-3, "freeze_epochs": 60},
    "the same, without phones (the default of accentlib finetune)": FINETUNING[""],
}


def splits(table: pd.DataFrame) -> pd.DataFrame:
    """The table with one speaker in eight of each accent as its validation split, all others train."""
    return table.assign(split=np.where(validation_rows(table), "validation", "train"))


def small_corpus(others: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """So many speakers of each accent to adapt to, and the test speakers, the same for all counts."""
    order = others.sample(frac=1, random_state=seed)
    number = order.groupby("accent").cumcount()
    test = order[number < TESTED].assign(split="test")
    return pd.concat([splits(order[(number >= TESTED) & (number < TESTED + count)]), test])


def main() -> None:
    """Train, adapt, test, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--phones", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    given = parser.parse_args()
    corpus, phones = read_corpus(given.data, split=False), read_phones(given.phones)
    accents = sorted(set(corpus["accent"]))
    known, others = (corpus[corpus["accent"].isin(part)] for part in (accents[:5], accents[5:]))

    def train(table: pd.DataFrame, config: Config, folder: Path, start: Path | None = None) -> Trainer:
        options = {"phones": phones, "progress": False, "features_dir": given.run / "features"}
        names = load_model(start).phones if start else ()
        trainer = Trainer(table, config, folder, overwrite=True, phone_names=names, **options)
        if start:
            trainer.start_from(start)
        trainer.train()
        return trainer

    for seed in given.seeds:
        config, base = Config.real_speech(seed=seed), given.run / f"seed{seed}" / "base"
        if not (base / "best.pt").is_file():
            train(splits(known), config.replace(max_epochs=round(DRAWS / len(known))), base)
        for count in SPEAKERS:
            table, predicted = small_corpus(others, count, seed), {}
            for way, changes in WAYS.items():
                started = time.process_time()
                folder = given.run / f"seed{seed}" / f"{count} {way}"
                start = None if way == "trained anew" else base / "best.pt"
                trainer = train(table, config.replace(**changes), folder, start)
                model, store = load_model(folder / "best.pt"), trainer.store
                test, train_rows = (select(trainer.table, split) for split in ("test", "train"))
                logits = forward_log_mels(model, [store[clip] for clip in clip_ids(test)])[1]
                predicted[way] = (np.array(model.labels)[logits.argmax(1)], time.process_time() - started)
            rows = trainer.table[trainer.table["split"] != "test"]  # nothing is chosen below
            simple, start = (
                make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
                load_model(base / "best.pt"),
            )
            vectors = [
                forward_log_mels(start, [store[clip] for clip in clip_ids(part)])[0] for part in (rows, test)
            ]
            fitted = simple.fit(vectors[0], rows["accent"])
            predicted["logistic regression on its embeddings"] = (fitted.predict(vectors[1]), 0.0)
            for name, answer in classical_predictions(store, train_rows, test).items():
                predicted[f"no network: {name}"] = (answer, 0.0)
            for way, (answer, seconds) in predicted.items():
                figures = classification_metrics(test["accent"], answer, sorted(set(test["accent"])))
                low, high = speaker_interval(test["accent"].to_numpy(), np.asarray(answer), test["speaker"])
                row = {"seed": seed, "speakers": count, "way": way, "cpu_seconds": round(seconds)}
                row |= {"balanced_accuracy": round(figures["balanced_accuracy"], 3)}
                row |= {"low": round(low, 3), "high": round(high, 3)}
                pd.DataFrame([row]).to_csv(ROWS, mode="a", header=not ROWS.is_file(), index=False)
                print(row, flush=True)


if __name__ == "__main__":
    main()
