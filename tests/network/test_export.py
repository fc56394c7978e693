"""Models for other programs compute the same."""

import json

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open

from accentlib.cli import main
from accentlib.config import Config, InputError
from accentlib.embeddings.inference import clip_log_mel, forward_log_mels
from accentlib.features.log_mel import normalise
from accentlib.network import export as module
from accentlib.network.accent_net import AccentNet
from accentlib.network.checkpoint import load_model
from accentlib.network.export import export


@pytest.mark.parametrize("name", ["real_speech", "accents_mini"])
def test_onnx_gives_the_embeddings_and_logits_of_clips_of_any_length(tmp_path, name):
    assert main(["export", "--checkpoint", name, "--output", str(tmp_path / "m.onnx")]) == 0
    model = load_model(name)
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"))
    assert [x.name for x in session.get_inputs()] == ["log_mels"]
    assert [x.name for x in session.get_outputs()] == ["embeddings", "logits"]
    rng, rate = np.random.default_rng(0), model.config.sample_rate
    for seconds in (1, 2.5, 4):  # one window of the model at most
        log_mels = clip_log_mel("", (rng.normal(size=round(seconds * rate)) / 10, rate), model.config)
        embeddings, logits, _ = forward_log_mels(model, [log_mels])
        own = session.run(None, {"log_mels": normalise(log_mels, model.config.normalization)[None]})
        for ours, theirs in zip((embeddings, logits), own, strict=True):
            np.testing.assert_allclose(theirs, ours, atol=1e-4 * np.abs(ours).max())
    facts = {
        x.key: json.loads(x.value)
        for x in onnx.load(str(tmp_path / "m.onnx")).metadata_props
        if x.key != "card"
    }
    assert facts["labels"] == model.labels and Config.from_dict(facts["config"]) == model.config


def test_safetensors_hold_the_weights_and_what_is_needed_to_use_them(tmp_path):
    assert (
        main(
            [
                "export",
                "--checkpoint",
                "accents_mini",
                "--format",
                "safetensors",
                "--output",
                str(tmp_path / "m"),
            ]
        )
        == 0
    )
    model = load_model("accents_mini")
    with safe_open(tmp_path / "m", "pt") as file:
        facts = {name: json.loads(x) for name, x in file.metadata().items() if name != "card"}
        again = AccentNet(Config.from_dict(facts["config"]), facts["labels"], facts["phones"])
        again.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118  no mapping
    x = torch.randn(2, 100, model.config.n_mels)
    torch.testing.assert_close(again.eval().embed(x), model.embed(x))


def test_a_file_that_computes_something_else_is_not_written(tmp_path, tiny, monkeypatch):
    model = AccentNet(tiny, ["a", "b"]).train()
    monkeypatch.setattr(module, "TOLERANCE", -1.0)
    with pytest.raises(InputError, match="not written"):
        export(model, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == [] and model.training


def test_a_file_is_named_after_its_format_and_holds_the_licence(tmp_path, capsys):
    assert main(["export", "--output", str(tmp_path / "m.safetensors")]) == 0
    with safe_open(tmp_path / "m.safetensors", "pt") as file:
        assert "CC BY-NC-SA" in file.metadata()["note"]
        card = file.metadata()["card"]
    assert (
        card.startswith("---\nlibrary_name: ")
        and '\nlabels: ["arabic", ' in card
        and "# real_speech.pt" in card
    )
    for name, more in (("m.onnx", ["--format", "safetensors"]), ("m.bin", [])):
        assert main(["export", "--output", str(tmp_path / name), *more]) == 2
        assert "name it .onnx or .safetensors" in capsys.readouterr().err


def test_a_missing_package_is_named(tmp_path, tiny, monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="onnx and onnxruntime: pip install"):
        export(AccentNet(tiny, ["a", "b"]), tmp_path / "m.onnx")
