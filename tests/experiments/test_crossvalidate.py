"""Cross-validation, its intervals, calibration, and the baselines beside it."""

import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import RATE, TINY, as_flags, tone, write_corpus, write_phones

from accentlib.cli import main
from accentlib.config import InputError
from accentlib.corpora.splits import assign_folds, fold_splits
from accentlib.embeddings.calibration import (
    RIGHT_WHEN_SURE,
    calibrate,
    fit_temperature,
    fit_window_gain,
    softmax,
    unsure_threshold,
)
from accentlib.embeddings.inference import infer, predict
from accentlib.embeddings.metrics import (
    classification_metrics,
    expected_calibration_error,
    reliability,
    speaker_interval,
)
from accentlib.experiments.baselines import classical_predictions
from accentlib.experiments.crossvalidate import by_speaker, cross_validate, figures_of, report_figures
from accentlib.network.accent_net import AccentNet
from accentlib.network.checkpoint import load_model, read_checkpoint, save_calibrated, save_checkpoint


def people(speakers: int = 40, clips: int = 3) -> pd.DataFrame:
    rows = [
        {"path": f"{a}{s}_{c}", "accent": a, "speaker": f"{a}{s}"}
        for a in "xy"
        for s in range(speakers // 2)
        for c in range(clips)
    ]
    return pd.DataFrame(rows)


def test_folds_share_no_speaker_and_test_everyone_once():
    table = people(50)
    folds = assign_folds(table, 5)
    assert (folds.groupby(table["speaker"]).nunique() == 1).all()
    assert (pd.crosstab(table["accent"], folds) == 3 * 5).all(
        axis=None
    )  # five speakers of each accent in each
    tested = []
    for fold in range(5):
        split = fold_splits(table, fold, 5)
        assert (split.groupby("speaker")["split"].nunique() == 1).all()
        parts = split.groupby("split")["speaker"].nunique()
        assert parts["test"] == 10 and 4 <= parts["validation"] <= 6 and parts.sum() == 50
        assert split.groupby("split")["accent"].nunique().eq(2).all()
        tested += sorted(set(split.loc[split["split"] == "test", "speaker"]))
    assert sorted(tested) == sorted(set(table["speaker"]))


def accents(**speakers: int) -> pd.DataFrame:
    """A clip for each of so many speakers of each accent."""
    rows = [(f"{a}{i}", a, f"{a}{i}") for a, n in speakers.items() for i in range(n)]
    return pd.DataFrame(rows, columns=["path", "accent", "speaker"])


@pytest.mark.parametrize(
    ("speakers", "folds"), [(4, 4), (4, 3), (4, 2), (3, 3), (5, 5), (5, 2), (7, 5), (9, 5), (9, 2)]
)
def test_few_speakers_are_cross_validated_with_each_accent_in_every_split(speakers, folds):
    table = accents(w=speakers, x=speakers + 1, y=4 * speakers, z=60)
    tested = []
    for fold in range(folds):
        counts = pd.crosstab(*(split := fold_splits(table, fold, folds))[["accent", "split"]].T.to_numpy())
        assert counts.shape == (4, 3) and counts.to_numpy().min() >= 1
        left = counts["train"] + counts["validation"]
        assert (counts["validation"] <= np.maximum(1, np.ceil(left / 8))).all()  # one in eight, or one
        tested += list(split.loc[split["split"] == "test", "speaker"])
    assert sorted(tested) == sorted(table["speaker"])


@pytest.mark.parametrize(
    ("speakers", "folds", "message"),
    [
        (4, 5, "has 4 speakers; 5 folds need at least 5 of each accent .--folds 4 is the largest number"),
        (3, 2, "has 3 speakers; 2 folds need at least 4 of each accent .--folds 3 is the largest number"),
        (2, 3, "has 2 speakers; 3 folds need at least 3 of each accent .merge accents, or leave it out"),
        (1, 5, "has 1 speaker; 5 folds need at least 5 of each accent .merge accents, or leave it out"),
    ],
)
def test_too_few_speakers_for_so_many_folds_are_said_before_anything_is_computed(
    tmp_path, capsys, speakers, folds, message
):
    table = accents(low=speakers, high=9)
    table["split"] = (["train", "validation", "test"] * 9)[: len(table)]
    table.to_csv(tmp_path / "manifest.csv", index=False)  # there is no such recording: nothing may be read
    argv = ["crossvalidate", "--preset", "laptop", "--data", str(tmp_path), "--out_dir", str(tmp_path / "cv")]
    assert main([*argv, "--folds", str(folds)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and re.search("accent 'low' " + message, said), said
    assert not (tmp_path / "cv").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--folds", "1"], "cross-validation needs at least 2 folds, not 1"),
        (["--folds", "3", "--tested", "0", "3"], "there is no fold 3; 3 folds are numbered from 0 to 2"),
    ],
)
def test_folds_that_cannot_be_are_refused_before_anything_is_computed(tmp_path, capsys, options, message):
    table = accents(low=9, high=9).assign(split=["train", "validation", "test"] * 6)
    table.to_csv(tmp_path / "manifest.csv", index=False)
    argv = ["crossvalidate", "--data", str(tmp_path), "--out_dir", str(tmp_path / "cv"), *options]
    assert main(argv) == 2
    assert re.search(message, capsys.readouterr().err) and not (tmp_path / "cv").exists()


def test_an_accent_that_shared_speakers_keep_out_of_a_split_is_named():
    """Folds are assigned by a speaker's first accent, so nothing spreads those of z, who all speak x first."""
    table = accents(x=12, y=12)
    table = pd.concat([table, table.head(3).assign(accent="z", path=["p", "q", "r"])], ignore_index=True)
    message = "fold .: no speaker of accent 'z' is in the .* split, because speakers have several accents"
    with pytest.raises(InputError, match=message):
        for fold in range(4):
            fold_splits(table, fold, 4)
    table = pd.concat([table, pd.DataFrame({"path": ["s"], "accent": ["z"], "speaker": ["z0"]})])
    with pytest.raises(InputError, match="accent 'z' has 1 speaker of its own; 4 folds need at least 4"):
        fold_splits(table, 0, 4)


def test_sixteen_speakers_are_cross_validated_from_the_command_line(tmp_path, capsys, recwarn):
    rows = pd.read_csv(write_corpus(tmp_path / "corpus", speakers=4, clips=1) / "manifest.csv")
    rows.drop(columns="split").to_csv(tmp_path / "corpus" / "manifest.csv", index=False)
    flags = as_flags(TINY | {"num_workers": 0, "print_every": 0, "max_epochs": 1})
    argv = ["crossvalidate", "--data", str(tmp_path / "corpus"), "--out_dir", str(tmp_path / "cv"), *flags]
    assert main([*argv, "--folds", "4", "--final"]) == 0
    out, err = capsys.readouterr()
    assert "3 accents, 12 unseen speakers" in out and "nan" not in out and "warning" not in err.lower()
    assert not recwarn.list
    figures = json.loads((tmp_path / "cv" / "crossvalidation.json").read_text())
    assert {"network", "svm_log_mel"} < set(figures["speaker"])
    assert "NaN" not in (tmp_path / "cv" / "crossvalidation.json").read_text()
    assert load_model(tmp_path / "cv" / "final" / "model.pt").labels == ["high", "low", "middle"]
    assert main([*argv, "--folds", "3"]) == 2  # what is there was tested in other folds
    assert "made with folds 4, not 3; name another --out_dir" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("speakers", "message"),
    [
        ({"x": 2, "y": 9}, "accent 'x' has 2 speakers; 5 folds need at least 5 of each accent (merge"),
        ({"x": 9}, "only one accent, 'x'; two are needed"),
    ],
)
def test_cross_validation_asks_for_no_split_that_it_does_not_use(tmp_path, capsys, speakers, message):
    accents(**speakers).to_csv(tmp_path / "manifest.csv", index=False)
    argv = ["crossvalidate", "--preset", "laptop", "--data", str(tmp_path), "--out_dir", str(tmp_path / "cv")]
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert message in said and "split" not in said and said.count("\n") == 1


def test_a_recording_that_cannot_be_read_is_named_before_its_speaker_is_missed(tmp_path, capsys):
    corpus = write_corpus(tmp_path / "corpus", speakers=3, clips=1)
    (corpus / "low_1_0.wav").write_bytes(b"no phone")
    argv = ["crossvalidate", "--data", str(corpus), "--out_dir", str(tmp_path / "cv"), "--folds", "3"]
    assert main([*argv, *as_flags(TINY)]) == 2
    *_, named, last = capsys.readouterr().err.splitlines()
    assert (
        named.startswith(f"left out: {corpus / 'low_1_0.wav'}: ") and "'low' has 2 speakers; 3 folds" in last
    )


def test_the_interval_is_that_of_a_plain_bootstrap_over_speakers():
    """And it is wider than one over clips, which takes a person's clips for so many people."""
    rng = np.random.default_rng(1)
    table = people(40, clips=8)
    good = dict(zip(sorted(set(table["speaker"])), rng.random(40) < 0.6, strict=True))
    predicted = np.where(table["speaker"].map(good), table["accent"], "z")
    low, high = speaker_interval(table["accent"].to_numpy(), predicted, table["speaker"], draws=4000)
    draws, names = [], sorted(good)
    for _ in range(1500):
        drawn = rng.choice(names, 40)
        recalls = [
            np.mean([good[s] for s in drawn if s[0] == a]) for a in "xy" if any(s[0] == a for s in drawn)
        ]
        draws.append(np.mean(recalls))
    assert (low, high) == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])), abs=0.03)
    clip_low, clip_high = speaker_interval(table["accent"].to_numpy(), predicted, table["path"])
    assert high - low > 2 * (clip_high - clip_low)


def test_balanced_accuracy_lies_in_its_interval_also_of_several_trainings():
    table = people()
    predicted = np.random.default_rng(0).choice(["x", "y"], (len(table), 3))
    low, high = speaker_interval(table["accent"].to_numpy(), predicted, table["speaker"])
    mean = np.mean(
        [classification_metrics(table["accent"], p, ["x", "y"])["balanced_accuracy"] for p in predicted.T]
    )
    assert low < mean < high and high - low < 0.3


def sampled(temperature: float, clips: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are ``temperature`` times too large for how often they are right."""
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1.5, (clips, 4))
    truth = np.array([rng.choice(4, p=p) for p in softmax(logits)])
    return logits * temperature, truth


@pytest.mark.parametrize("temperature", [0.5, 1.0, 6.0])
def test_the_temperature_is_found_and_probabilities_become_true(temperature):
    logits, truth = sampled(temperature)
    found = fit_temperature(logits, truth)
    assert found == pytest.approx(temperature, rel=0.1)
    after = expected_calibration_error(softmax(logits, found), truth)
    assert after < 0.03
    if temperature != 1:
        assert expected_calibration_error(softmax(logits), truth) > 0.1
    assert (softmax(logits, found).argmax(axis=1) == logits.argmax(axis=1)).all()


@pytest.mark.parametrize("scale", [5, 30])
def test_a_model_that_is_right_about_four_validation_speakers_is_not_sure_of_everyone(scale):
    rng = np.random.default_rng(0)
    truth = np.arange(4)
    validated = scale * (0.6 * np.eye(4) + rng.normal(0, 0.15, (4, 4)))
    assert (validated.argmax(axis=1) == truth).all()
    temperature = fit_temperature(validated, truth)
    threshold = unsure_threshold(softmax(validated, temperature), truth)
    others = scale * (np.array([0.3, 0.2, 0, 0]) + rng.normal(0, 0.15, (1000, 4)))
    assert temperature > 0.99 and (softmax(others, temperature).max(axis=1) < threshold).all()


def test_the_calibration_error_is_that_of_a_plain_loop():
    logits, truth = sampled(2.0, clips=500)
    probabilities = softmax(logits)
    error = 0.0
    for low in np.arange(10) / 10:
        own = [
            i for i in range(500) if low <= probabilities[i].max() < low + 0.1 + (1e-9 if low == 0.9 else 0)
        ]
        if own:
            right = np.mean([probabilities[i].argmax() == truth[i] for i in own])
            error += len(own) / 500 * abs(right - np.mean([probabilities[i].max() for i in own]))
    assert expected_calibration_error(probabilities, truth) == pytest.approx(error)
    assert reliability(probabilities, truth)["clips"].sum() == 500


def test_windows_that_say_something_of_their_own_make_surer():
    rng = np.random.default_rng(0)
    truth, windows = rng.integers(4, size=3000), rng.integers(1, 9, size=3000)
    # a window's logits: 1 for the truth, and noise for which softmax is just right
    own = [np.eye(4)[t] + rng.normal(0, 1, (n, 4)) for t, n in zip(truth, windows, strict=True)]
    alone = np.stack([x.mean(axis=0) for x in own])
    assert fit_window_gain(alone, windows, truth) > 0.95
    same = np.stack([x[0] for x in own])  # all windows say the same
    assert fit_window_gain(same, windows, truth) < 0.05
    assert fit_window_gain(same, np.ones(3000, int), truth) == 0
    assert fit_window_gain(alone[:9], windows[:9], truth[:9]) == 0  # of nine recordings nothing can be said


def test_sure_answers_are_right_as_often_as_promised():
    probabilities = softmax(sampled(1.0)[0] / 3)
    truth = np.array([np.random.default_rng(i).choice(4, p=p) for i, p in enumerate(probabilities)])
    threshold = unsure_threshold(probabilities, truth)
    best, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == truth
    assert right.mean() < RIGHT_WHEN_SURE  # else nothing would have to be unsure
    assert 0.3 < threshold < 0.9
    assert right[best >= threshold].mean() == pytest.approx(RIGHT_WHEN_SURE, abs=0.005)
    assert unsure_threshold(probabilities, (probabilities.argmax(axis=1) + 1) % 4) == 1.0


def test_calibration_is_kept_in_the_checkpoint_and_used(tmp_path, tiny):
    torch.manual_seed(0)
    model = AccentNet(tiny.replace(evaluation_window=0.5), ["a", "b", "c"]).eval()
    save_checkpoint(tmp_path / "m.pt", model, {"kept": 1})
    rng = np.random.default_rng(0)
    log_mels = [rng.normal(5, 2, (120, 80)).astype(np.float32) for _ in range(12)]
    calibrate(model, log_mels, list("abc") * 4)
    found = model.calibration
    assert found.temperature != 1 and 0 < found.unsure_below <= 1 and 0 <= found.window_gain <= 1
    model.calibration = dataclasses.replace(found, window_gain=0.25)
    save_calibrated(tmp_path / "m.pt", model)
    again = load_model(tmp_path / "m.pt")
    assert again.calibration == model.calibration != found
    assert torch.load(tmp_path / "m.pt", weights_only=True)["training"] == {"kept": 1}
    wave = (tone(300, 1.0), RATE)
    raw = AccentNet(model.config, ["a", "b", "c"]).eval()
    raw.load_state_dict(model.state_dict())
    once = np.log(infer(raw, wave).probabilities)  # of 2 windows: 1 s, but for the end of the last frame
    expected = softmax(2**0.25 * once, found.temperature)
    assert infer(again, wave).probabilities == pytest.approx(expected, abs=1e-5)
    again.calibration = dataclasses.replace(found, unsure_below=0.999)
    row = predict(again, wave).iloc[0]
    assert row["accent"] == "unsure" and row["nearest"] in "abc" and row["probability"] < 0.999
    again.calibration = dataclasses.replace(found, unsure_below=0.0)
    assert predict(again, wave).iloc[0]["accent"] == row["nearest"]


GOOD = {"temperature": 2.0, "window_gain": 0.5, "unsure_below": 0.5}


@pytest.mark.parametrize(
    "wrong",
    [
        GOOD | {"temperature": 0.0},
        GOOD | {"window_gain": "x"},
        GOOD | {"window_gain": True},
        {},
        [1, 2],
        None,
    ],
)
def test_a_damaged_calibration_is_refused(tmp_path, tiny, wrong):
    save_checkpoint(tmp_path / "m.pt", AccentNet(tiny, ["a", "b"]))
    content = torch.load(tmp_path / "m.pt", weights_only=True)
    torch.save(content | {"calibration": wrong}, tmp_path / "m.pt")
    with pytest.raises(InputError, match="its calibration .* cannot be used"):
        load_model(tmp_path / "m.pt")


def test_clips_are_known_by_their_ids():
    """Two ids may share a file; features belong to the id."""
    rng, table = np.random.default_rng(0), accents(x=6, y=6)
    log_mels = {path: rng.normal(size=(100, 80)).astype(np.float32) for path in table["path"]}
    simple = classical_predictions(log_mels, table, table)
    shared = table.assign(id=table["path"], path="one.wav")
    again = classical_predictions(log_mels, shared, shared)
    assert simple.keys() == again.keys() and all((simple[name] == again[name]).all() for name in simple)


def test_predictions_have_ids_where_the_corpus_has(tmp_path, tiny):
    corpus = write_corpus(tmp_path / "corpus", speakers=4, clips=1)
    table = pd.read_csv(corpus / "manifest.csv").drop(columns="split")
    table["id"] = table["path"]  # in the manifest beside absolute paths, so other than the paths
    table.to_csv(corpus / "manifest.csv", index=False)
    options = {"folds": 4, "tested": [0], "progress": False}
    predictions, _ = cross_validate(corpus, tiny.replace(max_epochs=1), tmp_path / "cv", **options)
    assert list(predictions)[:3] == ["id", "path", "speaker"] and set(predictions["id"]) <= set(table["id"])
    assert (predictions["id"] == [path.rsplit("/", 1)[1] for path in predictions["path"]]).all()


def test_a_cross_validation_that_loses_to_a_baseline_says_so_first():
    rows = [
        {"unit": unit, "method": method, "path": f"{a}{s}", "speaker": f"{a}{s}", "accent": a, "predicted": predicted(a),
         "fold": 0, "seed": seed, "unsure": False, **({f"{k}:{x}": 0.5 for k in ("raw", "p") for x in "ab"})}
        for unit in ("clip", "recording") for a in "ab" for s in range(5)
        for method, seed, predicted in (("network", 1, lambda a: "a"), ("svm_mfcc", 0, lambda a: a))
    ]  # fmt: skip
    figures = figures_of(pd.DataFrame(rows))
    assert figures["worse_than_baseline"] is True
    text = report_figures(figures).splitlines()
    said = "by clip, worse than SVM on MFCC statistics on the same split: 50.0 against 100.0%; do not use this model"
    assert text[0].startswith(said)
    figures["clip"]["network"]["balanced_accuracy"] = figures["speaker"]["network"]["balanced_accuracy"] = 1.0
    assert "worse" not in report_figures(figures)


def test_a_speakers_recordings_are_added_up():
    rows = pd.DataFrame(
        {
            "unit": ["recording"] * 3 + ["clip"],
            "speaker": ["s"] * 4,
            "accent": ["x"] * 4,
            "predicted": ["y", "y", "x", "y"],
            "p:x": [0.4, 0.45, 0.9, 0.0],
            "p:y": [0.6, 0.55, 0.1, 1.0],
        }
    )
    assert by_speaker(rows)["predicted"].tolist() == ["x"]
    assert by_speaker(rows.drop(columns=["p:x", "p:y"]))["predicted"].tolist() == ["y"]


def test_cross_validation_from_the_command_line(tmp_path, capsys):
    corpus = write_corpus(tmp_path / "corpus", speakers=18, clips=1)
    flags = as_flags(TINY | {"evaluation_window": 0.3, "num_workers": 0, "print_every": 0, "max_epochs": 1})
    argv = ["crossvalidate", "--data", str(corpus), "--out_dir", str(tmp_path / "cv"), "--folds", "2", *flags]
    assert main([*argv, "--seeds", "1", "2", "--final"]) == 0
    text = capsys.readouterr().out
    assert "3 accents, 54 unseen speakers, texts not named; chance 33.3%;" in text and "network" in text
    predictions = pd.read_csv(tmp_path / "cv" / "predictions.csv")
    figures = json.loads((tmp_path / "cv" / "crossvalidation.json").read_text())
    assert figures == figures_of(predictions)
    network = predictions[(predictions["method"] == "network") & (predictions["unit"] == "recording")]
    assert (network.groupby("seed")["speaker"].nunique() == 54).all() and len(network) == 2 * 54
    content = read_checkpoint(tmp_path / "cv" / "final" / "model.pt")
    assert content["training"] is None and content["calibration"]["temperature"] != 1
    for fold in (0, 1):
        assert load_model(tmp_path / "cv" / f"fold{fold}" / "seed1" / "best.pt").calibration.temperature != 1
    assert set(figures["speaker"]) == {"network", "ensemble"} | {
        f"{a}_{b}" for a in ("svm", "logistic_regression") for b in ("mfcc", "log_mel")
    }
    ensemble = predictions[predictions["method"] == "ensemble"]
    assert len(ensemble) == len(predictions[predictions["method"] == "network"]) / 2
    both = load_model(tmp_path / "cv" / "fold0" / "ensemble.pt")
    for row in ensemble[(ensemble["unit"] == "recording") & (ensemble["fold"] == 0)][:3].itertuples():
        alone = [infer(load_model(tmp_path / f"cv/fold0/seed{s}/best.pt"), row.path) for s in (1, 2)]
        vectors = infer(both, row.path)
        np.testing.assert_allclose(
            vectors.embeddings, np.hstack([x.embeddings for x in alone]), rtol=1e-4, atol=1e-5
        )
        assert vectors.accents == [row.predicted]
    assert len(load_model(tmp_path / "cv" / "final" / "model.pt").networks) == 2
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "cv").rglob("best.pt")}
    assert main([*argv, "--seeds", "1", "2"]) == 0  # nothing is trained again
    assert stamps == {p: p.stat().st_mtime_ns for p in (tmp_path / "cv").rglob("best.pt")}
    assert main([*argv, "--dropout", "0.5"]) == 2
    assert "were made with dropout 0.0, not 0.5" in capsys.readouterr().err


def test_phones_beside_the_manifest_are_learned(tmp_path, tiny):
    corpus = write_corpus(tmp_path / "corpus", speakers=18, clips=1)
    write_phones(corpus, "AA", "T")
    config = tiny.replace(max_epochs=1, phone_weight=1.0, pooling_method="Phones")
    _, figures = cross_validate(corpus, config, tmp_path / "cv", folds=2, tested=[1], progress=False)
    assert "network" in figures["speaker"]
    assert load_model(tmp_path / "cv" / "fold1" / "seed1" / "best.pt").phones == ["AA", "T"]


def test_by_text_tests_the_other_half_of_one_text(tmp_path, capsys):
    corpus = write_corpus(tmp_path / "corpus", speakers=6, clips=1)
    write_phones(corpus, "AA", "T")
    before = {p: p.read_bytes() for p in corpus.rglob("*") if p.is_file()}
    flags = as_flags(TINY | {"num_workers": 0, "print_every": 0, "max_epochs": 1, "phone_weight": 1})
    argv = ["crossvalidate", "--data", str(corpus), "--out_dir", str(tmp_path / "cv"), "--folds", "3", *flags]
    assert main([*argv, "--by_text"]) == 0
    assert "3 accents, 18 unseen speakers, unseen texts; chance 33.3%" in capsys.readouterr().out
    assert before == {p: p.read_bytes() for p in corpus.rglob("*") if p.is_file()}
    predictions = pd.read_csv(tmp_path / "cv" / "predictions.csv")
    own = predictions[(predictions["method"] == "network") & (predictions["unit"] == "recording")]
    assert len(own) == 36 and own.groupby("speaker")["text_part"].nunique().eq(2).all()
    assert len(by_speaker(own)) == 36  # two networks answered, one a half: they are not added up
    assert not own["known_text"].any()
    model = load_model(tmp_path / "cv" / "fold2" / "text1" / "seed1" / "best.pt")
    assert model.phones == ["T"]  # it learned from the second halves


def test_by_text_tests_half_of_the_texts_that_a_corpus_names(tmp_path, tiny):
    corpus = write_corpus(tmp_path / "corpus", speakers=6, clips=2)
    table = pd.read_csv(corpus / "manifest.csv").drop(columns="split")
    table["sentence"] = ["hello", "world"] * (len(table) // 2)
    table.to_csv(corpus / "manifest.csv", index=False)
    run = {"folds": 3, "tested": [0], "progress": False}
    config = tiny.replace(max_epochs=1)
    predictions, figures = cross_validate(corpus, config, tmp_path / "cv", by_text=True, **run)
    assert figures["shared_texts"] == 0 and not (tmp_path / "cv" / "halves").exists()
    trained = torch.load(tmp_path / "cv" / "fold0" / "text1" / "seed1" / "best.pt", weights_only=True)
    assert len(trained["trained_on"]) <= 2 * 3 * 3 / 2  # one clip of each speaker at most
    tested = predictions[(predictions["method"] == "network") & (predictions["unit"] == "recording")]
    assert len(tested) == 2 * 2 * 3 and tested["id"].is_unique if "id" in tested else True
    _, shared = cross_validate(corpus, config, tmp_path / "plain", **run)
    assert shared["shared_texts"] == 1
    assert "100% with texts of the training" in report_figures(shared)
