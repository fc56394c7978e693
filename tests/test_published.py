"""True to the published network: its numbers, its checkpoints, and none of its faults."""

import argparse

import numpy as np
import pytest
import torch

import accentlib
from accentlib.checkpoint import load_model
from accentlib.config import InputError
from conftest import ROOT

GOLDEN = sorted((ROOT / "tests/golden").glob("VGG*.npz"))


def golden_model(path):
    """A reference file's numbers, its published weights, and its settings as the published trainer keeps them."""
    numbers = np.load(path)
    front_end, pooling, *annealed = path.stem.split("_")
    settings = {
        "front_end": front_end, "kernel_size": 16, "pooling_method": pooling, "heads_number": 4,
        "embedding_size": 12, "scalingFactor": 30.0, "marginFactor": 0.4, "annealing": bool(annealed),
        "mask_prob": 0.3, "num_accents": 5, "feature_size": 80, "out_dir": "./models/model1",
    }  # fmt: skip
    weights = {k.removeprefix("weight:"): torch.from_numpy(v) for k, v in numbers.items() if "weight:" in k}
    return numbers, weights, settings


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.stem)
def test_every_stage_agrees_with_the_published_code(path):
    golden, weights, settings = golden_model(path)
    model = accentlib.from_published(weights, settings)
    assert not model.training
    x = torch.from_numpy(golden["input"])
    with torch.inference_mode():
        encoded, lengths = model.encode(x)
        pooled, attention = model.pooling(encoded, torch.ones(encoded.shape[:2], dtype=torch.bool))
        embedding = model.embed(x)
        cosines = model.cosines(embedding)
        margin_logits = model.am_softmax.margin_logits(cosines, torch.from_numpy(golden["labels"]), step=2500)
        logits = model.logits(x)
    stages = {
        "encoder": encoded,
        "pooled": pooled,
        "alignment": attention.frames,
        "embedding": embedding,
        "cosine": cosines,
        "am_logits": margin_logits,
    }
    if settings["pooling_method"] == "DoubleMHA":
        stages["head_alignment"] = attention.heads.unsqueeze(-1)
    for name, result in stages.items():
        np.testing.assert_allclose(result, golden[name].reshape(result.shape), atol=1e-5, rtol=0, err_msg=name)
    np.testing.assert_allclose(logits, 30 * golden["cosine"], atol=1e-5, rtol=0)
    assert lengths.tolist() == [encoded.shape[1]] * len(x)


def test_a_published_checkpoint_predicts_and_embeds(tmp_path, bundled):
    path = GOLDEN[0]
    _, weights, settings = golden_model(path)
    content = {"model": weights, "optimizer": {}, "settings": argparse.Namespace(**settings), "epoch": 1, "step": 9}
    torch.save(content, tmp_path / "CNN_9.chkpt")
    model = load_model(tmp_path / "CNN_9.chkpt")
    clip = bundled["path"][0]
    assert accentlib.predict(model, clip)["accent"][0] in {"0", "1", "2", "3", "4"}
    from_wave = accentlib.load_audio(clip, 16_000)
    log_mels = accentlib.normalise(accentlib.log_mel(from_wave, 16_000))
    alone = model.embed(torch.from_numpy(log_mels)[None]).detach().numpy()
    np.testing.assert_allclose(accentlib.embed(model, clip), alone, atol=1e-5)
    np.testing.assert_allclose(accentlib.embed(model, (from_wave, 16_000)), alone, atol=1e-5)


def test_of_classes_a_checkpoint_may_hold_the_published_namespace_alone(tmp_path):
    class Other(argparse.Namespace):
        def __setstate__(self, state):
            (tmp_path / "ran").touch()

    Other.__module__, Other.__qualname__ = "test_published", "Other"
    globals()["Other"] = Other
    torch.save({"model": {}, "settings": Other(a=1)}, tmp_path / "other.chkpt")
    with pytest.raises(InputError, match="holds more than weights and plain types"):
        load_model(tmp_path / "other.chkpt")
    assert not (tmp_path / "ran").exists()


def test_published_weights_that_do_not_fit_are_named():
    _, weights, settings = golden_model(GOLDEN[0])
    with pytest.raises(InputError, match=r"published weights: front_end.blocks.0.conv1.weight is \(4, 1, 3, 3\)"):
        accentlib.from_published(weights, settings | {"kernel_size": 32})
    with pytest.raises(InputError, match="num_accents"):
        accentlib.from_published(weights, {k: v for k, v in settings.items() if k != "num_accents"})
