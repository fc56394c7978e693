"""The command line as a user meets it: every verb, and one line for every mistake."""

import argparse
import dataclasses
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import BUNDLED, TINY, as_flags, write_corpus
from matplotlib.figure import Figure
from programs import Program

import accentlib
from accentlib.cli import main
from accentlib.cli.flags import FLAGS as DEFINED
from accentlib.cli.flags import GROUPS, VERBS, make_parser
from accentlib.cli.verbs import Call
from accentlib.config import SHORTEST_CLIP, Config
from accentlib.corpora.splits import few_speakers
from accentlib.embeddings.metrics import corpus_metrics
from accentlib.experiments.run import warnings_of
from accentlib.network.checkpoint import read_checkpoint

FLAGS = as_flags(TINY)
FIGURES = {
    "balanced_accuracy",
    "macro_f1",
    "chance",
    "interval",
    "speakers",
    "clips",
    "few_speakers",
    "baselines",
}


@pytest.fixture(scope="module")
def run_dir(corpus_dir, tmp_path_factory):
    out_dir = tmp_path_factory.mktemp("cli") / "run"
    assert main(["run", "--data", str(corpus_dir), "--out_dir", str(out_dir), *FLAGS]) == 0
    return out_dir


def test_run_leaves_model_figures_and_pictures(run_dir):
    assert {"best.pt", "last.pt", "metrics.json", "features", "figures", "tensorboard"} <= {
        p.name for p in run_dir.iterdir()
    }
    metrics = json.loads((run_dir / "metrics.json").read_text())
    assert metrics.keys() >= FIGURES | {"embedding", "note", "problems"}
    assert metrics["chance"] == pytest.approx(1 / 3) and metrics["speakers"] == 3 and metrics["clips"] == 9
    pictures = {p.stem for p in (run_dir / "figures").glob("*.png") if p.stat().st_size > 5000}
    assert pictures == {"training", "confusion", "tsne_accent", "tsne_speaker", "attention"}


def test_drawing_leaves_matplotlib_as_it_was(corpus_dir, tmp_path):
    import matplotlib.pyplot as plt

    before = dict(plt.rcParams)
    assert main(["run", "--data", str(corpus_dir), "--out_dir", str(tmp_path / "run"), *FLAGS]) == 0
    assert dict(plt.rcParams) == before and not plt.get_fignums()


def test_evaluate_prints_json_that_agrees_with_the_run(run_dir, corpus_dir, capsys):
    argv = ["evaluate", "--checkpoint", str(run_dir / "best.pt"), "--data", str(corpus_dir)]
    assert main([*argv, "--split", "test"]) == 0
    printed = json.loads(capsys.readouterr().out)
    metrics = json.loads((run_dir / "metrics.json").read_text())
    assert printed.keys() >= FIGURES and all(printed[k] == metrics[k] for k in FIGURES)
    assert main([*argv, "--split", "dev"]) == 2
    assert "no clip in the split 'dev'" in capsys.readouterr().err


def test_a_network_that_loses_to_the_simple_baseline_says_so_first(
    run_dir, corpus_dir, tmp_path, capsys, monkeypatch
):
    """`run` ended with "balanced accuracy 33.3%, macro F1 16.7% on 9 clips of 3 unseen speakers"."""
    out, titles, save = tmp_path / "run", {}, Figure.savefig
    flags = [*FLAGS, "--max_epochs", "1", "--learning_rate", "1e-6"]

    def keep_title(figure, file, **options):
        titles[Path(file).stem] = figure.axes[0].get_title()
        save(figure, file, **options)

    monkeypatch.setattr(Figure, "savefig", keep_title)
    assert main(["run", "--data", str(corpus_dir), "--out_dir", str(out), *flags]) == 0
    lines = capsys.readouterr().err.splitlines()
    metrics = json.loads((out / "metrics.json").read_text())
    best = max(metrics["baselines"].values())
    assert metrics["worse_than_baseline"] is True and metrics["updates"] == 3
    first = next(i for i, line in enumerate(lines) if line.startswith("worse than "))
    ours = f"{100 * metrics['balanced_accuracy']:.1f}"
    assert re.match(
        rf"worse than (SVM|logistic regression) on (MFCC|log-mel) statistics on the same split: {ours} against"
        rf" {best:.1%}; do not use this model; try .*", lines[first])  # fmt: skip
    assert lines[first + 1].startswith(
        "this shows single people, not accents: 3 test speakers, 1 of each accent"
    )
    assert lines[first + 2].startswith("only 3 updates from random weights: too few to learn much")
    for name in ("confusion", "tsne_accent", "tsne_speaker"):
        assert "shows single people, not accents: 3 test speakers" in titles[name]
    low, high = metrics["interval"]
    assert low <= metrics["balanced_accuracy"] <= high
    assert f"balanced accuracy {ours}% ({100 * low:.1f} to {100 * high:.1f})" in lines[first + 3]
    assert "majority" not in "".join(lines) and "majority" not in metrics
    assert main(["evaluate", "--checkpoint", str(out / "best.pt"), "--data", str(corpus_dir)]) == 0
    printed, err = capsys.readouterr()
    assert json.loads(printed)["worse_than_baseline"] is True and err.startswith("worse than ")
    good = [m for m in (json.loads((run_dir / "metrics.json").read_text()),) if not m["worse_than_baseline"]]
    assert all(not any("worse" in line for line in warnings_of(m)) for m in good)
    argv = ["train", "--data", str(corpus_dir), "--out_dir", str(tmp_path / "train"), *flags]
    assert main(argv) == 0 and "only 3 updates from random weights" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("speakers", "of_each", "said"),
    [
        (4, 3, ""),
        (3, 3, "shows single people, not accents: 9 test speakers, 3 of each accent"),
        (6, 2, "shows single people, not accents: 12 test speakers, 2 of each accent"),
        (1, 1, "shows single people, not accents: 1 test speaker, 1 of each accent"),
    ],
)
def test_pictures_and_summary_say_when_they_show_single_people(speakers, of_each, said, tmp_path):
    rows = [(f"{a}{s}", a) for a in "abcdefg"[:speakers] for s in range(of_each)]
    table = pd.DataFrame(rows, columns=["speaker", "accent"])
    assert few_speakers(table) == said
    more = pd.concat([table, pd.DataFrame({"speaker": ["z", "zz"], "accent": "z"})])  # of another accent two
    assert not said or few_speakers(more).endswith(("of each accent", "of 'a'", "of 'z'"))
    metrics = corpus_metrics(table, table["accent"], list("abcdefg"))
    assert metrics["few_speakers"] == said


def test_predict_prints_a_row_a_file_in_order_and_names_what_is_bad(run_dir, corpus_dir, capsys):
    files = [str(corpus_dir / n) for n in ("low_1_0.wav", "high_1_2.wav", "gone.wav", "low_1_2.wav")]
    assert main(["predict", "--checkpoint", str(run_dir / "best.pt"), *files]) == 1
    out, err = capsys.readouterr()
    rows = pd.read_csv(io.StringIO(out))
    assert list(rows.columns) == ["path", "accent", "probability", "nearest"]
    assert list(rows["path"]) == [files[0], files[1], files[3]]
    assert rows["probability"].between(1 / 3, 1).all()
    assert f"{files[2]}: no such file" in err and "1 file could not be used" in err


def test_without_a_checkpoint_the_model_of_real_people_answers_and_says_what_it_is(capsys):
    clip = str(BUNDLED / "clips" / "american" / "spk06_s06.ogg")
    assert main(["predict", clip]) == 0
    out, err = capsys.readouterr()
    row = pd.read_csv(io.StringIO(out)).iloc[0]
    model = accentlib.load_model()
    assert row["nearest"] in model.labels and row["accent"] == "unlike anything I know"  # a machine
    assert (row["accent"] == "unsure") == (row["probability"] < model.calibration.unsure_below)
    assert "real_speech: names the most similar of nine first languages" in err and "no test of origin" in err
    assert (
        len(model.labels) == 9
        and 0 < model.calibration.unsure_below < 1
        and model.calibration.temperature > 1
    )


def test_a_shipped_model_has_a_name_unless_a_file_is_called_so(run_dir, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "accents_mini").mkdir()  # a corpus or a run of that name is no model
    clip = str(BUNDLED / "clips" / "american" / "spk06_s06.ogg")
    assert main(["predict", "--checkpoint", "accents_mini", clip]) == 0
    assert ",american," in capsys.readouterr().out
    assert accentlib.load_model("real_speech").labels == accentlib.load_model().labels
    shutil.copy(run_dir / "best.pt", tmp_path / "real_speech")
    assert accentlib.load_model("real_speech").labels == ["high", "low", "middle"]
    assert accentlib.load_model().labels != ["high", "low", "middle"]


def test_embed_writes_paths_and_embeddings(run_dir, corpus_dir, tmp_path):
    files = [str(corpus_dir / n) for n in ("low_1_0.wav", "high_1_2.wav")]
    output = tmp_path / "deep" / "vectors.npz"
    argv = ["embed", "--checkpoint", str(run_dir / "best.pt"), "--output", str(output), *files]
    assert main(argv) == 0
    vectors = np.load(output)
    assert list(vectors["paths"]) == files and vectors["embeddings"].shape == (2, TINY["embedding_size"])


@pytest.mark.parametrize("verb", ["embed", "score", "map"])
def test_a_recording_named_as_the_output_by_mistake_stays(verb, run_dir, corpus_dir, tmp_path, capsys):
    recording = tmp_path / "a.wav"  # as in: accentlib embed --output *.wav
    recording.write_bytes((corpus_dir / "low_1_0.wav").read_bytes())
    before = recording.read_bytes()
    (tmp_path / "pairs.ndx").write_text(f"{recording} {recording}\n")
    pairs = str(tmp_path / "pairs.ndx")
    more = {
        "embed": [str(recording)],
        "score": ["--clients", pairs, "--impostors", pairs],
        "map": ["--data", str(corpus_dir)],
    }[verb]
    checkpoint = ["--checkpoint", str(run_dir / "best.pt")]
    assert main([verb, *checkpoint, "--output", str(recording), *more]) == 2
    assert f"{recording} exists and is no ." in capsys.readouterr().err
    assert recording.read_bytes() == before


def test_features_and_train_share_the_folder(corpus_dir, tmp_path):
    where = ["--data", str(corpus_dir), "--out-dir", str(tmp_path)]
    assert main(["features", *where, *FLAGS]) == 0
    made = (tmp_path / "features" / "log_mel.npy").stat().st_mtime_ns
    assert main(["train", *where, *FLAGS, "--no-spec-augment", "--preset", "laptop"]) == 0
    assert (tmp_path / "features" / "log_mel.npy").stat().st_mtime_ns == made
    assert read_checkpoint(tmp_path / "best.pt")["config"]["spec_augment"] is False


def test_a_run_is_never_overwritten_and_resume_goes_on(run_dir, corpus_dir, tmp_path, capsys):
    before = (run_dir / "last.pt").read_bytes()
    where = ["--data", str(corpus_dir), "--out_dir", str(run_dir)]
    assert main(["train", *where, *FLAGS]) == 2
    assert "holds a run already" in capsys.readouterr().err
    assert (run_dir / "last.pt").read_bytes() == before
    assert main(["train", *where, "--resume", "--max_epochs", "3"]) == 0
    assert read_checkpoint(run_dir / "last.pt")["training"]["counters"]["epoch"] == 3
    (run_dir / "last.pt").write_bytes(before)


def test_every_field_is_a_flag_with_underscores_and_hyphens(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    assert all(f"--{name}" in text for name in Config().to_dict()) and "hyphens for underscores" in text
    assert "--window_seconds X, --win_length\n" in text and "--window-seconds" not in text
    for field in dataclasses.fields(Config):
        flag, value = field.name.replace("_", "-"), [] if field.type is bool else [str(field.default)]
        assert field.name in make_parser().parse_args(["train", "--data", "x", f"--{flag}", *value])


def test_answers_cut_off_by_head_are_no_error(run_dir, corpus_dir):
    """It said: accentlib: [Errno 32] Broken pipe."""
    command = f"{sys.executable} -m accentlib predict --checkpoint {run_dir / 'best.pt'} {corpus_dir}"
    done = subprocess.run(
        ["bash", "-c", f"{command} {' '.join([str(corpus_dir)] * 40)} | head -1"],
        capture_output=True,
        text=True,
    )
    assert done.stdout == "path,accent,probability,nearest\n" and done.stderr == ""


def verbs(parser) -> dict:
    """The parsers of a parser's verbs, by name."""
    return next((a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)), {})


def test_every_help_ends_with_an_example_that_can_be_typed():
    parser = make_parser()
    of_verbs = verbs(parser)
    every = [parser, *of_verbs.values(), *verbs(of_verbs["corpus"]).values()]
    assert len(every) > 19
    for sub in every:
        example = sub.format_help().rstrip().splitlines()[-1].strip()
        assert sub.format_help().count("example:") == 1 and example.startswith(sub.prog)
        parser.parse_args(shlex.split(example)[1:])


def test_evaluated_on_speakers_that_it_was_trained_on_it_says_so_first(run_dir, corpus_dir, tmp_path, capsys):
    """With another seed most test speakers were trained on, and the figures came without a word."""
    manifest = pd.read_csv(corpus_dir / "manifest.csv")
    swapped = {"train": "test", "test": "train", "validation": "validation"}
    moved = shutil.copytree(corpus_dir, tmp_path / "again")
    manifest.assign(split=manifest["split"].map(swapped)).to_csv(moved / "manifest.csv", index=False)
    argv = ["evaluate", "--checkpoint", str(run_dir / "best.pt"), "--data"]
    assert main([*argv, str(moved)]) == 0
    out, err = capsys.readouterr()
    assert err.startswith("trained on 27 of these 27 clips: the figures are no test")
    assert json.loads(out)["trained_on"] == 27
    assert main([*argv, str(corpus_dir)]) == 0
    out, err = capsys.readouterr()
    assert "trained on" not in err and json.loads(out)["trained_on"] == 0


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["embed", "{run}", "{clip}", "--output", "vectors.json"], "vectors.json: embeddings are written as .npz or .csv"),
        (["predict", "{folder}", "{clip}"], "a folder; the model of a run is best.pt in it"),
        (["corpus", "from-table", "{out}", "--output", "c"], "a folder; give the table in it"),
        (["run", "--data", "{table}"], "lacks the column path, accent, speaker; it has file;who (accentlib corpus from-t"),
    ],
)  # fmt: skip
def test_a_slip_is_answered_by_the_way_out(argv, message, run_dir, corpus_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("file;who\na.wav;x\n")
    names = {
        "{run}": f"--checkpoint={run_dir / 'best.pt'}", "{folder}": f"--checkpoint={run_dir}",
        "{clip}": str(corpus_dir / "low_1_0.wav"), "{out}": str(tmp_path), "{table}": str(tmp_path / "t.csv"),
    }  # fmt: skip
    assert main([names.get(word, word) for word in argv]) == 2
    err = capsys.readouterr().err.splitlines()[-1]
    assert message in err and not (tmp_path / "vectors.json").exists()


def test_a_folder_given_to_predict_and_embed_is_what_is_in_it(run_dir, corpus_dir, tmp_path, capsys):
    """It said: no such file."""
    (tmp_path / "in" / "deeper").mkdir(parents=True)
    for name, there in {"low_1_0.wav": "a.wav", "high_1_2.wav": "deeper/b.WAV"}.items():
        shutil.copy(corpus_dir / name, tmp_path / "in" / there)
    (tmp_path / "in" / "notes.txt").write_text("no audio")
    use = ["--checkpoint", str(run_dir / "best.pt")]
    assert main(["predict", *use, str(tmp_path / "in")]) == 0
    rows = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert rows["path"].tolist() == [str(tmp_path / "in" / name) for name in ("a.wav", "deeper/b.WAV")]
    assert main(["embed", *use, "--output", str(tmp_path / "v.npz"), str(tmp_path / "in")]) == 0
    assert len(np.load(tmp_path / "v.npz")["paths"]) == 2
    (tmp_path / "in" / "phone.m4a").write_bytes(b"....ftypM4A ")
    assert main(["predict", *use, str(tmp_path / "in")]) == 1  # a recording, which is named
    assert "phone.m4a: not readable as audio" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["predict", *use, str(tmp_path / "empty")]) == 2
    assert "empty: no audio files in it" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"PK\x03\x04 of an .xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"])
def test_a_spreadsheet_in_place_of_a_table_is_named(tmp_path, capsys, content):
    """It said: no column 'path' for the path; it has PK."""
    (tmp_path / "clips.xlsx").write_bytes(content)
    assert main(["corpus", "from-table", str(tmp_path / "clips.xlsx"), "--output", str(tmp_path / "c")]) == 2
    assert "clips.xlsx: a spreadsheet; save it as CSV" in capsys.readouterr().err


def test_bad_files_in_a_corpus_are_named_the_rest_is_used_and_the_status_says_so(tmp_path, capsys):
    folder = write_corpus(tmp_path / "corpus")
    (folder / "low_3_0.wav").write_text("not audio")
    (folder / "high_3_0.wav").unlink()
    status = main(["run", "--data", str(folder), "--out_dir", str(tmp_path / "run"), *FLAGS])
    err = capsys.readouterr().err
    assert status == 1 and "low_3_0.wav: not readable" in err and "high_3_0.wav: no such file" in err
    assert "balanced accuracy" in err and "2 files could not be used" in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["predict", "--checkpoint", "none.pt", "a.wav"], "none.pt: no such checkpoint"),
        (["run", "--data", "nowhere"], "nowhere: no such file"),
        (["train", "--data", "x", "--resume"], "--resume needs the --out_dir"),
        (["train", "--data", "x", "--out_dir", "none", "--resume"], "none/last.pt: no such checkpoint"),
        (["train", "--train_labels_path", "x"], "nothing to validate on; give --valid_labels_path"),
        (["train", "--train_labels_path", "x", "--valid_labels_path", "y"], "x: no such file"),
        (
            ["train", "--train_labels_path", "x", "--data", "y"],
            "train needs either --data, or --train_labels_path",
        ),
        (["compare"], "the following arguments are required: --data; see accentlib compare --help"),
        (["finetune", "--data", "x", "--checkpoint", "no.pt"], "no.pt: no such checkpoint"),
        (["predict", "--checkpoint", "no.chkpt", "x.wav"], "no.chkpt: no such checkpoint"),
        (["features", "-i", "x", "--data", "y"], "features needs either --data or -i"),
        (["run", "--data", "x", "--preset", "laptop", "--heads", "7"], "heads 7 does not divide"),
        (["run", "--data", "x", "--preset", "laptop", "--head_drop", "1.5"], "head_drop must be in [0, 1)"),
    ],
)
def test_a_mistake_gets_one_line_and_status_2(argv, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert message in err and err.startswith("accentlib: ") and err.count("\n") == 1


@pytest.mark.parametrize("lacks", ["train", "test"])
def test_run_refuses_splits_it_cannot_use_before_it_trains(tmp_path, capsys, lacks):
    folder = write_corpus(tmp_path / "corpus")
    table = pd.read_csv(folder / "manifest.csv")
    (table[table["split"] != lacks]).to_csv(folder / "manifest.csv", index=False)
    out_dir = tmp_path / "run"
    assert main(["run", "--data", str(folder), "--out_dir", str(out_dir), *FLAGS]) == 2
    assert f"no clip in the split '{lacks}'" in capsys.readouterr().err
    table.loc[table["speaker"] == "low1", "accent"] = "tenor"  # in the test split alone
    table.to_csv(folder / "manifest.csv", index=False)
    assert main(["run", "--data", str(folder), "--out_dir", str(out_dir), *FLAGS]) == 2
    assert "the accent 'tenor'; the model knows" in capsys.readouterr().err
    assert not (out_dir / "last.pt").exists()


def test_a_corpus_of_single_clips_still_runs(tmp_path):
    folder = write_corpus(tmp_path / "corpus", speakers=3, clips=1)
    assert main(["run", "--data", str(folder), "--out_dir", str(tmp_path / "run"), *FLAGS]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["clips"] == 3 and "silhouette" not in metrics["embedding"]


def test_a_checkpoint_of_other_accents_is_refused(run_dir, tmp_path, capsys):
    folder = write_corpus(tmp_path)
    manifest = (folder / "manifest.csv").read_text().replace(",middle,", ",tenor,")
    (folder / "manifest.csv").write_text(manifest)
    assert main(["evaluate", "--checkpoint", str(run_dir / "best.pt"), "--data", str(folder)]) == 2
    assert "the accent 'tenor'; the model knows high, low, middle" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_leaves_a_whole_checkpoint_to_go_on_from(corpus_dir, tmp_path):
    flags = [*FLAGS, "--max_epochs", "100000"]
    program = Program("train", "--data", corpus_dir, "--out_dir", tmp_path, *flags)
    program.until((tmp_path / "last.pt").exists)
    program.send(signal.SIGINT)
    status, said = program.end()
    assert status == 130 and "--resume continues from last.pt" in said and "Traceback" not in said
    done = read_checkpoint(tmp_path / "last.pt")["training"]["counters"]["epoch"]
    argv = ["train", "--data", str(corpus_dir), "--out_dir", str(tmp_path), "--resume"]
    assert main([*argv, "--max_epochs", str(done + 2)]) == 0
    assert read_checkpoint(tmp_path / "last.pt")["training"]["counters"]["epoch"] == done + 2


def test_every_public_name_is_what_it_says_however_often_it_is_asked_for():
    import accentlib

    for _ in range(2):
        for name in [*accentlib.__all__, "Recorder"]:
            assert callable(getattr(accentlib, name)), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        accentlib.nothing  # noqa: B018


def test_everything_is_imported_by_a_star_without_the_notebooks_extra():
    script = """if True:
        import sys
        sys.modules["anywidget"] = None  # as where it is not installed
        from accentlib import *
        import accentlib
        assert callable(predict) and "Recorder" in dir(accentlib)
        try:
            accentlib.Recorder
        except ImportError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "the recorder needs anywidget: pip install 'accentlib[notebooks]'\n"


@pytest.mark.parametrize(
    "argv", [["--help"], ["train", "--help"], ["--version"], ["train", "--no-such-flag"]]
)
def test_import_and_help_do_not_wait_for_torch(argv):
    script = f"""if True:
        import sys, accentlib, accentlib.cli
        try:
            accentlib.cli.main({argv})
        except SystemExit as left:
            assert not left.code
        heavy = ("torch", "librosa", "pandas", "numpy", "matplotlib")
        print([name for name in heavy if name in sys.modules])
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"accentlib {accentlib.__version__}\n"


def test_the_table_of_verbs_and_flags_is_whole():
    used = " ".join([*GROUPS.values(), *(verb["flags"] for verb in VERBS.values())]).replace("!", "").split()
    assert set(used) == DEFINED.keys() | GROUPS.keys()
    assert all(callable(getattr(Call, verb.get("method", name))) for name, verb in VERBS.items())
    assert DEFINED["min_seconds"]["default"] == SHORTEST_CLIP


@pytest.mark.parametrize(
    ("argv", "module"),
    [
        (["corpus", "cmu-arctic", "--output", "{out}"], "pooch"),
        (["map", "--checkpoint", "{model}", "--data", "{data}", "--output", "{out}.html"], "bokeh.plotting"),
        (["compare", "--data", "{data}", "--out_dir", "{out}"], "accentlib.experiments.compare"),
    ],
)
def test_a_missing_package_is_named_in_one_line(
    argv, module, run_dir, corpus_dir, tmp_path, capsys, monkeypatch
):
    names = {"out": tmp_path / "out", "model": run_dir / "best.pt", "data": corpus_dir}
    monkeypatch.setitem(sys.modules, module, None)
    package, _, name = module.rpartition(".")
    if package in sys.modules:  # another test has imported it
        monkeypatch.delattr(sys.modules[package], name, raising=False)
    assert main([word.format(**names) for word in argv]) == 2
    err = capsys.readouterr().err
    assert module in err and err.startswith("accentlib: ") and err.count("\n") == 1


def test_embeddings_of_a_corpus_are_those_of_its_clips_by_id(run_dir, corpus_dir, tmp_path):
    """Two clips of one file, say two segments, are two rows."""
    table = pd.read_csv(corpus_dir / "manifest.csv").iloc[[0, 0, 3, 20]]
    table.assign(id=["a", "b", "c", "d"], path=[str(corpus_dir / path) for path in table["path"]]).to_csv(
        tmp_path / "manifest.csv", index=False
    )
    argv = ["embed", "--checkpoint", str(run_dir / "best.pt"), "--output", str(tmp_path / "v.npz"), "--data"]
    assert main([*argv, str(tmp_path)]) == 0
    vectors = np.load(tmp_path / "v.npz")
    assert vectors["ids"].tolist() == ["a", "b", "c", "d"]
    assert vectors["paths"].tolist() == [str(corpus_dir / path) for path in table["path"]]
    assert vectors["embeddings"].shape == (4, TINY["embedding_size"])
    np.testing.assert_array_equal(vectors["embeddings"][0], vectors["embeddings"][1])
    assert main([*argv, str(corpus_dir)]) == 0  # the ids are the paths
    names = {"ids", "paths", "accents", "speakers", "splits", "embeddings"}
    assert set(np.load(tmp_path / "v.npz")) == names


@pytest.mark.parametrize(
    ("verb", "needed"),
    {
        "run": "--data",
        "train": "--data --train_labels_path --valid_labels_path",
        "finetune": "--checkpoint --data --train_labels_path --valid_labels_path",
        "features": "--data -i",
        "evaluate": "--data --labels_path",
        "embed": "files --data",
        "score": "--clients --impostors",
        "compare": "--data",
        "crossvalidate": "--data",
        "map": "--data --output",
        "phones": "--data --output",
    }.items(),
)
def test_a_verb_without_options_says_in_one_line_all_that_it_needs(verb, needed, capsys):
    assert main([verb]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and verb in err
    said = err.replace(",", "").replace(";", "").split()
    assert all(text in said for text in needed.split()), err
