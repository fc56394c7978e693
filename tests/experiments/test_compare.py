"""The comparison of poolings: what is kept alike, what is counted, and that it goes on where it stopped."""

import re

import numpy as np
import pandas as pd
import pytest
from helpers import TINY, as_flags, write_corpus

from accentlib.cli import main
from accentlib.config import PAPER_POOLINGS, Config, InputError
from accentlib.experiments.compare import compare, comparison_table, eer_change
from accentlib.experiments.grid import check_budget
from accentlib.training.validation import Validation

FLAGS = as_flags(TINY | {"max_epochs": 1})


def test_compare_trains_each_pooling_with_each_seed_and_goes_on(tmp_path, capsys):
    folder = write_corpus(tmp_path / "corpus", speakers=6, clips=2)
    table = pd.read_csv(folder / "manifest.csv")
    table.loc[table["speaker"].str.endswith("2"), "split"] = "test"  # two voices an accent
    table.to_csv(folder / "manifest.csv", index=False)
    out_dir = tmp_path / "out"
    argv = ["compare", "--data", str(folder), "--out_dir", str(out_dir), *FLAGS, "--seeds"]
    assert main([*argv, "1"]) == 0
    assert main([*argv, "1", "2"]) == 0
    rows = pd.read_csv(out_dir / "comparison.csv")
    assert list(zip(rows["pooling"], rows["seed"], strict=True)) == [
        (p, s) for s in (1, 2) for p in PAPER_POOLINGS
    ]
    assert rows["eer"].between(0, 1).all() and (rows["speakers"] == 6).all() and (rows["clips"] == 12).all()
    assert (out_dir / "comparison.png").stat().st_size > 5000
    out, err = capsys.readouterr()
    assert "chance 33.3%" in out and "6 unseen speakers" in out and "± " in out
    assert err.count(f"training in {out_dir / 'DoubleMHA-1'}\n") == 1  # the first seed was not trained again
    assert main([*argv, "1", "--learning_rate", "1"]) == 2
    assert "were made with learning_rate 0.003, not 1.0" in capsys.readouterr().err
    others = ["--poolings", "AttentiveStatistics", "DoubleMHAStatistics"]
    assert main([*argv, "1", *others]) == 0
    rows = pd.read_csv(out_dir / "comparison.csv")
    assert rows["pooling"].tolist()[8:] == others[1:] and rows.notna().all(axis=None)
    assert main([*argv, "1", "--poolings", "Nonsense"]) == 2
    assert "pooling_method must be one of" in capsys.readouterr().err


def test_the_table_and_the_change_by_hand():
    eer = {"Attention": [0.2, 0.4], "MHA": [0.1, 0.2], "DoubleMHA": [0.1, 0.3]}
    rows = [
        {"pooling": name, "seed": seed, "macro_f1": 0.5, "balanced_accuracy": 0.5, "eer": x}
        for name, values in eer.items()
        for seed, x in zip((1, 2), values, strict=True)
    ]
    table = comparison_table(pd.DataFrame(rows))
    assert list(table.index) == ["Attention", "MHA", "DoubleMHA"] and (table["seeds"] == 2).all()
    assert table.loc["MHA", "eer_mean"] == pytest.approx(0.15)
    assert table.loc["MHA", "eer_std"] == pytest.approx(np.std([0.1, 0.2], ddof=1))
    change = eer_change(pd.DataFrame(rows))
    assert change.loc["Attention", "mean"] == pytest.approx(-(0.5 + 0.25) / 2)
    assert change.loc["MHA", "mean"] == pytest.approx((0 + 0.5) / 2)


def test_a_budget_of_version_0_1_is_accepted_under_its_old_names(tmp_path):
    config, file = Config.laptop(), tmp_path / "budget.json"
    check_budget(file, tmp_path, config, folds=4)
    text = file.read_text()
    for new, old in {
        "channels": "kernel_size",
        "heads": "heads_number",
        "phone_weight": "sound_weight",
    }.items():
        text = text.replace(f'"{new}"', f'"{old}"')
    file.write_text(text)
    check_budget(file, tmp_path, config, folds=4)
    assert file.read_text() == text and "kernel_size" in text
    file.write_text(re.sub(r'"step_frames": 0,\s*', "", text))  # an option that came later
    check_budget(file, tmp_path, config, folds=4)
    with pytest.raises(InputError, match="were made with channels 64, not 32; name another --out_dir"):
        check_budget(file, tmp_path, config.replace(channels=32), folds=4)


def test_a_stopped_cell_goes_on_and_a_finished_one_is_not_trained_again(tmp_path, tiny, monkeypatch):
    data = write_corpus(tmp_path / "corpus", speakers=5, clips=2)
    options = {"seeds": [1], "poolings": ["MHA"], "progress": False}
    full = compare(data, tiny, tmp_path / "full", **options).drop(columns="seconds")
    measure, out_dir = Validation.measure, tmp_path / "stopped"

    def stop(self, model):
        if (out_dir / "MHA-1" / "last.pt").is_file():
            raise KeyboardInterrupt
        return measure(self, model)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Validation, "measure", stop)
        compare(data, tiny, out_dir, **options)
    assert not (out_dir / "comparison.csv").exists()
    for _ in range(2):
        rows = compare(data, tiny, out_dir, **options)
        assert len(rows) == 1 and rows.drop(columns="seconds").equals(full)
