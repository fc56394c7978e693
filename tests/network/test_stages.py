"""The table of a network's stages, and its drawings."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from accentlib import Config, Ensemble, InputError, diagrams, stages
from accentlib.network.accent_net import AccentNet


@pytest.mark.parametrize("changes", [{}, {"step_frames": 8}, {"pooling_method": "Statistics"}])
def test_all_weights_are_counted(tiny, changes):
    model = AccentNet(tiny.replace(**changes), list("abc")).train()
    table = stages(model, seconds=2.0)
    assert table["parameters"].sum() == sum(x.numel() for x in model.parameters())
    assert model.training and table["shape"].iloc[0] == (32_000,) and table["shape"].iloc[-1] == (3,)
    frames = 1 + (32_000 - 512) // 160
    steps, _ = model.encode(torch.zeros(1, frames, 80))
    assert table["shape"][1] == (frames, 80) and table["shape"][5][1] == steps.shape[1]


@pytest.mark.parametrize("step_frames", [16, 8])
def test_a_step_sees_its_receptive_field_and_no_more(tiny, step_frames):
    torch.manual_seed(0)
    model = AccentNet(tiny.replace(step_frames=step_frames), list("ab")).eval()
    seen = round((stages(model)["seen"][5] - 0.025) / 0.01) + 1  # frames
    x = torch.randn(30, 400, 80, requires_grad=True)
    model.encode(x)[0][:, 10].abs().sum().backward()
    touched = np.flatnonzero(x.grad.abs().sum((0, 2)))  # the maxima of one input hide some frames
    assert seen - 8 <= np.ptp(touched) + 1 <= seen


def test_a_resnet_has_no_such_stages():
    config = Config.laptop(front_end="ResNet34", sample_rate=16_000, pooling_method="Statistics")
    with pytest.raises(InputError, match="stages are those of a VGG"):
        stages(AccentNet(config, list("ab")))


def test_of_an_ensemble_one_network_has_stages(tiny):
    model = Ensemble([AccentNet(tiny, list("ab")) for _ in range(2)])
    with pytest.raises(InputError, match="model.networks"):
        stages(model)
    assert len(stages(model.networks[0])) == 10


def test_every_stage_is_drawn(tiny):
    table = stages(AccentNet(tiny, list("abc")))
    ax = diagrams.plot_stages(table)
    texts = " ".join(t.get_text() for t in ax.texts)
    assert all(part in texts for part in table["part"])
    assert all(" × ".join(f"{n:,}" for n in shape) in texts for shape in table["shape"])
    strip = plt.subplots()[1]
    assert diagrams.plot_strip(["VGG"], ax=strip) is strip
    faces = [tuple(patch.get_facecolor()) for patch in strip.patches if hasattr(patch, "get_boxstyle")]
    assert len(set(faces)) == 2 and len(diagrams.STRIP) == 6
    plt.close("all")
