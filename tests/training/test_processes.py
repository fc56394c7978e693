"""One training on two processes is the training of one: gloo, on this machine."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers import TINY, as_flags
from programs import CONTEXT, Program

from accentlib.config import Config, InputError
from accentlib.corpora.table import read_corpus
from accentlib.network.checkpoint import load_model, read_checkpoint
from accentlib.training.loop import Trainer
from accentlib.training.processes import connect, disconnect, gather
from accentlib.training.windows import EpochSampler

# clips are longer than the window, for padding counts in batch norm; and nothing is drawn by each process itself
ALONE = TINY | {"crop_seconds": 0.4, "head_drop": 0.0, "num_workers": 0, "sample_rate": 16_000}


def gradients(rank: int, port: int, data: str, out: str) -> None:
    """One of two processes: its first batch; process 0 stores gradients and statistics of batch norm."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    connect()
    trainer = Trainer(read_corpus(data), Config.laptop(**ALONE), out, progress=False)
    trainer.loss(next(iter(trainer.loader))).backward()
    if rank == 0:
        norms = {k: v for k, v in trainer.model.state_dict().items() if "running" in k}
        torch.save([{k: v.grad for k, v in trainer.model.named_parameters()}, norms], out + "/gradients.pt")
    gather(None)
    disconnect()


def together(*command: str, processes: int = 2) -> subprocess.CompletedProcess:
    """Run under torchrun."""
    launcher = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        f"--nproc-per-node={processes}",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run([*launcher, *command], capture_output=True, text=True, timeout=300, env=environment)


def test_two_processes_have_the_gradients_of_one_with_the_whole_batch(tmp_path, corpus_dir):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]  # a free one
    both = [CONTEXT.Process(target=gradients, args=(i, port, str(corpus_dir), str(tmp_path))) for i in (0, 1)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert [process.exitcode for process in both] == [0, 0]
    shared, norms = torch.load(tmp_path / "gradients.pt")
    trainer = Trainer(read_corpus(corpus_dir), Config.laptop(**ALONE), tmp_path / "one", progress=False)
    trainer.loss(next(iter(trainer.loader))).backward()
    for name, weight in trainer.model.named_parameters():
        scale = weight.grad.abs().max()
        assert (shared[name] - weight.grad).abs().max() <= 2e-4 * scale + 1e-7, name
    for name, value in trainer.model.state_dict().items():
        if "running" in name:  # the statistics of batch norm are the whole batch's
            torch.testing.assert_close(norms[name], value, rtol=1e-4, atol=1e-6)


def test_two_processes_train_from_the_command_line_and_one_goes_on(tmp_path, corpus_dir):
    flags = ["--data", str(corpus_dir), "--preset", "laptop", "--out_dir", str(tmp_path / "two")]
    more = as_flags(ALONE | {"max_epochs": 4, "early_stopping": -1})
    done = together("-m", "accentlib", "train", *flags, *more)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("best validation macro F1") == 1 and done.stderr.count("epoch 4, update") == 1
    two = read_checkpoint(tmp_path / "two" / "last.pt")["training"]
    config = Config.laptop(**(ALONE | {"max_epochs": 4, "early_stopping": -1}))
    one = Trainer(read_corpus(corpus_dir), config, tmp_path / "one", progress=False)
    one.train()
    for own, other in zip(one.history, two["history"], strict=True):
        # a sum in another order is another last bit, which training makes larger with every update
        assert other["step"] == own["step"] and other["loss"] == pytest.approx(own["loss"], rel=5e-2)
        accuracy = own["balanced_accuracy"]
        assert other["balanced_accuracy"] == pytest.approx(accuracy, abs=0.12)  # a clip of nine at most
    assert len(two["random"]) == 2 and load_model(tmp_path / "two" / "best.pt").labels == one.model.labels
    more = as_flags(ALONE | {"max_epochs": 5, "early_stopping": -1})
    assert Program("train", *flags, *more, "--resume").end()[0] == 0
    assert read_checkpoint(tmp_path / "two" / "last.pt")["training"]["counters"]["epoch"] == 5


def test_the_shares_of_a_batch_are_disjoint_and_together_the_batch(monkeypatch, tiny):
    sampler = EpochSampler(np.arange(40) % 3, tiny)
    whole = list(sampler)
    shares = []
    for i in range(4):
        monkeypatch.setattr("accentlib.training.windows.rank", lambda i=i: i)
        monkeypatch.setattr("accentlib.training.windows.world_size", lambda: 4)
        shares.append(list(sampler))
    for batch, *parts in zip(whole, *shares, strict=True):
        assert all(len(part) == len(batch) // 4 for part in parts)
        assert sorted(key for part in parts for key in part) == sorted(batch)


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch, tiny):
    monkeypatch.setattr("accentlib.training.windows.world_size", lambda: 3)
    with pytest.raises(InputError, match="3 processes cannot share a batch_size of 8"):
        EpochSampler([0] * 40, tiny)
    with pytest.raises(InputError, match="5 training clips do not fill a batch_size of 9"):
        EpochSampler([0] * 5, tiny.replace(batch_size=9))
