"""The comparison of poolings: what is kept alike, what is counted, and that it goes on where it stopped."""

import numpy as np
import pandas as pd
import pytest
from helpers import TINY, as_flags, write_corpus

from accentlib.cli import main
from accentlib.config import POOLINGS
from accentlib.experiments.compare import comparison_table, eer_change

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
    assert list(zip(rows["pooling"], rows["seed"], strict=True)) == [(p, s) for s in (1, 2) for p in POOLINGS]
    assert rows["eer"].between(0, 1).all() and (rows["speakers"] == 6).all() and (rows["clips"] == 12).all()
    assert (out_dir / "comparison.png").stat().st_size > 5000
    out, err = capsys.readouterr()
    assert "chance 33.3%" in out and "6 unseen speakers" in out and "± " in out
    assert err.count("DoubleMHA, seed 1") == 1  # the first seed was not trained again
    assert main([*argv, "1", "--learning_rate", "1"]) == 2
    assert "were made with learning_rate 0.003, not 1.0" in capsys.readouterr().err


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
