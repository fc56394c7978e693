"""How long starting takes, and what training on 100,000 and a corpus of 1,000,000 clips take."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import BUNDLED

from accentlib.config import Config
from accentlib.corpora.table import read_corpus
from accentlib.features.log_mel import made_with
from accentlib.features.store import _header, file_stamp

CLIPS, FRAMES = 100_000, 60


STARTS = {
    "import accentlib": ["-c", "import accentlib"],
    "import torch": ["-c", "import torch"],
    "accentlib --help": ["-m", "accentlib", "--help"],
    "accentlib predict": ["-m", "accentlib", "predict", str(next(BUNDLED.glob("clips/*/*.ogg")))],
}


@pytest.mark.parametrize("name", STARTS)
def test_start(benchmark, name):
    command = STARTS[name]
    benchmark.extra_info |= {"name": name}
    benchmark.pedantic(
        subprocess.run, args=([sys.executable, *command],), kwargs={"stdout": subprocess.DEVNULL}, rounds=5
    )


TRAIN = """
import sys; sys.path.insert(0, {benchmarks!r})
import pandas as pd, torch
from store_vs_pickles import memory
from accentlib.config import Config
from accentlib.training.loop import Trainer, check_gradients
torch.set_num_threads(2)
table = pd.DataFrame({{"path": [f"/nowhere/{{i}}" for i in range({clips})]}})
table["accent"] = ["a" if i % 2 else "b" for i in range({clips})]
table["speaker"] = [f"s{{i // 10}}" for i in range({clips})]
table["split"] = ["validation" if i % 100 == 0 else "train" for i in range({clips})]
most = 0
trainer = Trainer(table, Config.laptop(sample_rate=16_000, n_mels=80, crop_seconds=0.5, max_epochs=1), {folder!r}, progress=False)
for i, batch in enumerate(trainer.loader):
    trainer.loss(batch).backward()
    check_gradients(trainer)
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()
    most = max(most, memory("RssAnon"))
    if i == 200:
        break
print(most)
"""


def test_memory(benchmark, tmp_path):
    """A store of 100,000 clips of 0.6 s (1.9 GB), of which training sees 6,400 in 200 updates."""
    config = Config.laptop(sample_rate=16_000, n_mels=80)
    (tmp_path / "features").mkdir()
    lines = [json.dumps({"features": made_with(config)})]
    with (tmp_path / "features" / "log_mel.npy").open("wb") as data:
        data.write(_header(0, 80))
        for i in range(CLIPS):
            data.write(np.full((FRAMES, 80), i % 7, np.float32).tobytes())
            lines.append(json.dumps([f"/nowhere/{i}", 0, 0, i * FRAMES, FRAMES, ""]))
        data.seek(0)
        data.write(_header(CLIPS * FRAMES, 80))
    (tmp_path / "features" / "clips.jsonl").write_text("\n".join(lines) + "\n")
    program = TRAIN.format(benchmarks=str(Path(__file__).parent), clips=CLIPS, folder=str(tmp_path))
    done = benchmark.pedantic(
        subprocess.run,
        args=([sys.executable, "-c", program],),
        kwargs={"capture_output": True, "text": True},
        rounds=1,
    )
    assert done.returncode == 0, done.stderr
    benchmark.extra_info |= {"name": "memory of training on 100,000 clips, MiB", "value": float(done.stdout)}


MILLION = """
import time
started = time.perf_counter()
import sys; sys.path.insert(0, {benchmarks!r})
import accentlib
from store_vs_pickles import memory
from accentlib.training.loop import Trainer
table = accentlib.read_corpus({folder!r})
trainer = Trainer(table, accentlib.Config.laptop(sample_rate=16_000), {folder!r}, progress=False)
trainer.loss(next(iter(trainer.loader)))
print(time.perf_counter() - started, memory("VmHWM"))
"""


def test_a_million_clips(benchmark, tmp_path):
    """Clips of 4 s by id, their features (64 GB of zeros) a file that takes no room: opened and sampled."""
    config, clips, frames = Config.laptop(sample_rate=16_000), 1_000_000, 400
    table = read_corpus(BUNDLED)
    names = [Path(path).relative_to(BUNDLED) for path in table["path"]]
    stamps = [file_stamp(path) for path in table["path"]]
    (tmp_path / "clips").symlink_to(BUNDLED / "clips")
    (tmp_path / "features").mkdir()
    with (tmp_path / "features" / "log_mel.npy").open("wb") as data:
        data.write(_header(clips * frames, config.n_mels))
        data.truncate(128 + clips * frames * config.n_mels * 4)
    with (
        (tmp_path / "features" / "clips.jsonl").open("w") as index,
        (tmp_path / "manifest.csv").open("w") as manifest,
    ):
        index.write(json.dumps({"features": made_with(config)}) + "\n")
        manifest.write("id,path,accent,speaker,split\n")
        for i in range(clips):
            known, speaker = i % len(names), i // 100
            split = {0: "validation", 1: "test"}.get(speaker % 20, "train")
            index.write(json.dumps([f"c{i}", *stamps[known], i * frames, frames, ""]) + "\n")
            manifest.write(f"c{i},{names[known]},{'abcdef'[speaker % 6]},s{speaker},{split}\n")
    program = MILLION.format(benchmarks=str(Path(__file__).parent), folder=str(tmp_path))
    options = {"capture_output": True, "text": True}
    done = benchmark.pedantic(
        subprocess.run, args=([sys.executable, "-c", program],), kwargs=options, rounds=1
    )
    assert done.returncode == 0, done.stderr
    seconds, mebibytes = map(float, done.stdout.split())
    benchmark.extra_info |= {"name": "a million clips", "first_batch": seconds, "MiB": mebibytes}
