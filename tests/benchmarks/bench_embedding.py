"""Embeddings of clips of 1 to 5 s: in padded batches of like lengths, one at a time, and so by the published network."""

import functools

import numpy as np
import pytest
import torch
from published import Network

from accentlib.config import Config
from accentlib.embeddings.inference import forward_log_mels
from accentlib.features.parallel import keep_freed_memory
from accentlib.network.accent_net import AccentNet

CLIPS = 300


@torch.inference_mode()
def as_published(log_mels):
    network, label = Network(64, 8, 6).eval(), torch.zeros(1, dtype=torch.long)
    for x in log_mels:
        network(torch.from_numpy(x)[None], label)


def one_at_a_time(log_mels):
    return np.concatenate([forward_log_mels(model(), [x])[0] for x in log_mels])


def in_batches(log_mels):
    return forward_log_mels(model(), log_mels)[0]


@functools.cache
def model():
    torch.manual_seed(0)
    return AccentNet(Config.laptop(sample_rate=16_000, n_mels=80), list("abcdef")).eval()


WAYS = {"published": as_published, "accentlib": in_batches, "accentlib, one at a time": one_at_a_time}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("again", range(5))
def test_embedding(benchmark, way, again):
    torch.set_num_threads(2)
    keep_freed_memory()
    rng = np.random.default_rng(0)
    log_mels = [rng.normal(size=(n, 80)).astype(np.float32) for n in rng.integers(100, 501, CLIPS)]
    benchmark.extra_info |= {"unit": CLIPS, "name": "embed_batched", "way": way}
    result = benchmark.pedantic(WAYS[way], args=(log_mels,), rounds=1)
    if way == "accentlib":
        np.testing.assert_allclose(result, one_at_a_time(log_mels), atol=1e-5)
