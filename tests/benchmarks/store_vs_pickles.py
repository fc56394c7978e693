"""Random 3 s windows of 10,000 clips: from the packed store, and from a pickle an utterance as published.

    python tests/benchmarks/store_vs_pickles.py [--clips 10000] [--epochs 3]

Both hold the same features, those of data/accents_mini, repeated. Each way is read by a process of its own, one
thread, in the same shuffled order; the files were just written, so they come from the page cache if it holds
them. Clips a second over all epochs. Memory is Linux's account: mapped pages are the page cache's own, and given
back when memory is short; what is held is what reading added to the process beyond them.
"""

import argparse
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from accentlib.config import Config
from accentlib.corpora.table import read_corpus
from accentlib.features.log_mel import made_with, normalise
from accentlib.features.store import FeatureStore, _header, open_store, read_index

FRAMES = 300  # 3 s
ROOT = Path(__file__).parents[2]


def write(folder: Path, clips: int) -> None:
    """The same features twice: in one store, and in a pickle each."""
    config = Config(sample_rate=16_000)
    table = read_corpus(ROOT / "data" / "accents_mini")
    source = open_store(table, folder / "source", config)
    (folder / "store").mkdir()
    (folder / "pickles").mkdir()
    lines, rows = [json.dumps({"features": made_with(config)})], 0
    with (folder / "store" / "log_mel.npy").open("wb") as data:
        data.write(_header(0, config.n_mels))
        for i in range(clips):
            log_mels = np.array(source[table["path"][i % len(table)]])
            data.write(log_mels)
            lines.append(json.dumps([f"{i}", 0, 0, rows, len(log_mels), ""]))
            rows += len(log_mels)
            with (folder / "pickles" / f"{i}.pickle").open("wb") as file:
                pickle.dump(log_mels.astype(np.float64), file)  # the published extractor's type
        data.seek(0)
        data.write(_header(rows, config.n_mels))
    (folder / "store" / "clips.jsonl").write_text("\n".join(lines) + "\n")


def read(folder: Path, way: str, clips: int, epochs: int) -> None:
    """Read every clip's window, epoch by epoch; print clips a second and memory as JSON."""
    before, most = memory("RssAnon"), 0.0
    if way == "store":
        features = made_with(Config(sample_rate=16_000))
        store = FeatureStore(folder / "store", features, read_index(folder / "store", features)[0])
    total, started = 0.0, time.perf_counter()
    for epoch in range(epochs):
        rng = np.random.default_rng(epoch)
        for i in rng.permutation(clips):
            if way == "store":
                log_mels = store[f"{i}"]
            else:
                with (folder / "pickles" / f"{i}.pickle").open("rb") as file:
                    log_mels = pickle.load(file)
            log_mels = normalise(log_mels)
            start = rng.integers(0, max(0, len(log_mels) - FRAMES) + 1)
            total += float(log_mels[start : start + FRAMES].sum())
        most = max(most, memory("RssAnon") - before)
    rate = epochs * clips / (time.perf_counter() - started)
    print(
        json.dumps(
            {"rate": rate, "held": most, "mapped": memory("RssFile"), "peak": memory("VmHWM"), "sum": total}
        )
    )


def memory(field: str) -> float:
    """Of this process, MiB (Linux): RssAnon is what it holds, RssFile mapped pages that the system can take back."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        read(arguments.folder, arguments.way, arguments.clips, arguments.epochs)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, arguments.clips)
        rates = {}
        for way in ("pickles", "store", "pickles", "store"):  # twice, for the order may matter
            argv = [sys.executable, __file__, "--way", way, "--folder", name]
            argv += ["--clips", str(arguments.clips), "--epochs", str(arguments.epochs)]
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            answer = json.loads(subprocess.run(argv, check=True, capture_output=True, env=environment).stdout)
            rates.setdefault(way, []).append(answer["rate"])
            print(
                f"{way:8} {answer['rate']:8.0f} clips/s; peak {answer['peak']:.0f} MiB in all, of which"
                f" {answer['mapped']:.0f} mapped files and {answer['held']:.0f} held by the reading"
            )
        for way, path in (("pickles", folder / "pickles"), ("store", folder / "store")):
            size = sum(file.stat().st_size for file in path.iterdir()) / 2**20
            print(f"{way}: {size:.0f} MiB on disk, {len(list(path.iterdir()))} files")
        print(f"ratio {max(rates['store']) / max(rates['pickles']):.1f}")


if __name__ == "__main__":
    main()
