"""How long starting takes, and how much memory training on 100,000 clips takes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from accentlib.config import Config
from accentlib.features.log_mel import made_with
from accentlib.features.store import _header

CLIPS, FRAMES = 100_000, 60


@pytest.mark.parametrize("name", ["import accentlib", "accentlib --help"])
def test_start(benchmark, name):
    command = {
        "import accentlib": ["-c", "import accentlib"],
        "accentlib --help": ["-m", "accentlib", "--help"],
    }[name]
    benchmark.extra_info |= {"name": name}
    benchmark.pedantic(
        subprocess.run, args=([sys.executable, *command],), kwargs={"stdout": subprocess.DEVNULL}, rounds=7
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
trainer = Trainer(table, Config.laptop(sample_rate=16_000, crop_seconds=0.5, max_epochs=1), {folder!r}, progress=False)
for i, batch in enumerate(trainer.loader):
    trainer.loss(batch).backward()
    check_gradients(trainer)
    trainer.optimizer.step()
    trainer.optimizer.zero_grad()
    most = max(most, memory("RssAnon"))
    if i == 500:
        break
print(most)
"""


def test_memory(benchmark, tmp_path):
    """A store of 100,000 clips of 0.6 s (1.9 GB), of which training sees 16,000 in 500 updates."""
    config = Config.laptop(sample_rate=16_000)
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
