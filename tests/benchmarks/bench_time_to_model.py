"""Seconds until 80 and 90 % balanced accuracy on the bundled corpus's validation; the published recipe's share then."""

import pickle
import time

import numpy as np
import pytest
import torch
from helpers import BUNDLED
from published import Network, Pickles, train_step
from sklearn.metrics import balanced_accuracy_score

from accentlib.config import Config
from accentlib.corpora.table import read_corpus, select
from accentlib.features.log_mel import normalise
from accentlib.features.store import open_store
from accentlib.training.loop import Trainer


def train_ours(folder, epochs):
    """The laptop preset, its learning rate falling to nothing within so many epochs; seconds and accuracies."""
    trainer = Trainer(read_corpus(BUNDLED), Config.laptop(max_epochs=epochs), folder, progress=False)
    trainer.train()
    return [(row["seconds"], row["balanced_accuracy"]) for row in trainer.history]


def train_published(folder, seconds):
    """The published recipe on the same features for so many seconds; its balanced accuracy on validation."""
    table = read_corpus(BUNDLED)
    store, accents = open_store(table, folder, Config(sample_rate=16_000)), sorted(set(table["accent"]))
    rows = select(table, "train")
    paths = [folder / f"{i}.pickle" for i in range(len(rows))]
    for path, file in zip(rows["path"], paths, strict=True):
        file.write_bytes(pickle.dumps(store[path].T.astype(np.float64)))
    dataset = Pickles(paths, [accents.index(accent) for accent in rows["accent"]], 350)
    network = Network(64, 32, len(accents))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-3)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for batch in torch.utils.data.DataLoader(dataset, 64, shuffle=True):
            train_step(network, optimizer, batch)
            if time.monotonic() > end:
                break
    network.eval()
    rows, predicted = select(table, "validation"), []
    for path in rows["path"]:
        with torch.inference_mode():
            window = torch.from_numpy(normalise(store[path]))[None]
            predicted.append(accents[int(network(window, torch.zeros(1, dtype=torch.long))[0].argmax())])
    return balanced_accuracy_score(rows["accent"], predicted)


@pytest.mark.parametrize("epochs", [20, 10])
def test_time_to_a_good_model(benchmark, tmp_path, epochs):
    torch.set_num_threads(2)
    history = benchmark.pedantic(train_ours, args=(tmp_path / "ours", epochs), rounds=1)
    reached = {
        f"seconds_to_{goal}": next((s for s, accuracy in history if accuracy >= goal / 100), None)
        for goal in (80, 90)
    }
    seconds, accuracy = history[-1]
    published = train_published(tmp_path, seconds) if epochs == 20 else None
    benchmark.extra_info |= {
        "name": f"model_{epochs}_epochs",
        "seconds": seconds,
        "accuracy": accuracy,
    } | reached
    benchmark.extra_info["published"] = published
