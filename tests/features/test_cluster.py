"""Features and embeddings by a Dask cluster: a scheduler and two workers, processes of their own on this machine."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from helpers import BUNDLED

from accentlib.cli import main
from accentlib.config import Config
from accentlib.features.store import open_store
from accentlib.network.checkpoint import SHIPPED

CLIPS = 200


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler's address and its two workers, each of one thread; the last test may kill one."""
    tmp_path = tmp_path_factory.mktemp("cluster")
    file, processes = tmp_path / "scheduler.json", []

    def start(*command: str) -> subprocess.Popen:
        with (tmp_path / "log.txt").open("a") as log:
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            command = [sys.executable, "-m", "distributed.cli." + command[0], *command[1:]]
            processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=tmp_path, env=environment))
        return processes[-1]

    start(
        "dask_scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        "0",
        "--no-dashboard",
        "--scheduler-file",
        str(file),
    )
    options = ("--scheduler-file", str(file), "--nthreads", "1", "--no-nanny", "--no-dashboard")
    workers = [start("dask_worker", *options, "--name", str(i)) for i in range(2)]
    until(file.exists)
    yield json.loads(file.read_text())["address"], workers
    for process in processes:
        process.kill()
        process.wait()


def until(true, seconds: float = 60) -> None:
    """Wait for something to be so."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.02)


def many_clips(folder) -> pd.DataFrame:
    """A corpus of the bundled clips, with one that is missing."""
    table = pd.read_csv(BUNDLED / "manifest.csv").iloc[:: 2016 // CLIPS].head(CLIPS).copy()
    table["path"] = [str(BUNDLED / path) for path in table["path"]]
    table.iloc[5, table.columns.get_loc("path")] = str(folder / "missing.flac")
    folder.mkdir(exist_ok=True)
    table.to_csv(folder / "manifest.csv", index=False)
    return table


def test_embeddings_of_a_corpus_are_those_of_one_machine(tmp_path, cluster):
    address, workers = cluster
    many_clips(tmp_path / "corpus")
    embed = ["embed", "--data", str(tmp_path / "corpus"), "--checkpoint", str(SHIPPED), "--output"]
    assert main([*embed, str(tmp_path / "cluster.npz"), "--scheduler", address]) == 1
    assert main([*embed, str(tmp_path / "here.npz")]) == 1
    with np.load(tmp_path / "cluster.npz") as far, np.load(tmp_path / "here.npz") as near:
        assert far["paths"].tolist() == near["paths"].tolist() and len(near["paths"]) == CLIPS - 1
        np.testing.assert_allclose(far["embeddings"], near["embeddings"], atol=1e-5)


def test_features_are_made_once_each_though_a_worker_dies(tmp_path, cluster, capfd):
    address, workers = cluster
    table, out = many_clips(tmp_path / "corpus"), tmp_path / "out"
    command = ["features", "--data", str(tmp_path / "corpus"), "--out_dir", str(out), "--scheduler", address]
    process = subprocess.Popen(
        [sys.executable, "-m", "accentlib", *command], stderr=subprocess.PIPE, text=True
    )
    index = out / "features" / "clips.jsonl"
    until(lambda: index.exists() and 20 < len(index.read_text().splitlines()) < CLIPS)
    workers[0].send_signal(signal.SIGKILL)
    assert len(index.read_text().splitlines()) < CLIPS  # it was midway
    said = process.communicate(timeout=120)[1]
    assert process.returncode == 1 and "missing.flac: no such file" in said and "Traceback" not in said
    lines = [json.loads(line) for line in index.read_text().splitlines()[1:]]
    assert Counter(line[0] for line in lines) == Counter(table["path"])  # nothing lost, nothing twice
    config = Config.laptop(sample_rate=16_000)
    store, local = open_store(table, out / "features", config), open_store(table, tmp_path / "local", config)
    for path in set(table["path"]) - set(store.problems):
        assert np.array_equal(store[path], local[path])


def test_a_scheduler_that_is_not_there_gets_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("accentlib.features.parallel.PATIENCE", 1)
    many_clips(tmp_path / "corpus")
    command = ["features", "--data", str(tmp_path / "corpus"), "--out_dir", str(tmp_path / "out")]
    assert main([*command, "--scheduler", "tcp://127.0.0.1:1"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == "accentlib: tcp://127.0.0.1:1: no Dask scheduler with a worker answers there"
