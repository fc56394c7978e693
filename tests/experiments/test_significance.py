"""A paired test of two classifiers, and a linear classifier of somebody else's vectors."""

import json

import numpy as np
import pandas as pd
import pytest
from helpers import write_corpus

from accentlib.cli import main
from accentlib.config import InputError
from accentlib.corpora.table import read_corpus, select
from accentlib.experiments.significance import significance
from accentlib.experiments.vectors import evaluate_vectors


def predictions(folder, name, right, speakers=20, clips=6, seed=0):
    """Clips of speakers of two accents, of which a share is right, speaker by speaker."""
    rng, rows = np.random.default_rng(seed), []
    for s in range(speakers):
        share = np.clip(right + rng.normal(0, 0.1), 0, 1)
        for c in range(clips):
            accent = ("a", "b")[s % 2]
            predicted = accent if rng.random() < share else {"a": "b", "b": "a"}[accent]
            rows.append(
                {
                    "id": f"{s}-{c}",
                    "speaker": f"s{s}",
                    "accent": accent,
                    "predicted": predicted,
                    "split": "test",
                }
            )
    rows.append({"id": "x", "speaker": "x", "accent": "a", "predicted": "b", "split": "train"})
    pd.DataFrame(rows).to_csv(folder / name, index=False)
    return folder / name


def test_a_clear_difference_is_seen_and_none_is_not(tmp_path, capsys):
    good, poor = (
        predictions(tmp_path, "good.csv", 0.9, seed=1),
        predictions(tmp_path, "poor.csv", 0.6, seed=2),
    )
    assert main(["significance", str(good), str(poor)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert 0.1 < found["low"] < found["difference"] < found["high"] < 0.5 and found["p"] < 0.01
    assert found["speakers"] == 20 and found["clips"] == 120 and found["speakers_needed"] < 20
    back = significance(poor, good)
    assert back["difference"] == -found["difference"] and back["p"] == found["p"]
    assert found["few_speakers"] == ""
    pd.read_csv(good).to_csv(good, index=False, sep=";")  # as a spreadsheet writes it
    same = significance(good, good)
    assert same["difference"] == 0 and same["p"] == 1 and same["speakers_needed"] is None


def test_the_permutation_test_keeps_its_promise(tmp_path):
    """Of pairs that do not differ, about one in twenty has p < 0.05."""
    p = []
    for seed in range(40):
        pair = [predictions(tmp_path, f"{i}.csv", 0.7, speakers=10, seed=2 * seed + i) for i in range(2)]
        p.append(significance(*pair)["p"])
    assert np.mean(np.array(p) < 0.05) <= 0.15 and 0.3 < np.mean(p) < 0.7


def test_faults_are_named(tmp_path):
    good = predictions(tmp_path, "good.csv", 0.9)
    table = pd.read_csv(good)
    for change, message in (
        (table.assign(id=table["id"] + "'"), "no clip in common"),
        (table.assign(speaker="one"), "name different speakers for"),
        (table.drop(columns="predicted"), "lacks the column predicted"),
        (pd.concat([table, table[:1]]), "listed twice"),
    ):
        change.to_csv(tmp_path / "other.csv", index=False)
        with pytest.raises(InputError, match=message):
            significance(good, tmp_path / "other.csv")
    with pytest.raises(InputError, match="no such file"):
        significance(good, tmp_path / "none.csv")


def test_vectors_of_another_system_are_judged_on_our_splits(tmp_path, capsys):
    data = write_corpus(tmp_path / "corpus", speakers=6, clips=3)
    table, rng = read_corpus(data), np.random.default_rng(0)
    means = {accent: rng.normal(size=8) for accent in sorted(set(table["accent"]))}
    vectors = np.stack([means[accent] for accent in table["accent"]]) + rng.normal(0, 0.1, (len(table), 8))
    np.savez(tmp_path / "v.npz", ids=table["id"].to_numpy(str), embeddings=vectors)
    assert main(["evaluate", "--embeddings", str(tmp_path / "v.npz"), "--data", str(data)]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["balanced_accuracy"] == 1 and figures["clips"] == len(select(table, "test"))
    table[["id"]].join(pd.DataFrame(vectors).add_prefix("e")).to_csv(tmp_path / "v.csv", index=False)
    assert evaluate_vectors(tmp_path / "v.csv", data)["balanced_accuracy"] == 1
    relative = [str(path).removeprefix(f"{data}/") for path in table["path"]]
    np.savez(tmp_path / "r.npz", paths=np.array(relative), embeddings=vectors)
    assert evaluate_vectors(tmp_path / "r.npz", data)["balanced_accuracy"] == 1


def test_unusable_vectors_are_refused(tmp_path):
    data = write_corpus(tmp_path / "corpus")
    table = read_corpus(data)
    ids, vectors = table["id"].to_numpy(str), np.zeros((len(table), 2))
    broken = vectors.copy()
    broken[3] = np.nan
    file = tmp_path / "v.npz"
    for arrays, message in (
        ({"ids": ids[1:], "embeddings": vectors[1:]}, "no embedding of"),
        ({"ids": ids, "embeddings": broken}, "is not finite"),
        ({"ids": ids, "embeddings": vectors[1:]}, "do not go together"),
        ({"ids": ids.astype(object), "embeddings": vectors}, "no plain arrays"),
        ({"names": ids}, "no plain arrays"),
    ):
        np.savez(file, **arrays)
        with pytest.raises(InputError, match=message):
            evaluate_vectors(file, data)
    with pytest.raises(InputError, match="no such file"):
        evaluate_vectors(tmp_path / "none.npz", data)
