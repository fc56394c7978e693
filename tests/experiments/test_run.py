"""Evaluation of a model on splits of a corpus."""

import json

import numpy as np
import pandas as pd
import pytest
from helpers import write_corpus

from accentlib.config import Config
from accentlib.experiments.run import evaluate, run, warnings_of
from accentlib.network.accent_net import AccentNet


@pytest.mark.parametrize(("split", "clips", "simple"), [("train", 6, 0), ("test", 6, 4), ("alone", 18, 0)])
def test_baselines_stand_beside_figures_where_there_is_another_split_to_train_on(
    tmp_path, tiny, split, clips, simple
):
    data = write_corpus(tmp_path, speakers=3, clips=2)
    if split == "alone":
        pd.read_csv(data / "manifest.csv").assign(split="test").to_csv(data / "manifest.csv", index=False)
    model = AccentNet(tiny, ["high", "low", "middle"])
    metrics = evaluate(model, data, split.replace("alone", "test"))
    assert metrics["clips"] == clips and len(metrics.get("baselines", {})) == simple
    assert ("worse_than_baseline" in metrics) == bool(simple)
    assert not metrics["problems"] and warnings_of(metrics)[-1].startswith("this shows single people")


def test_what_cannot_be_read_is_named_and_left_out(tmp_path, tiny):
    data = write_corpus(tmp_path, speakers=3, clips=2)
    for name in ("low_1_0.wav", "low_2_0.wav"):  # of the test split, and of the training split
        (data / name).write_bytes(b"no audio")
    metrics = evaluate(AccentNet(tiny, ["high", "low", "middle"]), data)
    assert metrics["clips"] == 5 and len(metrics["problems"]) == 1 and len(metrics["baselines"]) == 4


def test_there_is_a_first_picture_before_the_training_ends(tmp_path, tiny, monkeypatch, capsys):
    data = write_corpus(tmp_path / "c", speakers=3, clips=2)
    monkeypatch.setattr("accentlib.experiments.run.FIRST_LOOK", 2)
    seen, picture = [], tmp_path / "run" / "figures" / "tsne_first.png"
    monkeypatch.setattr("accentlib.training.loop.check_gradients", lambda _: seen.append(picture.exists()))
    metrics = run(data, tiny.replace(max_epochs=4), tmp_path / "run")
    written = pd.read_csv(tmp_path / "run/predictions.csv")
    assert written["split"].value_counts().to_dict() == {"train": 6, "validation": 6, "test": 6}
    test = written[written["split"] == "test"]
    recalls = (test["predicted"] == test["accent"]).groupby(test["accent"]).mean()
    assert np.isclose(recalls.mean(), metrics["balanced_accuracy"])
    assert len(pd.read_csv(tmp_path / "run/history.csv")) == 4
    assert Config.from_dict(json.loads((tmp_path / "run/config.json").read_text())).max_epochs == 4
    assert seen == [False, False, True, True] and picture.stat().st_size > 5000
    assert f"after 2 of 4 epochs: {picture}" in capsys.readouterr().err
    run(data, tiny.replace(max_epochs=1), tmp_path / "short")
    assert not (tmp_path / "short" / "figures" / "tsne_first.png").exists()
