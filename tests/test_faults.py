"""What users, disks and strangers' files do: nothing is lost, nothing half written is read, no code is run."""

import argparse
import collections
import functools
import operator
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from filelock import FileLock
from helpers import TINY, as_flags, train_argv, write_corpus
from programs import Program

from accentlib.cli import main
from accentlib.config import InputError
from accentlib.corpora.table import read_corpus
from accentlib.features.store import open_store
from accentlib.network.accent_net import AccentNet
from accentlib.network.checkpoint import load_model, read_checkpoint, save_checkpoint
from accentlib.published.lists import read_lines
from accentlib.published.pickles import read_pickle
from accentlib.training.loop import Trainer

SMALL = as_flags(TINY | {"num_workers": 0, "max_epochs": 1})


def accentlib(*argv: object, limit: int | None = None) -> tuple[int, str]:
    """Run the command line, with files of at most ``limit`` bytes; its status, and what it printed."""
    full_disk = functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
    return Program(*argv, before=full_disk if limit else None).end()


def last_line(said: str) -> str:
    assert "Traceback" not in said, said
    return said.strip().splitlines()[-1]


# full disks


def test_a_full_disk_while_packing_is_named_and_the_rest_is_made_later(tmp_path, corpus_dir, tiny):
    features = ["features", "--data", corpus_dir, "--out_dir", tmp_path / "f"]
    status, said = accentlib(*features, limit=200_000)
    assert status == 2 and "log_mel.npy" in last_line(said) and "too large" in last_line(said)
    assert accentlib(*features)[0] == 0
    table = read_corpus(corpus_dir)
    store = open_store(table, tmp_path / "f", tiny)
    whole = open_store(table, tmp_path / "whole", tiny)
    assert all(np.array_equal(store[path], whole[path]) for path in table["path"])


def test_a_full_disk_while_features_are_extracted_leaves_no_half_pickles(tmp_path):
    corpus = write_corpus(tmp_path / "audio", speakers=2, clips=1)
    (tmp_path / "all.lst").write_text("\n".join(str(path) for path in corpus.glob("*.wav")))
    status, said = accentlib("features", "-i", tmp_path / "all.lst", limit=10_000)
    assert status == 1 and said.count("File too large") == 6 and "Traceback" not in said
    assert not [*corpus.glob("*.pickle"), *corpus.glob("*.tmp")]


def test_a_full_disk_at_a_checkpoint_leaves_the_one_before(tmp_path, corpus_dir):
    out = tmp_path / "run"
    train = ["train", "--data", corpus_dir, "--preset", "laptop", "--out_dir", out, *SMALL]
    assert accentlib(*train)[0] == 0
    before = (out / "last.pt").read_bytes()
    more = ["train", "--data", corpus_dir, "--out_dir", out, "--resume", "--max_epochs", "2"]
    # what is written before the checkpoint is smaller than half of it
    status, said = accentlib(*more, limit=len(before) // 2)
    assert status == 2 and ".pt" in last_line(said) and "too large" in last_line(said)
    assert (out / "last.pt").read_bytes() == before and not list(out.glob("*.tmp"))
    assert accentlib(*more)[0] == 0
    assert read_checkpoint(out / "last.pt")["training"]["counters"]["epoch"] == 2


# signals, other processes, folders and clocks


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGKILL])
def test_stopped_anywhere_it_goes_on(tmp_path, corpus_dir, kind):
    """Features, checkpoints and the feature store are whole, wherever the signal comes."""
    train = ["train", "--data", str(corpus_dir), "--preset", "laptop", *SMALL, "--early_stopping", "-1"]
    train += ["--out_dir", str(tmp_path / "run"), "--requeue", "--max_epochs"]
    importing = subprocess.Popen([sys.executable, "-m", "accentlib", *train, "1000"])
    time.sleep(0.5)
    importing.send_signal(kind)
    importing.wait(60)
    for wait in (0.2, 1.0, 2.5):
        program = Program(*train, "1000")
        time.sleep(wait)
        program.send(kind)
        assert "Traceback" not in program.end()[1]
        for file in (tmp_path / "run").glob("*.pt"):
            load_model(file)
    last = tmp_path / "run" / "last.pt"
    done = read_checkpoint(last)["training"]["counters"]["epoch"] if last.exists() else 0
    assert main([*train, str(done + 1)]) == 0
    assert read_checkpoint(last)["training"]["counters"]["epoch"] == done + 1
    assert not list((tmp_path / "run").glob("*.tmp"))


def test_the_papers_settings_on_a_few_clips_say_when_they_save_and_save_at_ctrl_c(tmp_path, corpus_dir):
    """On 27 clips nothing was printed and nothing saved for 10,000 updates, and Ctrl-C left an empty folder."""
    train = [
        "train",
        "--data",
        str(corpus_dir),
        "--out_dir",
        str(tmp_path / "run"),
        "--preset",
        "paper",
        *SMALL,
    ]
    train += ["--validate_every", "10000", "--max_epochs"]
    program = Program(*train, "100000")
    program.until(lambda: "validates and saves every 10,000 updates, here 5,000 epochs" in program.said)
    time.sleep(1)
    program.send(signal.SIGINT)
    status, said = program.end()
    assert status == 130 and "Traceback" not in said and "--resume continues" in said
    counters = read_checkpoint(tmp_path / "run" / "last.pt")["training"]["counters"]
    assert counters["step"] > 0
    assert main([*train, str(counters["epoch"] + 2), "--resume"]) == 0


@pytest.fixture
def heeding_ctrl_c():
    """A shell's background job ignores SIGINT, and so do the tests that it runs."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeding_ctrl_c")
def test_stopped_by_ctrl_c_and_resumed_it_ends_with_the_weights_of_an_uninterrupted_run(
    tmp_path, corpus_dir, tiny
):
    table, config = read_corpus(corpus_dir), tiny.replace(max_epochs=3, gradient_accumulation=2, dropout=0.1)
    Trainer(table, config, tmp_path / "whole", progress=False).train()
    trainer = Trainer(table, config, tmp_path / "parts", progress=False)

    def interrupt(*_):
        if trainer.step == 2:  # within an update, and within an epoch
            os.kill(os.getpid(), signal.SIGINT)

    trainer.optimizer.register_step_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    torch.manual_seed(99)
    again = Trainer(table, config, tmp_path / "parts", progress=False)
    again.resume(tmp_path / "parts" / "last.pt")
    assert again.step == 3
    again.train()
    whole, parts = (read_checkpoint(tmp_path / name / "last.pt")["model"] for name in ("whole", "parts"))
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_batch_system_stops_the_group_and_loaders_are_quiet(tmp_path, corpus_dir, kind):
    """A worker of the DataLoader left its traceback before the clean line."""
    train = ["train", "--data", str(corpus_dir), "--out_dir", str(tmp_path / "run"), *SMALL]
    train += ["--num_workers", "2", "--max_epochs", "100000"]
    program = Program(*train, group=True)
    program.until((tmp_path / "run" / "last.pt").exists)
    os.killpg(program.process.pid, kind)
    status, said = program.end()
    assert status == 130 and "Traceback" not in said, said
    assert said.strip().endswith("accentlib: interrupted; --resume continues from last.pt, if there is one")


def test_a_second_run_in_the_same_folder_is_refused(tmp_path, corpus_dir, tiny):
    first = Trainer(read_corpus(corpus_dir), tiny, tmp_path, progress=False)
    with FileLock(tmp_path / "lock"), pytest.raises(InputError, match="another run writes there"):
        first.train()
    assert not list(tmp_path.glob("*.pt"))
    first.train()
    assert (tmp_path / "best.pt").exists()


def test_my_own_tmp_files_stay_and_those_of_a_killed_run_go(tmp_path, corpus_dir, tiny):
    mine = [tmp_path / name for name in ("thesis.tmp", "best.pt.tmp", "best.pt.old.tmp", "notes.7.tmp")]
    left = [tmp_path / f"{name}.4321.tmp" for name in ("best.pt", "last.pt", "config.pkl")]
    for file in mine + left:
        file.write_text("Chapter 1")
    Trainer(read_corpus(corpus_dir), tiny.replace(max_epochs=1), tmp_path, progress=False).train()
    assert [file.exists() for file in mine + left] == [True] * 4 + [False] * 3


def test_nothing_is_written_beside_the_data(tmp_path, corpus_dir):
    data = shutil.copytree(corpus_dir, tmp_path / "data")
    before = {path: path.stat().st_mtime_ns for path in [data, *data.rglob("*")]}
    data.chmod(0o555)
    run = ["run", "--data", str(data), "--out_dir", str(tmp_path / "run"), *SMALL]
    assert main(run) == 0
    assert main(["embed", *map(str, data.glob("low*.wav")), "--checkpoint", str(tmp_path / "run/best.pt"),
                 "--output", str(tmp_path / "e.npz")]) == 0  # fmt: skip
    assert {path: path.stat().st_mtime_ns for path in [data, *data.rglob("*")]} == before
    data.chmod(0o755)


def test_a_clock_that_goes_back_changes_nothing(tmp_path, corpus_dir, tiny, monkeypatch):
    data, out = shutil.copytree(corpus_dir, tmp_path / "data"), tmp_path / "run"
    Trainer(read_corpus(data), tiny.replace(max_epochs=1), out, progress=False).train()
    tomorrow = time.time() + 86_400
    for file in [*out.rglob("*.*"), *data.glob("*.wav")]:
        os.utime(file, (tomorrow, tomorrow)) if file.parent != data else None
    counted = []
    monkeypatch.setattr("accentlib.features.store.file_log_mel", lambda *a: counted.append(a))
    second = Trainer(read_corpus(data), tiny, out, progress=False)
    second.resume(out / "last.pt")
    second.train()
    assert not counted and second.epoch == 2
    monkeypatch.undo()
    # an audio file that changed is made again even if it looks older than what was made of it
    changed = data / "low_0_0.wav"
    changed.write_bytes((data / "high_0_0.wav").read_bytes())
    os.utime(changed, (1, 1))
    table = read_corpus(data)
    store = open_store(table, out / "features", tiny)
    assert np.array_equal(store[str(changed)], store[str(data / "high_0_0.wav")])


def test_gradients_that_are_no_numbers_stop_it_and_spoil_nothing(tmp_path, corpus_dir):
    out = tmp_path / "run"
    train = ["train", "--data", corpus_dir, "--preset", "laptop", "--out_dir", out, *SMALL]
    assert accentlib(*train)[0] == 0
    before = (out / "last.pt").read_bytes()
    more = ["train", "--data", corpus_dir, "--out_dir", out, "--resume"]
    status, said = accentlib(*more, "--max_epochs", "50", "--learning_rate", "1e38")
    assert status == 2 and (out / "last.pt").read_bytes() == before
    step = read_checkpoint(out / "last.pt")["training"]["counters"]["step"]
    assert f"{out / 'last.pt'} is of update {step}" in last_line(said) and "learning_rate" in last_line(said)


# files that would run code


class Evil:
    """Unpickled, it makes a file."""

    def __init__(self, path, how):
        self.path, self.how = str(path), how

    def __reduce__(self):
        if self.how == "state":
            return (collections.OrderedDict, (), {"x": 1}, None, iter([("a", Evil(self.path, "open"))]))
        return {
            "open": (open, (self.path, "w")),
            "system": (os.system, (f"touch {self.path}",)),
            "eval": (eval, (f"open({self.path!r}, 'w')",)),
            "exec": (exec, (f"open({self.path!r}, 'w')",)),
            "popen": (subprocess.Popen, (["touch", self.path],)),
            "partial": (functools.partial(open, self.path, "w"), ()),
            "methodcaller": (operator.methodcaller("touch"), (tmp(self.path),)),
            "getattr": (getattr, (tmp(self.path), "touch")),
            "memmap": (np.memmap, (self.path, "uint8", "w+", 0, (1,))),
            "fromfile": (np.fromfile, (self.path,)),
            "savetxt": (np.savetxt, (self.path, [1.0])),
            "import": (__import__, ("antigravity",)),
            "torch": (torch.save, (1, self.path)),
            "load": (torch.load, (self.path,)),
        }[self.how]


def tmp(path):
    from pathlib import Path

    return Path(path)


TRICKS = ("open", "system", "eval", "exec", "popen", "partial", "methodcaller", "getattr", "memmap", "fromfile",
          "savetxt", "import", "torch", "load", "state")  # fmt: skip
TEXTS = {
    "os.system, protocol 0": b"cposix\nsystem\n(S'touch ran'\ntR.",
    "a name with dots": b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile\x93.",
    "through numpy's own namespace": b"cnumpy.core.multiarray\nos.system\n(S'touch ran'\ntR.",
    "a module of numpy": b'cnumpy.testing._private.utils\nrunstring\n(S\'open("ran","w")\'\n}tR.',
    "an extension code": b"\x80\x02\x82\x01.",
    "a persistent id": b"Pwhatever\n.",
    "BUILD on an allowed class": b"cnumpy\ndtype\n}S'ran'\nI1\nsb.",
    "an instance of the old kind": b"(S'touch ran'\nios\nsystem\n.",
}


@pytest.mark.parametrize("how", TRICKS)
def test_a_pickle_or_checkpoint_that_would_run_code_is_refused(tmp_path, how, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evil = Evil(tmp_path / "ran", how)
    for name, content in {"alone": evil, "in a dict": {"features": evil}, "in a list": [1, evil]}.items():
        (tmp_path / name).write_bytes(pickle.dumps(content))
        with pytest.raises(InputError, match="not a pickle of arrays and plain types alone"):
            read_pickle(tmp_path / name)
    whole = {"format": 1, "config": {}, "labels": ["a", "b"], "model": {}, "training": None}
    for field in ("labels", "model", "training"):
        for old_format in (False, True):
            torch.save(
                whole | {field: evil}, tmp_path / "c.pt", _use_new_zipfile_serialization=not old_format
            )
            with pytest.raises(InputError, match=r"c\.pt: not a readable checkpoint .*more than weights"):
                load_model(tmp_path / "c.pt")
    assert "antigravity" not in sys.modules and not (tmp_path / "ran").exists()


@pytest.mark.parametrize("how", TEXTS)
def test_pickles_written_by_hand_are_refused(tmp_path, how, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "p").write_bytes(TEXTS[how])
    with pytest.raises(InputError, match="not a pickle of arrays and plain types alone"):
        read_pickle(tmp_path / "p")
    with pytest.raises(InputError, match="not a readable checkpoint"):
        read_checkpoint(tmp_path / "p")
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_whose_archive_was_changed_is_refused(tmp_path, tiny):
    save_checkpoint(tmp_path / "good.pt", AccentNet(tiny, ["a", "b"]))
    with zipfile.ZipFile(tmp_path / "good.pt") as good, zipfile.ZipFile(tmp_path / "bad.pt", "w") as bad:
        for name in good.namelist():
            evil = pickle.dumps(Evil(tmp_path / "ran", "open"), protocol=2)
            bad.writestr(name, evil if name.endswith("data.pkl") else good.read(name))
    with pytest.raises(InputError, match=r"bad\.pt: not a readable checkpoint"):
        load_model(tmp_path / "bad.pt")
    assert not (tmp_path / "ran").exists()


def test_one_flipped_bit_of_a_weight_is_noticed(tmp_path, tiny):
    model = AccentNet(tiny, ["a", "b"])
    save_checkpoint(tmp_path / "good.pt", model)
    content = bytearray((tmp_path / "good.pt").read_bytes())
    at = content.index(model.fc1.weight.detach().numpy().tobytes())
    content[at + 10] ^= 1
    (tmp_path / "bad.pt").write_bytes(content)
    with pytest.raises(InputError, match=r"bad\.pt: not a readable checkpoint"):
        load_model(tmp_path / "bad.pt")


@pytest.mark.parametrize(
    "change", [{"channels": 2**22}, {"embedding_size": 2**40}, {"embedding_size": 2**62}]
)
def test_memory_is_not_taken_for_sizes_that_are_only_claimed(tmp_path, tiny, change):
    save_checkpoint(tmp_path / "c.pt", AccentNet(tiny, ["a", "b"]))
    content = torch.load(tmp_path / "c.pt", weights_only=True)
    content["config"] |= change
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(InputError):
        load_model(tmp_path / "c.pt")


@pytest.mark.parametrize("note", [b"r\0\0\0\1", b"p16777216\n"], ids=["LONG_BINPUT", "PUT"])
def test_memory_is_not_taken_for_notes_that_are_only_numbered(tmp_path, note):
    """C's unpickler has room for all notes up to the highest number: here 256 MB, and 16 GB where it says so."""
    (tmp_path / "p").write_bytes(b"]" + note + b".")
    with pytest.raises(InputError, match="memo index 16777216"):
        read_pickle(tmp_path / "p")


def test_a_checkpoint_may_not_be_a_namespace_that_hides_another(tmp_path):
    settings = argparse.Namespace(front_end=Evil(tmp_path / "ran", "open"))
    torch.save({"model": {}, "settings": settings}, tmp_path / "c.chkpt")
    with pytest.raises(InputError, match="more than weights"):
        load_model(tmp_path / "c.chkpt")
    assert not (tmp_path / "ran").exists()


# lists with odd names


def test_lists_with_odd_names_and_line_ends(tmp_path, capsys):
    audio = write_corpus(tmp_path / "äudio dir", speakers=1, clips=1)
    wave = (audio / "low_0_0.wav").read_bytes()
    names = [
        "with space",
        "日本語",
        "naïve",
        "line\u2028separator",
        "tab\tname",
        "quote'\"",
        "..hidden",
        "-dash",
        "%s{}",
    ]
    for name in names:
        (audio / f"{name}.wav").write_bytes(wave)
    (audio / "link.wav").symlink_to(audio / "low_0_0.wav")
    lines = [str(audio / name) for name in [*names, "link"]] + [f"{audio}/../äudio dir/high_0_0"]
    (tmp_path / "all.lst").write_bytes(b"\xef\xbb\xbf" + "\r\n".join([*lines, "", ""]).encode())
    assert main(["features", "-i", str(tmp_path / "all.lst")]) == 0, capsys.readouterr().err
    assert {path.stem for path in audio.glob("*.pickle")} == {*names, "link", "high_0_0"}


@pytest.mark.parametrize(
    "name", ["x" * 10_000, "a/" * 5_000, "nul\0byte", "~root/x", "/dev/null", "/proc/self/mem", "."]
)
def test_names_that_are_no_files_get_a_short_line(tmp_path, name, capsys):
    good = write_corpus(tmp_path / "audio", speakers=1, clips=1) / "low_0_0"
    (tmp_path / "all.lst").write_text(f"{name}\n{good}\n")
    assert main(["features", "-i", str(tmp_path / "all.lst")]) == 1
    said = capsys.readouterr().err
    assert "line 1" in said and "no such audio file" in said and len(said) < 1_000
    assert good.with_suffix(".pickle").is_file()


def test_a_missing_name_is_shown_whole(tmp_path, capsys):
    name = "gone\u2028away"
    (tmp_path / "all.lst").write_text(f"{name}\n")
    assert main(["features", "-i", str(tmp_path / "all.lst")]) == 1
    assert f"line 1: {name}: no such audio file" in capsys.readouterr().err


def test_a_long_line_of_a_label_file_is_not_shown_whole(tmp_path):
    (tmp_path / "a.lst").write_text("word " * 2_000)
    with pytest.raises(InputError, match="line 1 has 2000 columns") as raised:
        list(read_lines(tmp_path / "a.lst", 3))
    assert len(str(raised.value)) < 500


def test_paths_that_lead_out_of_the_folder_are_read_as_they_stand(lists, tmp_path):
    """A label file may name what lies elsewhere: nothing is written there."""
    (tmp_path / "link").symlink_to(lists)
    argv = train_argv(tmp_path / "link", tmp_path / "m", "--max_epochs", "1")
    assert main(argv) == 0
    odd = tmp_path / "odd.lst"
    lines = [line.split() for line in (lists / "train.lst").read_text().splitlines()]
    odd.write_bytes("".join(f"../audio/./{name} {label} -1\r\n" for name, label, _ in lines).encode())
    argv[argv.index("--train_labels_path") + 1] = str(odd)
    argv[argv.index("--out_dir") + 1] = str(tmp_path / "n")
    assert main([*argv, "--max_epochs", "1"]) == 0


def test_a_manifest_with_odd_paths_is_read_and_its_missing_files_are_named(tmp_path, corpus_dir, tiny):
    table = pd.read_csv(corpus_dir / "manifest.csv")
    table["path"] = [str(corpus_dir / path) for path in table["path"]]
    table.loc[[2, 3, 4], "path"] = ["nul\0byte.wav", "x" * 10_000 + ".wav", "../" * 40 + "no.wav"]
    table.to_csv(tmp_path / "manifest.csv", index=False)
    read = read_corpus(tmp_path)
    store = open_store(read, tmp_path / "f", tiny)
    assert len(store.problems) == 3 and all("no such file" in line for line in store.problems.values())
