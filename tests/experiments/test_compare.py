"""The comparison of poolings: what is kept alike, what is counted, and that it goes on where it stopped."""

import re

import numpy as np
import pandas as pd
import pytest
from helpers import TINY, as_flags, write_corpus

from accentlib.cli import main
from accentlib.config import PAPER_POOLINGS, Config, InputError
from accentlib.embeddings.metrics import speaker_interval
from accentlib.experiments.compare import compare, comparison_table, differences, eer_change
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
    assert out.count("DoubleMHA beside ") == 2 * 3 and "paired by speaker" in out
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


def test_a_difference_is_paired_by_speaker_over_all_seeds(tmp_path):
    """Against a plain loop; both poolings are right about the same hard speakers, so it is surer than two intervals."""
    rng, rows = np.random.default_rng(0), []
    for seed in (1, 2):
        easy = rng.random(40) < 0.5
        accents = np.array(["x", "y"] * 20)
        clips = {
            "id": [f"{i}.wav" for i in range(40)],
            "speaker": [f"s{i}" for i in range(40)],
        }
        for name, share in (("DoubleMHA", 0.2), ("MHA", 0.0)):
            right = easy | (rng.random(40) < share)
            predicted = np.where(right, accents, "z")
            folder = tmp_path / f"{name}-{seed}"
            folder.mkdir()
            table = pd.DataFrame(clips | {"accent": accents, "predicted": predicted})
            table.sample(frac=1, random_state=seed).to_csv(folder / "predictions.csv", index=False)
            rows.append({"pooling": name, "seed": seed})
    mean, (low, high) = differences(pd.DataFrame(rows), tmp_path)["MHA"]
    tables = {
        p: [pd.read_csv(tmp_path / f"{p}-{s}" / "predictions.csv") for s in (1, 2)]
        for p in ("DoubleMHA", "MHA")
    }
    gains = {}
    for ours, other in zip(*tables.values(), strict=True):
        for _, row in ours.iterrows():
            theirs = other.loc[other["id"] == row["id"], "predicted"].iloc[0]
            gain = (row["predicted"] == row["accent"]) - (theirs == row["accent"])
            gains.setdefault((row["speaker"], row["accent"]), []).append(float(gain))
    by_accent = {a: [np.mean(x) for (_, b), x in gains.items() if a == b] for a in "xy"}
    assert mean == pytest.approx(np.mean([np.mean(x) for x in by_accent.values()]))
    drawn = [np.mean([rng.choice(x, len(x)).mean() for x in by_accent.values()]) for _ in range(4000)]
    assert (low, high) == pytest.approx(np.percentile(drawn, [2.5, 97.5]), abs=0.02)
    assert low > 0  # while the two poolings' own intervals overlap
    alone = [speaker_interval(t[0]["accent"].to_numpy(), t[0]["predicted"].to_numpy(), t[0]["speaker"])
             for t in tables.values()]  # fmt: skip
    assert alone[0][0] < alone[1][1]


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
