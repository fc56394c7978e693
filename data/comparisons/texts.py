"""Unseen speakers on the text that a network was trained on, and on the other: how much is the text?

accentlib crossvalidate --preset real_speech --data CORPUS --phones TABLE --out_dir RUN --tested 1 2 3 4 --by_text
python data/comparisons/texts.py RUN --data CORPUS --phones TABLE
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from accentlib import load_model, read_corpus, read_phones
from accentlib.corpora.halves import halve
from accentlib.corpora.splits import fold_splits, two_texts
from accentlib.embeddings.inference import forward_log_mels
from accentlib.embeddings.metrics import classification_metrics, percent_interval, speaker_interval
from accentlib.features.store import clip_ids, prepare


def main() -> None:
    """Test every network of RUN twice, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True)
    parser.add_argument("--phones", required=True)
    given = parser.parse_args()
    corpus = read_corpus(given.data, split=False)
    corpus, _, _ = halve(corpus, given.run / "halves", read_phones(given.phones))
    corpus, parts = corpus.assign(text_part=two_texts(corpus)), []
    for file in sorted(given.run.glob("fold*/text*/seed*/best.pt")):
        model, fold, text = load_model(file), int(file.parts[-4][4:]), file.parts[-3][4:]
        _, store = prepare(corpus, model.config, given.run / "features")
        tested = fold_splits(corpus, fold, 5).query("split == 'test'")
        answers = forward_log_mels(model, [store[clip] for clip in clip_ids(tested)])[1].argmax(axis=1)
        other = np.where(tested["text_part"] == text, "the other text", "the text of the training")
        parts.append(tested.assign(predicted=np.array(model.labels)[answers], text=other))
    for text, rows in pd.concat(parts).groupby("text"):
        truth, predicted = rows["accent"].to_numpy(), rows["predicted"].to_numpy()
        accuracy = classification_metrics(truth, predicted, sorted(set(truth)))["balanced_accuracy"]
        interval = speaker_interval(truth, predicted, rows["speaker"])
        print(f"{text}: {percent_interval(accuracy, interval)}, {rows['speaker'].nunique()} speakers")


if __name__ == "__main__":
    main()
