"""What a run does with a stranger's corpus, and the native ear that it has to beat."""

import json

import numpy as np
import pandas as pd
import pytest
from helpers import ROOT, TINY, as_flags, write_corpus, write_phones

from accentlib.cli import main
from accentlib.config import Config, InputError
from accentlib.corpora import recogniser
from accentlib.corpora.recogniser import words_of
from accentlib.corpora.table import read_corpus
from accentlib.experiments import native_ear, recipe
from accentlib.network.checkpoint import load_model

NEURAL = ROOT / "data" / "neural_voices"


def declare(corpus, **columns):
    """Replace what a manifest declares."""
    table = pd.read_csv(corpus / "manifest.csv").drop(columns="speech", errors="ignore")
    table.assign(**columns).to_csv(corpus / "manifest.csv", index=False)
    return corpus


@pytest.fixture
def corpus(tmp_path):
    return write_corpus(tmp_path / "corpus")


def test_the_recipe_follows_from_what_the_manifest_declares_and_has(corpus, monkeypatch):
    config, why = recipe.choose(corpus)
    assert config.max_epochs == 30 and not config.phone_weight and "synthetic" in why
    config, why = recipe.choose(declare(corpus))
    assert config.phone_weight and config.pooling_method == "Phones" and "finds first" in why
    assert "45 clips of 15 speakers" in why and config.max_epochs == recipe.MOST_EPOCHS
    french, why = recipe.choose(declare(corpus, speech="people", language="French"))
    assert (
        not french.phone_weight and french.pooling_method == "Statistics" and "no clip is in English" in why
    )
    monkeypatch.setattr(recogniser, "find_spec", lambda name: None)
    config, why = recipe.choose(declare(corpus, speech="people", language="en"))
    assert not config.phone_weight and "much worse" in why and "pip install 'accentlib[phones]'" in why
    (corpus / "phones.csv").write_text("path,start,end,phone\n")
    for config, why in (recipe.choose(corpus), recipe.choose(corpus / "manifest.csv")):
        assert config.phone_weight and "phones.csv" in why


def test_phones_of_an_earlier_run_are_taken_if_they_are_of_these_clips(corpus, tmp_path, monkeypatch):
    table, asked = read_corpus(corpus), []

    def find(clips, output):
        asked.append(len(clips))
        rows = clips[["id", "path"]].assign(start=0, end=0.1, phone="AA")
        rows.to_csv(output, index=False)
        return rows, {}

    monkeypatch.setattr(recipe, "find_phones", find)
    config = Config.real_speech()
    for clips in (table[:20], table[:20], table[:22], table, table):
        phones = recipe.phones_for(clips, corpus, config, tmp_path)
        assert pd.Index(clips["id"]).isin(phones["id"]).mean() > 0.9
    assert asked == [20, 45]
    monkeypatch.setattr(recipe, "world_size", lambda: 2)
    assert len(recipe.phones_for(table, corpus, config, tmp_path)) == 45
    with pytest.raises(InputError, match="several processes train: make .*phones.csv first"):
        recipe.phones_for(table, corpus, config, tmp_path / "other")
    assert recipe.phones_for(table, corpus, Config.laptop(), tmp_path) is None


def test_epochs_follow_from_the_number_of_clips(corpus):
    table = pd.read_csv(declare(corpus) / "manifest.csv")
    many = pd.concat([table.assign(path=f"{i}_" + table["path"]) for i in range(20)])
    many.to_csv(corpus / "manifest.csv", index=False)
    assert recipe.choose(corpus)[0].max_epochs == -(-recipe.DRAWS // 900)
    assert "preset real_speech, 7 epochs" in recipe.choose(corpus, max_epochs=7)[1]


def test_a_run_on_a_strangers_english_makes_phones_and_says_if_a_native_ear_is_better(tmp_path, capsys):
    """Nothing declared, no phones, no flag but the sizes that keep the test short."""
    pytest.importorskip("pocketsphinx")
    table = read_corpus(NEURAL, split=False)
    table = table[table["accent"].isin(["us", "fr"])].groupby(["accent", "speaker"]).head(1)
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    table[["path", "accent", "speaker", "split"]].to_csv(corpus / "manifest.csv", index=False)
    files = sorted(corpus.iterdir())
    sizes = as_flags({k: TINY[k] for k in ("channels", "batch_size")} | {"max_epochs": 1})
    assert main(["run", "--data", str(corpus), "--out_dir", str(tmp_path / "run"), *sizes]) == 0
    err = capsys.readouterr().err
    assert "preset real_speech" in err and "finding the phones of" in err
    model = load_model(tmp_path / "run" / "best.pt")
    assert {"SIL", "AA", "T"} <= set(model.phones) and model.config.pooling_method == "Phones"
    phones = pd.read_csv(tmp_path / "run" / "phones.csv")
    assert set(phones["path"]) == set(table.loc[table["split"] == "train", "path"])
    assert sorted(corpus.iterdir()) == files  # nothing was written beside the recordings
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0 <= metrics["baselines"]["native_ear"] <= 1


def test_without_the_extra_a_run_says_so_and_trains_all_the_same(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(recogniser, "find_spec", lambda name: None)
    sizes = as_flags({k: TINY[k] for k in ("channels", "heads", "batch_size", "crop_seconds", "max_epochs")})
    argv = ["run", "--data", str(declare(corpus)), "--out_dir", str(tmp_path / "run"), *sizes]
    assert main(argv) == 0
    err = capsys.readouterr().err
    assert "without phones, which makes it much worse (phones need pocketsphinx" in err
    assert "native_ear" not in json.loads((tmp_path / "run" / "metrics.json").read_text())["baselines"]
    assert load_model(tmp_path / "run" / "best.pt").phones == []


def test_a_model_that_pools_by_phones_is_tuned_where_no_phones_are_known(corpus, tmp_path, capsys):
    """Its phone layer says which phone is spoken; other phones, or too few, do not change which it knows."""
    phones = write_phones(corpus, "AA", "SIL", "T")
    sizes = as_flags(TINY | {"max_epochs": 1, "num_workers": 0})
    argv = ["--data", str(corpus), "--pooling_method", "Phones", *sizes]
    weighted = [*argv, "--phone_weight", "1"]
    assert main(["train", *weighted, "--out_dir", str(tmp_path / "first")]) == 0
    first = load_model(tmp_path / "first" / "best.pt")
    assert first.phones == ["AA", "SIL", "T"]
    tune = ["finetune", "--checkpoint", str(tmp_path / "first" / "best.pt")]
    (corpus / "phones.csv").unlink()
    assert main([*tune, *argv, "--out_dir", str(tmp_path / "tuned")]) == 0
    tuned = load_model(tmp_path / "tuned" / "best.pt")
    assert tuned.phones == first.phones
    np.testing.assert_array_equal(tuned.phone_layer.weight.detach(), first.phone_layer.weight.detach())
    own, before = tuned.config, first.config  # the checkpoint's settings, but for what fine-tuning changes
    assert (own.learning_rate, own.freeze_epochs, own.phone_weight) == (1e-3, 60, 0)
    assert own.dropout == before.dropout and own.schedule == before.schedule
    for a, b in zip(first.front_end.parameters(), tuned.front_end.parameters(), strict=True):
        np.testing.assert_array_equal(a.detach(), b.detach())
    assert not np.array_equal(first.fc1.weight.detach(), tuned.fc1.weight.detach())
    resumed = ["--resume", "--max_epochs", "2", "--out_dir", str(tmp_path / "tuned")]
    assert main(["train", "--data", str(corpus), *resumed]) == 0
    assert load_model(tmp_path / "tuned" / "last.pt").phones == first.phones
    table = pd.read_csv(corpus / "manifest.csv")
    one = table.loc[table["split"] == "train", "path"].iloc[0]
    phones[phones["path"] == one].head(2).to_csv(corpus / "phones.csv", index=False)
    assert main([*tune, *weighted, "--out_dir", str(tmp_path / "with")]) == 0
    assert load_model(tmp_path / "with" / "best.pt").phones == first.phones
    capsys.readouterr()
    assert main(["train", *argv, "--out_dir", str(tmp_path / "none"), "--phone_weight", "0"]) == 2
    assert "pooling_method Phones needs phones" in capsys.readouterr().err


def test_a_native_ear_hears_what_is_said():
    """Each phone of the known text has a best phone of its own, most of the time."""
    pytest.importorskip("pocketsphinx")
    path = next(NEURAL.glob("us/*_s00.*"))
    wave = recogniser.pcm(path)
    x = native_ear.log_posteriors(wave)
    assert x.shape[1] == 42
    np.testing.assert_allclose(np.exp(x).sum(axis=1), 1)
    text = words_of("The farmer cannot park his car after dark in the yard.")
    spoken = recogniser.align(wave, text)
    said = np.full(len(x), "", dtype=object)
    for start, end, name, _ in spoken:
        said[round(100 * start) : round(100 * end)] = name
    counts = pd.crosstab(said, x.argmax(axis=1))
    assert counts.idxmax(axis=1).nunique() > 0.6 * len(counts) > 10
    assert counts.max(axis=1).sum() > 0.5 * len(x) > 2 * counts.sum().max()
    sums = native_ear.heard(path)
    assert sums[:, -1].sum() == len(x)
    np.testing.assert_allclose(sums[:, :-1].sum(axis=0), x.sum(axis=0))
    native_ear.heard(next(NEURAL.glob("fr/*_s01.*")))
    np.testing.assert_array_equal(native_ear.log_posteriors(wave), x)  # whatever came before


def test_the_native_ear_tells_accents_by_how_phones_sound_and_not_by_how_often_they_occur(
    tmp_path, monkeypatch
):
    rng = np.random.default_rng(0)
    rows = [(f"{a}{i}", a, "test" if i < 5 else "train") for a in ("x", "y") for i in range(25)]
    table = pd.DataFrame(rows, columns=["path", "accent", "split"])
    table["id"] = table["path"]
    heard = {}
    for path, accent in zip(table["path"], table["accent"], strict=True):
        counts = rng.integers(0, 100, (42, 1)).astype(float)
        means = rng.normal(0, 1, (42, 42))
        means[7, 3] += 5 if accent == "x" else -5  # one phone sounds more like another
        heard[path] = np.hstack([counts * means, counts])
    monkeypatch.setattr(native_ear, "in_processes", lambda function, paths, progress: map(heard.get, paths))
    known = native_ear.profiles(table, tmp_path / "heard.npz")
    heard.clear()  # what was heard is kept
    np.testing.assert_allclose(
        native_ear.profiles(table, tmp_path / "heard.npz")["x3"], known["x3"], rtol=1e-6
    )
    train, test = (table[table["split"] == split] for split in ("train", "test"))
    assert (native_ear.native_ear(known, train, test) == test["accent"]).mean() >= 0.9
