"""`run` on the bundled corpus: its first picture, its end, its accuracy; the published recipe's after as long."""

import pickle
import time

import numpy as np
import torch
from helpers import BUNDLED
from published import Network, Pickles, train_step
from sklearn.metrics import balanced_accuracy_score

from accentlib.config import Config
from accentlib.corpora.table import read_corpus, select
from accentlib.experiments.run import run
from accentlib.features.log_mel import normalise
from accentlib.features.store import open_store


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


def test_run(benchmark, tmp_path):
    torch.set_num_threads(2)
    started, out = time.time(), tmp_path / "run"
    metrics = benchmark.pedantic(run, args=(BUNDLED, Config.laptop(), out), rounds=1)
    history = torch.load(out / "last.pt", weights_only=True)["training"]["history"]
    reached = {
        f"seconds_to_{goal}": next(
            (x["seconds"] for x in history if x["balanced_accuracy"] >= goal / 100), None
        )
        for goal in (80, 90)
    }
    seconds = metrics["training_seconds"]
    figures = {
        "training": seconds,
        "first_picture": (out / "figures" / "tsne_first.png").stat().st_mtime - started,
    }
    figures |= {"on_test": metrics["balanced_accuracy"], "on_validation": history[-1]["balanced_accuracy"]}
    figures["on_validation_published"] = train_published(tmp_path, seconds)
    benchmark.extra_info |= {"name": "run"} | reached | figures
