"""The published workflow: feature lists, pickles, label files, pairs, and every line that can be wrong."""

import collections
import io
import json
import os
import pickle

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch
from helpers import RATE, ROOT, TINY, as_flags, tone, train_argv, write_corpus

from accentlib.cli import main
from accentlib.config import Config, InputError
from accentlib.features.log_mel import file_log_mel, log_mel
from accentlib.network.checkpoint import load_model, read_checkpoint
from accentlib.published.lists import label_corpus, read_label_names, read_pairs
from accentlib.published.pickles import MARK, read_made, read_made_with, read_pickle


def test_features_are_pickled_beside_the_audio_as_published(lists):
    for name in ("low_0_0", "high_3_2"):
        path = lists / "audio" / f"{name}.pickle"
        with path.open("rb") as file:
            features = pickle.load(file)  # as the published code reads them
        wave, rate = sf.read(lists / "audio" / f"{name}.wav", dtype="float32")
        assert features.shape[0] == 80 and features.dtype == np.float32
        np.testing.assert_allclose(features, log_mel(wave, rate).T, atol=1e-6)
        np.testing.assert_array_equal(read_made_with(path, Config()), features.T)
        assert read_made(path)["sample_rate"] == RATE


def test_both_spellings_of_a_list_and_only_what_changed_is_extracted_again(tmp_path, capsys):
    folder = write_corpus(tmp_path / "audio", speakers=1, clips=2)
    sf.write(folder / "flac.in.name.flac", tone(300), RATE)
    audio = sorted(p for p in folder.iterdir() if p.suffix in (".wav", ".flac"))
    listed = [str(audio[0]), *(str(p.with_suffix("")) for p in audio[1:])]
    (tmp_path / "files.lst").write_text("\n".join(listed) + "\n\n")
    argv = ["features", "-i", str(tmp_path / "files.lst")]
    assert main(argv) == 0 and "7 files extracted, 0 unchanged" in capsys.readouterr().err
    assert len(list(folder.glob("*.pickle"))) == 7 and not list(folder.glob("*.tmp"))
    assert (folder / "flac.in.name.pickle").is_file()
    before = {p: p.stat().st_mtime_ns for p in folder.glob("*.pickle")}
    assert main(argv) == 0 and "0 files extracted, 7 unchanged" in capsys.readouterr().err
    assert before == {p: p.stat().st_mtime_ns for p in folder.glob("*.pickle")}
    sf.write(audio[2], tone(500, 0.9), RATE)
    assert main(argv) == 0 and "1 file extracted, 6 unchanged" in capsys.readouterr().err
    assert main([*argv, "--n_fft", "2048"]) == 0 and "7 files extracted" in capsys.readouterr().err
    assert read_made(audio[0].with_suffix(".pickle"))["n_fft"] == 2048


def test_features_of_version_0_1_count_as_unchanged(tmp_path, capsys):
    """They note the window and the hop under other names."""
    sf.write(tmp_path / "a.wav", tone(300), RATE)
    (tmp_path / "files.lst").write_text(f"{tmp_path}/a\n")
    argv = ["features", "-i", str(tmp_path / "files.lst")]
    assert main(argv) == 0 and "1 file extracted" in capsys.readouterr().err
    file = tmp_path / "a.pickle"
    renamed = (
        file.read_bytes().replace(b"window_seconds", b"win_length").replace(b"hop_seconds", b"hop_length")
    )
    file.write_bytes(renamed)
    assert read_made(file)["win_length"] == 0.025 and "window_seconds" not in read_made(file)
    assert main(argv) == 0 and "0 files extracted, 1 unchanged" in capsys.readouterr().err
    assert file.read_bytes() == renamed
    assert read_made_with(file, Config(sample_rate=RATE)).shape[1] == 80
    with pytest.raises(InputError, match="was made with hop_seconds 0.01, not 0.02"):
        read_made_with(file, Config(hop_seconds=0.02))
    assert main([*argv, "--hop_seconds", "0.02"]) == 0 and "1 file extracted" in capsys.readouterr().err


@pytest.mark.parametrize("note", [b"", b"{", b"[1]", b"3", b"\xff", b"[" * 3_000])
def test_a_damaged_note_counts_as_none(tmp_path, note):
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(np.ones((80, 3))) + MARK + note)
    assert read_made(tmp_path / "a.pickle") == {}
    assert read_made_with(tmp_path / "a.pickle", Config()).shape == (3, 80)


def test_a_list_of_48_khz_files_says_what_to_do_and_then_does_it(tmp_path, capsys):
    sf.write(tmp_path / "a.wav", tone(300, 0.6, 48_000), 48_000)
    (tmp_path / "files.lst").write_text(f"{tmp_path}/a\n")
    argv = ["features", "-i", str(tmp_path / "files.lst")]
    assert main(argv) == 1
    err = capsys.readouterr().err
    assert "1200 samples" in err and "use sample_rate 16000" in err and "n_fft 2048" in err
    assert main([*argv, "--sample_rate", "16000"]) == 0
    assert read_made_with(tmp_path / "a.pickle", Config()).shape == (57, 80)
    assert main([*argv, "--n_fft", "2048"]) == 0  # at the file's own rate, as published
    assert read_made(tmp_path / "a.pickle")["sample_rate"] == 48_000


def test_features_of_the_published_extractor_are_left_unless_older_than_the_audio(tmp_path, capsys):
    sf.write(tmp_path / "a.wav", tone(300), RATE)
    theirs = pickle.dumps(np.ones((80, 30)))
    (tmp_path / "a.pickle").write_bytes(theirs)
    (tmp_path / "files.lst").write_text(f"{tmp_path}/a\n")
    assert main(["features", "-i", str(tmp_path / "files.lst")]) == 0
    assert (tmp_path / "a.pickle").read_bytes() == theirs
    os.utime(tmp_path / "a.pickle", (1, 1))
    assert main(["features", "-i", str(tmp_path / "files.lst")]) == 0
    assert "1 file extracted" in capsys.readouterr().err and read_made(tmp_path / "a.pickle")


def test_a_pickle_of_my_own_beside_the_audio_is_not_written_over(tmp_path, capsys):
    sf.write(tmp_path / "a.wav", tone(300), RATE)
    mine = pickle.dumps({"annotator": "Anna", "words": ["please", "call"]})
    (tmp_path / "a.pickle").write_bytes(mine)
    os.utime(tmp_path / "a.pickle", (1, 1))
    (tmp_path / "files.lst").write_text(f"{tmp_path}/a\n")
    assert main(["features", "-i", str(tmp_path / "files.lst")]) == 1
    assert "a.pickle: holds no features; it is not overwritten" in capsys.readouterr().err
    assert (tmp_path / "a.pickle").read_bytes() == mine


def test_bad_lines_of_a_feature_list_are_named_and_the_rest_is_done(tmp_path, capsys):
    sf.write(tmp_path / "good.wav", tone(300), RATE)
    (tmp_path / "text.wav").write_text("no audio")
    (tmp_path / "files.lst").write_text("".join(f"{tmp_path}/{n}\n" for n in ("gone", "good", "text.wav")))
    assert main(["features", "-i", str(tmp_path / "files.lst")]) == 1
    err = capsys.readouterr().err
    assert (
        "files.lst: line 1: " in err and "files.lst: line 3: " in err and "2 files could not be used" in err
    )
    assert "Traceback" not in err and (tmp_path / "good.pickle").is_file()
    (tmp_path / "empty.lst").write_text("\n")
    for name, message in {"empty.lst": "has no lines", "none.lst": "no such file"}.items():
        assert main(["features", "-i", str(tmp_path / name)]) == 2
        assert f"{name}: {message}" in capsys.readouterr().err


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("kind", ["array", "dict", "float64", "fortran"])
def test_both_published_layouts_are_read_whatever_the_protocol(tmp_path, protocol, kind):
    x = np.random.default_rng(0).normal(size=(80, 33)).astype(np.float32)
    made = {
        "array": x,
        "dict": {"features": x, "path": "a"},
        "float64": x.astype(float),
        "fortran": x.T.copy().T,
    }
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(made[kind], protocol=protocol))
    result = read_made_with(tmp_path / "a.pickle", Config())
    np.testing.assert_array_equal(result, x.T)
    assert result.dtype == np.float32 and result.flags.c_contiguous


def test_a_pickle_of_numpy_1_is_read(tmp_path):
    old = pickle.dumps(np.ones((80, 3)), protocol=2).replace(
        b"numpy._core.multiarray", b"numpy.core.multiarray"
    )
    assert b"numpy.core" in old
    (tmp_path / "a.pickle").write_bytes(old)
    assert read_made_with(tmp_path / "a.pickle", Config()).shape == (3, 80)


class Evil:
    """Touches a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_that_would_run_code_is_refused(tmp_path):
    bad = {
        "evil": pickle.dumps({"features": Evil(tmp_path / "ran")}),
        "object": pickle.dumps(np.array([Evil(tmp_path / "ran")], dtype=object)),
        "class": pickle.dumps(collections.OrderedDict(features=1)),
        "system": b"cposix\nsystem\n(S'touch ran'\ntR.",
        "encode": b"c_codecs\nencode\n(Vx\nVrot13\ntR.",
        "text": b"no pickle",
        "half": pickle.dumps(np.ones((80, 30)))[:500],
        "empty": b"",
        "long": b"c" + 9_000 * b"x" + b"\ny\n.",
    }
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(
            InputError, match=f"{name}: not a pickle of arrays and plain types alone"
        ) as refused:
            read_pickle(tmp_path / name)
        assert len(str(refused.value)) < 500 + len(str(tmp_path))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"feature": 1}, "a dict without the key 'features'"),
        ([1, 2], "holds no array of numbers"),
        (np.array(["a"]), "holds no array of numbers"),
        (np.ones((30, 80)), r"an array of \(30, 80\), not of \(80 mels, frames\)"),
        (np.ones((80, 0)), r"an array of \(80, 0\)"),
        (np.full((80, 3), np.nan), "contains values that are not numbers"),
        (np.full((80, 3), 1e39), "contains values that are not numbers"),  # in float32 it is infinite
    ],
)
def test_features_of_another_kind_are_refused(tmp_path, content, message):
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=f"a.pickle: {message}"):
        read_made_with(tmp_path / "a.pickle", Config())


def test_what_is_extracted_is_what_is_trained_on(lists, tmp_path):
    """The published extractor writes what the published dataset cannot read."""
    assert main(train_argv(lists, tmp_path / "m", "--validate_every", "2")) == 0
    from accentlib.features.store import open_store

    content = read_checkpoint(tmp_path / "m" / "last.pt")
    config = Config.from_dict(content["config"])
    assert config.sample_rate == RATE and content["labels"] == ["0", "1", "2"]
    table, _ = label_corpus(lists / "train.lst", lists / "validation.lst", lists / "audio", lists / "audio")
    store = open_store(table, tmp_path / "f", config)
    assert len(table) == 36 and not store.problems
    for path in table["path"]:
        np.testing.assert_array_equal(store[path], file_log_mel(path.replace(".pickle", ".wav"), config))


def test_a_run_in_the_published_style_leaves_configuration_checkpoints_and_tensorboard(
    lists, tmp_path, capsys
):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    out_dir = tmp_path / "m"
    assert main(train_argv(lists, out_dir, "--validate_every", "2", "--max_epochs", "3")) == 0
    settings = read_pickle(out_dir / "config.pkl")
    assert settings["labels"] == ["0", "1", "2"] and settings["learning_rate"] == 1e-4  # the paper preset's
    assert settings["train_labels_path"] == f"{lists}/train.lst" and "valid_clients" not in settings
    assert settings["channels"] == TINY["channels"] and settings["sample_rate"] == RATE
    newest = max(out_dir.glob("*.pt"), key=lambda p: p.stat().st_mtime_ns)
    assert newest.name == "best.pt"
    training = read_checkpoint(newest)["training"]
    assert (
        training["counters"].keys() >= {"step", "epoch", "best", "stale"} and training["optimizer"]["state"]
    )
    assert all(state.dtype == torch.uint8 for states in training["random"] for state in states)
    board = EventAccumulator(str(out_dir / "tensorboard"))
    board.Reload()
    tags = board.Tags()
    assert {"loss", "learning_rate", "macro_f1", "accuracy", "balanced_accuracy"} <= set(tags["scalars"])
    wav, pickled = str(lists / "audio/low_1_0.wav"), str(lists / "audio/low_1_0.pickle")
    capsys.readouterr()
    assert main(["predict", "--checkpoint", str(newest), wav, pickled]) == 0
    rows = pd.read_csv(io.StringIO(capsys.readouterr().out), dtype={"accent": str})
    assert rows["accent"][0] == rows["accent"][1] and rows["probability"][0] == rows["probability"][1]


def test_a_label_file_is_evaluated(lists, tmp_path, capsys):
    assert main(train_argv(lists, tmp_path / "m", "--validate_every", "2")) == 0
    capsys.readouterr()
    argv = [
        "evaluate",
        "--checkpoint",
        f"{tmp_path}/m/best.pt",
        "--data_dir",
        f"{lists}/audio",
        "--labels_path",
    ]
    assert main([*argv, f"{lists}/test.lst"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["clips"] == 9 and figures["speakers"] is None and figures["chance"] == pytest.approx(1 / 3)
    (tmp_path / "bad.lst").write_text("low_1_0 3 -1\n")
    assert main([*argv, str(tmp_path / "bad.lst")]) == 2
    assert "bad.lst: line 1: label 3 is outside 0..2" in capsys.readouterr().err
    (tmp_path / "names.csv").write_text("label,name\n0,tenor\n1,1\n2,2\n")
    assert main([*argv, f"{lists}/test.lst", "--label_names", str(tmp_path / "names.csv")]) == 2
    assert "the accent 'tenor'; the model knows 0, 1, 2" in capsys.readouterr().err


def test_label_names_merge_and_order_labels(lists, tmp_path):
    (tmp_path / "names.csv").write_text("label,name\n0,outer\n2,outer\n1,low\n")
    folder = lists / "audio"
    table, accents = label_corpus(
        lists / "train.lst", lists / "validation.lst", folder, folder, tmp_path / "names.csv"
    )
    assert accents == ["outer", "low"]
    assert table["accent"].value_counts().to_dict() == {"outer": 24, "low": 12}
    catalan = {n: read_label_names(ROOT / f"data/label_names/catalan_{n}.csv") for n in (5, 4, 3, 2)}
    for n, merged in {5: [0, 1, 2, 3, 4], 4: [0, 1, 2, 3, 0], 3: [0, 1, 2, 0, 0], 2: [0, 1, 1, 0, 0]}.items():
        accents = list(dict.fromkeys(catalan[n]))
        assert len(accents) == n and [accents.index(name) for name in catalan[n]] == merged


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("low_1_0 1", "line 37 has 2 columns, not 3"),
        ("low 1_0 1 -1", "line 37 has 4 columns, not 3"),
        ("low_1_0 one -1", "line 37: label 'one' is not a whole number"),
        ("low_1_0 -1 -1", "line 37: label '-1' is not a whole number"),
        ("low_1_0 7 -1", "line 37: label 7 is outside 0..3"),
        ("gone_1_0 1 -1", "line 37: {}/audio/gone_1_0.pickle: no such feature file"),
        ("low_0_0 2 -1", "line 37: {}/audio/low_0_0.pickle is listed with label 1 as well"),
    ],
)
def test_a_wrong_line_of_a_label_file_is_named(lists, tmp_path, capsys, line, message):
    text = (lists / "train.lst").read_text() + (lists / "validation.lst").read_text()
    (tmp_path / "labels.lst").write_text(text + line + "\n")
    argv = train_argv(lists, tmp_path / "m", "--train_labels_path", str(tmp_path / "labels.lst"))
    argv[argv.index("--valid-labels-path") + 1] = f"{lists}/test.lst"
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert f"labels.lst: {message.format(lists)}" in err and err.count("\n") == 1
    assert not (tmp_path / "m").exists()


def test_an_utterance_in_both_files_and_a_label_of_validation_alone_are_refused(lists, tmp_path):
    folder, train = lists / "audio", lists / "train.lst"
    with pytest.raises(InputError, match=r"train.lst: line 1: .* is in .*train.lst as well"):
        label_corpus(train, train, folder, folder)
    (tmp_path / "valid.lst").write_text("low_0_0 3 -1\n")
    with pytest.raises(InputError, match="valid.lst: line 1: label 3 is outside 0..2"):
        label_corpus(train, tmp_path / "valid.lst", folder, folder)


def test_a_line_that_stands_twice_counts_twice(lists, tmp_path):
    text = (lists / "train.lst").read_text()
    (tmp_path / "twice.lst").write_text(text + text)
    argv = train_argv(lists, tmp_path / "m", "--train_labels_path", str(tmp_path / "twice.lst"))
    assert main([*argv, "--max_epochs", "1", "--gradient_accumulation", "1"]) == 0
    counters = read_checkpoint(tmp_path / "m" / "last.pt")["training"]["counters"]
    assert counters["step"] == 2 * 27 // TINY["batch_size"]


def test_features_made_with_other_numbers_are_refused(lists, tmp_path, capsys):
    assert main(train_argv(lists, tmp_path / "m", "--n_fft", "2048")) == 2
    err = capsys.readouterr().err
    assert "was made with n_fft 512, not 2048" in err and err.count("\n") == 1


def test_bad_label_name_tables_are_refused(tmp_path):
    for text, message in {
        "number,name\n0,a\n": "needs the columns label and name",
        "label,name\n0,a\n2,b\n": "must be 0 to 1",
        "label,name\n0,a\n0,b\n": "must be 0 to 1",
        "label,name\n0,a\n1,\n": "with a name",
    }.items():
        (tmp_path / "names.csv").write_text(text)
        with pytest.raises(InputError, match=f"names.csv: .*{message}"):
            read_label_names(tmp_path / "names.csv")


def test_score_gives_cosines_eer_and_min_dcf(lists, tmp_path, capsys):
    assert main(train_argv(lists, tmp_path / "m", "--validate_every", "2")) == 0
    capsys.readouterr()
    argv = ["score", "--checkpoint", str(tmp_path / "m/best.pt"), "--data_dir", f"{lists}/audio"]
    argv += ["--clients", f"{lists}/clients.ndx", "--impostors", f"{lists}/impostors.ndx"]
    assert main([*argv, "--output", str(tmp_path / "scores.csv")]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures.keys() == {"eer", "min_dcf", "clients", "impostors"} and figures["clients"] == 2
    scores = pd.read_csv(tmp_path / "scores.csv")
    from accentlib import cosine_scores, embed, load_model

    a, b = embed(load_model(tmp_path / "m/best.pt"), [scores["a"][2], scores["b"][2]])
    assert scores["score"][2] == pytest.approx(cosine_scores(a, b)[0, 0], abs=1e-5)
    assert scores["client"].tolist() == [True, True, False, False]


def test_listed_paths_may_have_their_extension(lists, tmp_path):
    (tmp_path / "train.lst").write_text("low_0_0.pickle 1 -1\nhigh_0_0.wav 0 -1\nmiddle_0_0 2 None\n")
    table, _ = label_corpus(tmp_path / "train.lst", None, lists / "audio")
    assert [p.rsplit("/", 1)[1] for p in table["path"]] == [
        f"{n}_0_0.pickle" for n in ("low", "high", "middle")
    ]


def test_pairs_of_audio_without_features(tmp_path):
    sf.write(tmp_path / "a.wav", tone(300), RATE)
    sf.write(tmp_path / "b.flac", tone(300), RATE)
    (tmp_path / "pairs.ndx").write_text("a b\na.wav b\n")
    pairs = read_pairs(tmp_path / "pairs.ndx", tmp_path / "pairs.ndx", tmp_path, audio=True)
    assert set(pairs["a"]) == {f"{tmp_path}/a.wav"} and set(pairs["b"]) == {f"{tmp_path}/b.flac"}
    with pytest.raises(InputError, match="pairs.ndx: line 1: .*a.pickle: no such feature file"):
        read_pairs(tmp_path / "pairs.ndx", tmp_path / "pairs.ndx", tmp_path)


def test_pairs_name_the_line_that_is_wrong(lists, tmp_path):
    (tmp_path / "bad.ndx").write_text("low_0_0 low_0_1\nlow_0_0\n")
    with pytest.raises(InputError, match="bad.ndx: line 2 has 1 columns, not 2"):
        read_pairs(tmp_path / "bad.ndx", lists / "impostors.ndx", lists / "audio")
    (tmp_path / "bad.ndx").write_text("low_0_0 gone\n")
    with pytest.raises(InputError, match="bad.ndx: line 1: .*gone.pickle: no such feature file"):
        read_pairs(tmp_path / "bad.ndx", lists / "impostors.ndx", lists / "audio", audio=True)


def test_pairs_alone_choose_the_best_model_as_in_the_speaker_version(lists, tmp_path, capsys):
    argv = train_argv(lists, tmp_path / "m", "--validate_every", "2")
    at = argv.index("--valid-labels-path")
    argv[at : at + 2] = [
        "--valid_clients",
        f"{lists}/clients.ndx",
        "--valid_impostors",
        f"{lists}/impostors.ndx",
    ]
    assert main(argv) == 0
    content = read_checkpoint(tmp_path / "m" / "last.pt")
    history = pd.DataFrame(content["training"]["history"])
    assert history["eer"].between(0, 1).all() and history["macro_f1"].isna().all()
    assert content["training"]["counters"]["best"] == pytest.approx(1 - history["eer"].min())
    assert f"best validation EER {history['eer'].min():.1%}" in capsys.readouterr().err
    del argv[at + 2 : at + 4]
    assert main([*argv, "--out_dir", str(tmp_path / "n")]) == 2
    assert "give both --valid_clients and --valid_impostors" in capsys.readouterr().err


@pytest.fixture
def gaps(lists, tmp_path):
    """Label files with the labels 0, 2 and 5."""
    for name in ("train", "validation", "test"):
        text = (lists / f"{name}.lst").read_text().replace(" 2 -1", " 5 -1").replace(" 1 -1", " 2 -1")
        (tmp_path / f"{name}.lst").write_text(text)
    return tmp_path


def test_labels_with_gaps_train_where_num_accents_says_how_many_there_are(lists, gaps, capsys):
    argv = train_argv(lists, gaps / "m", "--train_labels_path", f"{gaps}/train.lst")
    argv[argv.index("--valid-labels-path") + 1] = f"{gaps}/validation.lst"
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert (
        "train.lst: line 10: label 2" not in err
        and "is outside 0..2 (3 labels); --num_accents N keeps" in err
    )
    assert main([*argv, "--num_accents", "6", "--balance", "loss"]) == 0
    assert load_model(gaps / "m" / "best.pt").labels == ["0", "1", "2", "3", "4", "5"]
    capsys.readouterr()
    where = ["--labels_path", f"{gaps}/test.lst", "--data_dir", f"{lists}/audio"]
    assert main(["evaluate", "--checkpoint", f"{gaps}/m/best.pt", *where]) == 0
    assert json.loads(capsys.readouterr().out)["clips"] == 9


@pytest.mark.parametrize("option", ["--num_accents", "--num_spkrs"])
def test_num_accents_is_checked_against_labels_names_and_corpus(lists, corpus_dir, tmp_path, capsys, option):
    (tmp_path / "names.csv").write_text("label,name\n0,outer\n1,low\n2,outer\n")
    argv = train_argv(lists, tmp_path / "m")
    corpus = ["train", "--data", str(corpus_dir), "--out_dir", str(tmp_path / "m"), *as_flags(TINY)]
    corpus += ["--preset", "laptop"]
    named = [*argv, "--label_names", str(tmp_path / "names.csv")]
    for command, message in {
        (
            *argv,
            option,
            "2",
        ): "train.lst: line 19: label 2 is outside 0..1 (2 labels); --label_names merges labels",
        (*named, option, "3"): "names.csv: names 2 accents, not 3",
        (*corpus, option, "5"): f"{corpus_dir}: has 3 accents, not 5",
    }.items():
        assert main(command) == 2
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1 and not (tmp_path / "m").exists()
    assert main([*named, option, "2", "--max_epochs", "1"]) == 0
