"""Training steps with their data: ours and the published way, 64 to 256 channels; and what the machine can do."""

import multiprocessing
import pickle
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch
from published import Network, Pickles, train_step
from torch.utils.flop_counter import FlopCounterMode

from accentlib.config import Config
from accentlib.device import get_device, get_precision
from accentlib.features.store import open_store
from accentlib.network.accent_net import AccentNet
from accentlib.training.loop import Trainer, check_gradients

BATCH, STEPS, SECONDS = 32, 5, 3.5


@pytest.fixture(scope="module")
def pickles(clips, tmp_path_factory):
    """The features of all clips, a pickle each, in float64."""
    folder = tmp_path_factory.mktemp("pickles")
    store = open_store(clips, folder / "store", Config(sample_rate=16_000))
    for i, path in enumerate(clips["path"]):
        with (folder / f"{i}.pickle").open("wb") as file:
            pickle.dump(store[path].T.astype(np.float64), file)
    return [folder / f"{i}.pickle" for i in range(len(clips))]


def published_steps(clips, pickles, folder, channels):
    """A function that trains so many steps."""
    accents = sorted(set(clips["accent"]))
    labels = [accents.index(accent) for accent in clips["accent"]]
    dataset = Pickles(pickles, labels, round(SECONDS * 100))
    network = Network(channels, 32, len(accents))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=1e-3)
    batches = iter(torch.utils.data.DataLoader(dataset, BATCH, shuffle=True))

    def steps(count=STEPS):
        for _ in range(count):
            train_step(network, optimizer, next(batches))

    return steps


def our_steps(clips, pickles, folder, channels, precision):
    config = Config(
        sample_rate=16_000, channels=channels, batch_size=BATCH, crop_seconds=SECONDS, gradient_accumulation=1,
        head_drop=0.0, precision=precision, num_workers=0,
    )  # fmt: skip
    trainer = Trainer(clips, config, folder, progress=False)
    batches = iter(trainer.loader)

    def steps(count=STEPS):
        for _ in range(count):
            trainer.loss(next(batches)).backward()
            check_gradients(trainer)
            trainer.optimizer.step()
            trainer.optimizer.zero_grad()

    return steps


def utterances_a_second(way, clips, pickles, folder, channels, precision):
    torch.set_num_threads(2)
    if way == "published":
        steps = published_steps(clips, pickles, folder, channels)
    else:
        steps = our_steps(clips, pickles, folder, channels, precision)
    steps(2)
    started = time.perf_counter()
    steps()
    return STEPS * BATCH / (time.perf_counter() - started)


@pytest.mark.parametrize("way", ["published", "accentlib"])
@pytest.mark.parametrize(
    ("channels", "precision"), [(64, "auto"), (128, "auto"), (256, "auto"), (64, "float32")]
)
@pytest.mark.parametrize("again", range(3))
def test_training(benchmark, clips, pickles, tmp_path, way, channels, precision, again):
    """Each way in a process of its own: what one does to the memory's keeping, the other does not see."""
    name = f"train_{channels}" + ("_float32" if precision == "float32" else "")
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        run = process.submit(utterances_a_second, way, clips, pickles, tmp_path, channels, precision)
        rate = benchmark.pedantic(run.result, rounds=1)
    benchmark.extra_info |= {"name": name, "way": way, "rate": rate}
    benchmark.extra_info["precision"] = str(get_precision(precision, get_device("cpu")))
    if way == "accentlib":
        benchmark.extra_info["GFLOP/s"] = rate * gflop(channels)


def gflop(channels):
    """What an utterance takes, forward and backward."""
    model = AccentNet(Config(channels=channels), list("abcdef"))
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(2, round(SECONDS * 100), 80), None, torch.zeros(2, dtype=torch.long))[1].backward()
    return counter.get_total_flops() / 2e9


@pytest.mark.parametrize("dtype", sorted({torch.float32, get_precision("auto", get_device("cpu"))}, key=str))
@pytest.mark.parametrize("again", range(3))
def test_what_the_machine_can_do(benchmark, dtype, again):
    """A product of two 4,096 x 4,096 matrices, in bfloat16 only where the processor computes in it."""
    torch.set_num_threads(2)
    matrix = torch.randn(4096, 4096, dtype=dtype)
    matrix @ matrix
    benchmark.extra_info |= {"unit": 2 * 4096**3 / 1e9, "name": f"matmul_{dtype}", "way": "GFLOP/s"}
    benchmark.pedantic(torch.matmul, args=(matrix, matrix), rounds=3)
