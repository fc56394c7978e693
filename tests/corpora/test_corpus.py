"""Corpus tables, speaker-disjoint splits, the feature store, windows and batches."""

import json
import pickle
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from helpers import BUNDLED, RATE, tone, write_corpus

from accentlib.config import Config, InputError
from accentlib.corpora.table import corpus_note, read_corpus
from accentlib.features import store as store_module
from accentlib.features.batches import length_buckets
from accentlib.features.log_mel import file_log_mel
from accentlib.features.store import corpus_sample_rate, open_store, prepare
from accentlib.training import augment
from accentlib.training.windows import EpochSampler, WindowDataset, training_loader

GOOD = "path,accent,speaker,split\na.wav,x,s1,train\nb.wav,y,s2,test\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("path,accent\na.wav,x\n", "lacks the column speaker"),
        ("path,accent,speaker\n", "has no rows"),
        ("", "not readable as a CSV"),
        (GOOD.replace(",y,", ",x,"), "only one accent, 'x'"),
        (GOOD.replace("s2", "s1"), "speaker 's1' is in the splits train and test"),
        (GOOD.replace("test", "dev"), "unknown split 'dev'"),
        (GOOD.replace("b.wav", "a.wav"), "a.wav is listed twice"),
        (GOOD.replace(",y,", ",,"), "line 3 has no accent"),
        (GOOD + "c.wav,z,s3,train,more\n", "not readable as a CSV"),
        ("path,accent,speaker\na,x,1\nb,y,2\n", "has 1 speaker; a speaker-disjoint split needs at least 3"),
    ],
)
def test_a_bad_table_gets_one_clear_line(tmp_path, content, message):
    (tmp_path / "manifest.csv").write_text(content)
    with pytest.raises(InputError, match=message) as error:
        read_corpus(tmp_path)
    assert str(error.value).startswith(str(tmp_path / "manifest.csv")) and "\n" not in str(error.value)


def test_a_missing_table_and_names_that_look_like_nothing(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_corpus(tmp_path)
    (tmp_path / "manifest.csv").write_bytes(b"\xef\xbb\xbf" + GOOD.replace(",x,", ",None,").encode())
    assert list(read_corpus(tmp_path)["accent"]) == ["None", "y"]


def test_a_clip_is_named_by_its_id_or_else_by_its_path(tmp_path):
    (tmp_path / "manifest.csv").write_text(GOOD)
    assert list(read_corpus(tmp_path)["id"]) == [str(tmp_path / "a.wav"), str(tmp_path / "b.wav")]
    with_ids = "id,path,accent,speaker,split\n1,a.wav,x,s1,train\n2,a.wav,y,s2,test\n"  # one file, two clips
    (tmp_path / "manifest.csv").write_text(with_ids)
    table = read_corpus(tmp_path)
    assert list(table["id"]) == ["1", "2"] and set(table["path"]) == {str(tmp_path / "a.wav")}
    for wrong, message in {"1": "id 1 is listed twice", " ": "line 3 has no id"}.items():
        (tmp_path / "manifest.csv").write_text(with_ids.replace("2,a", f"{wrong},a"))
        with pytest.raises(InputError, match=message):
            read_corpus(tmp_path)


@pytest.mark.parametrize("speakers", [3, 4, 10])
def test_without_a_split_speakers_are_assigned_to_splits_and_it_is_said(tmp_path, capsys, speakers):
    folder = write_corpus(tmp_path, speakers=speakers, with_split=False)
    table = read_corpus(folder, seed=3)
    assert "speakers assigned by seed 3" in capsys.readouterr().err
    assert table.groupby("speaker")["split"].nunique().max() == 1
    counts = pd.crosstab(table["accent"], table["split"])
    assert set(counts.columns) == {"train", "validation", "test"} and counts.to_numpy().min() > 0
    assert (counts["train"] == counts.max(axis=1)).all()
    assert read_corpus(folder, seed=3)["split"].equals(table["split"])
    assert not read_corpus(folder, seed=4)["split"].equals(table["split"])


@pytest.mark.parametrize(
    ("rate", "used"), [(48_000, 16_000), (44_100, 16_000), (24_000, 16_000), (16_000, 16_000), (11_025, 8000)]
)
def test_a_corpus_as_a_recorder_made_it_is_resampled(tmp_path, tiny, rate, used):
    """At 44.1 and 48 kHz `accentlib run` said: n_fft 512 must hold a window of 1200 samples, steps of 480."""
    for name in ("a", "b"):
        sf.write(tmp_path / f"{name}.wav", tone(300, 1.0, rate), rate)
    table = pd.DataFrame({"path": [str(tmp_path / "a.wav"), str(tmp_path / "b.wav")]})
    config, store = prepare(table, tiny.replace(sample_rate=0), tmp_path / "features")
    assert config.sample_rate == used and store.problems == {}
    assert len(store[table["path"][0]]) == 1 + (used - 512) // (used // 100)


def test_the_rate_of_most_files_and_the_note(tmp_path):
    for name, rate in {"a.wav": 8000, "b.wav": 8000, "c.wav": 16000}.items():
        sf.write(tmp_path / name, tone(300, 0.1, rate), rate)
    assert corpus_sample_rate([str(tmp_path / n) for n in ("c.wav", "a.wav", "none.wav", "b.wav")]) == 8000
    with pytest.raises(InputError, match="none of the 1 audio files"):
        corpus_sample_rate([str(tmp_path / "none.wav")])
    assert corpus_note(tmp_path) == "" and corpus_note(BUNDLED).startswith("Synthetic")


def test_the_store_holds_what_the_one_feature_path_gives_and_is_reused(tmp_path, corpus_dir, tiny):
    table = read_corpus(corpus_dir)
    store = open_store(table, tmp_path, tiny)
    for path in table["path"]:
        np.testing.assert_array_equal(store[path], file_log_mel(path, tiny))
    changed = (tmp_path / "log_mel.npy").stat().st_mtime_ns
    open_store(table, tmp_path, tiny)
    assert (tmp_path / "log_mel.npy").stat().st_mtime_ns == changed
    again = open_store(table, tmp_path, tiny.replace(n_fft=1024))  # other features: made anew
    assert len(again[table["path"][0]]) < len(store[table["path"][0]])


def test_the_file_is_a_numpy_array_that_anybody_reads(tmp_path, corpus_dir, tiny):
    table = read_corpus(corpus_dir)
    store = open_store(table, tmp_path, tiny)
    array = np.load(tmp_path / "log_mel.npy", mmap_mode="r")
    assert array.dtype == np.float32 and len(array) == sum(len(store[path]) for path in table["path"])
    np.testing.assert_array_equal(array[: len(store[table["path"][0]])], store[table["path"][0]])


def line_of(store_folder, path) -> list:
    lines = [json.loads(line) for line in (store_folder / "clips.jsonl").read_text().splitlines()[1:]]
    return [line for line in lines if line[0] == path][-1]


def test_a_corpus_that_grows_costs_what_is_new_and_a_changed_file_is_made_again(tmp_path, tiny, monkeypatch):
    table = read_corpus(write_corpus(tmp_path / "c"))
    made = []
    real = store_module.file_log_mel
    monkeypatch.setattr(
        store_module, "file_log_mel", lambda path, config: made.append(path) or real(path, config)
    )
    open_store(table.iloc[:40], tmp_path / "f", tiny)
    assert len(made) == 40
    made.clear()
    first = table["path"][0]
    before = open_store(table, tmp_path / "f", tiny)[first].copy()
    assert made == list(table["path"][40:])
    made.clear()
    sf.write(first, tone(3000, 0.5), RATE)
    store = open_store(table, tmp_path / "f", tiny)
    assert made == [first] and np.abs(store[first] - before).max() > 1
    for path in table["path"]:
        np.testing.assert_array_equal(store[path], real(path, tiny))
    assert line_of(tmp_path / "f", first)[3] > 0  # added at the end


@pytest.mark.parametrize(
    "damage", ["index gone", "index torn", "line damaged", "data gone", "data torn", "not text"]
)
def test_a_damaged_store_is_mended_and_never_read_as_good(tmp_path, tiny, damage, monkeypatch):
    table = read_corpus(write_corpus(tmp_path / "c"))
    whole = {path: x.copy() for path, x in stored(open_store(table, tmp_path / "f", tiny), table).items()}
    data, index = tmp_path / "f" / "log_mel.npy", tmp_path / "f" / "clips.jsonl"
    if damage == "index gone":
        index.unlink()
    elif damage == "index torn":
        index.write_bytes(index.read_bytes()[:-25])
    elif damage == "line damaged":
        lines = index.read_text().splitlines(keepends=True)
        index.write_text("".join([*lines[:9], lines[9].replace(", ", ", -"), *lines[10:]]))
    elif damage == "data gone":
        data.unlink()
    elif damage == "data torn":
        data.write_bytes(data.read_bytes()[: 320 * 1000 + 77])
    else:
        index.write_bytes(b"\xff" + index.read_bytes())
    again = stored(open_store(table, tmp_path / "f", tiny), table)
    for path in table["path"]:
        np.testing.assert_array_equal(again[path], whole[path])
    assert len(np.load(data, mmap_mode="r")) == sum(map(len, whole.values()))
    monkeypatch.setattr(store_module, "file_log_mel", None)  # nothing is left to be computed
    open_store(table, tmp_path / "f", tiny)


def stored(store, table) -> dict[str, np.ndarray]:
    return {path: store[path] for path in table["path"]}


def test_killed_while_packing_it_goes_on_from_the_last_whole_clip(tmp_path, tiny):
    folder = write_corpus(tmp_path / "c", speakers=30)
    table = read_corpus(folder)
    code = (
        "import sys, time\nfrom accentlib.features import store\nfrom accentlib.config import Config\n"
        "from accentlib.corpora.table import read_corpus\nreal = store.file_log_mel\n"
        "store.file_log_mel = lambda *a: time.sleep(0.02) or real(*a)\n"
        f"store.open_store(read_corpus({str(folder)!r}), {str(tmp_path / 'f')!r},"
        f" Config.laptop(sample_rate={RATE}))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    index = tmp_path / "f" / "clips.jsonl"
    while not index.is_file() or index.read_bytes().count(b"\n") < 40:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    done = index.read_bytes().count(b"\n") - 1
    store = open_store(table, tmp_path / "f", tiny)
    for path in table["path"]:
        np.testing.assert_array_equal(store[path], file_log_mel(path, tiny))
    assert index.read_bytes().count(b"\n") - 1 == len(table)  # none twice
    assert 39 <= done < len(table)


def test_two_processes_make_one_store_and_the_second_waits(tmp_path, tiny):
    folder = write_corpus(tmp_path / "c", speakers=20)
    code = (
        "import sys\nfrom accentlib.features.store import open_store\nfrom accentlib.config import Config\n"
        "from accentlib.corpora.table import read_corpus\n"
        f"open_store(read_corpus({str(folder)!r}), {str(tmp_path / 'f')!r}, Config.laptop(sample_rate={RATE}))\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    table = read_corpus(folder)
    assert (tmp_path / "f" / "clips.jsonl").read_bytes().count(b"\n") == len(table) + 1
    store = open_store(table, tmp_path / "f", tiny)
    np.testing.assert_array_equal(store[table["path"][50]], file_log_mel(table["path"][50], tiny))


def test_a_store_is_sent_to_a_loader_without_its_features(tmp_path, corpus_dir, tiny):
    table = read_corpus(corpus_dir)
    store = open_store(table, tmp_path, tiny)
    sent = pickle.dumps(store)
    assert len(sent) < 0.1 * (tmp_path / "log_mel.npy").stat().st_size
    path = table["path"][7]
    np.testing.assert_array_equal(pickle.loads(sent)[path], store[path])


def test_bad_files_are_left_out_and_named(tmp_path, tiny):
    table = read_corpus(write_corpus(tmp_path))
    (tmp_path / "low_2_1.wav").write_bytes(b"")
    store = open_store(table, tmp_path / "f", tiny)
    assert list(store.problems) == [str(tmp_path / "low_2_1.wav")]
    assert len(store.keep(table)) == len(table) - 1
    assert "empty file" in line_of(tmp_path / "f", str(tmp_path / "low_2_1.wav"))[-1]
    sf.write(tmp_path / "low_2_1.wav", tone(150), RATE)  # mended
    assert not open_store(table, tmp_path / "f", tiny).problems


def test_windows_follow_from_seed_epoch_and_index_alone(tmp_path, corpus_dir, tiny):
    table = read_corpus(corpus_dir)
    store = open_store(table, tmp_path, tiny)
    data = WindowDataset(store, table, ["high", "low", "middle"], tiny)
    first, target, _ = data[(0, 1, 50)]
    assert target == 0 and first.shape[0] <= 50 and first.dtype == np.float32
    np.testing.assert_array_equal(first, data[(0, 1, 50)][0])
    other = data[(1, 1, 50)][0]
    assert other.shape != first.shape or np.abs(other - first).max() > 0.1
    # nothing of this may be written back into the features
    np.testing.assert_array_equal(store[table["path"][1]], file_log_mel(table["path"][1], tiny))


def test_plain_windows_are_cut_from_the_normalised_utterance(tmp_path, corpus_dir):
    config = Config(sample_rate=RATE, crop_seconds=0.2)
    table = read_corpus(corpus_dir)
    store = open_store(table, tmp_path, config)
    window, *_ = WindowDataset(store, table, ["high", "low", "middle"], config)[(0, 2, 20)]
    whole = store[table["path"][2]] - store[table["path"][2]].mean(axis=0)
    assert len(window) == 20
    assert min(np.abs(whole[s : s + 20] - window).max() for s in range(len(whole) - 19)) < 1e-5


def test_an_epoch_is_a_shuffle_and_can_start_within(tiny):
    sampler = EpochSampler([0] * 21, tiny.replace(batch_size=4))
    batches = list(sampler)
    assert len(batches) == len(sampler) == 5 and all(len(b) == 4 for b in batches)
    assert len({index for batch in batches for _, index, _ in batch}) == 20
    sampler.first_batch = 3
    assert list(sampler) == batches[3:]
    sampler.first_batch, sampler.epoch = 0, 1
    assert [i for b in sampler for _, i, _ in b] != [i for b in batches for _, i, _ in b]


def test_batches_are_the_same_with_workers_and_carry_their_lengths(tmp_path, corpus_dir, tiny):
    table = read_corpus(corpus_dir)
    store = open_store(table, tmp_path, tiny)
    labels = ["high", "low", "middle"]
    alone = list(training_loader(store, table, labels, tiny))
    helped = list(training_loader(store, table, labels, tiny.replace(num_workers=2)))
    for (x, n, y, _), (x2, n2, y2, _) in zip(alone, helped, strict=True):
        assert (x == x2).all() and (y == y2).all() and (n is None) == (n2 is None)
        if n is None:  # nothing is padded
            continue
        assert (n == n2).all() and x.shape[1] == n.max() > n.min()
        for row, length in zip(x, n, strict=True):
            assert (row[length:] == 0).all()


def test_length_buckets_hold_every_index_once_within_the_limit():
    lengths = list(np.random.default_rng(0).integers(1, 900, 300))
    buckets = length_buckets(lengths, frames_a_batch=2000)
    assert sorted(i for b in buckets for i in b) == list(range(300))
    assert all(len(b) * max(lengths[i] for i in b) <= 2000 for b in buckets)
    assert length_buckets([5000], 2000) == [[0]]


def test_changing_speed_keeps_the_bands_and_the_tract_moves_them():
    ramp = np.linspace(0, 1, 100, dtype=np.float32)[:, None] * np.ones((1, 80), np.float32)
    faster, _ = augment.change_speed(ramp, 1.25)
    assert faster.shape == (80, 80)
    np.testing.assert_allclose(faster[:, 0], np.linspace(0, 1, 80), atol=1e-5)
    np.testing.assert_allclose(augment.change_speed(ramp, 1.0)[0], ramp, atol=1e-6)
    peak = np.zeros((3, 80), np.float32)
    peak[:, 40] = 1
    centres = augment.mel_edges(RATE, 80)[1:-1]
    moved = augment.change_tract(peak, 1.2, RATE).argmax(axis=1)
    assert abs(centres[moved[0]] / centres[40] - 1.2) < 0.05
    np.testing.assert_allclose(augment.change_tract(peak, 1.0, RATE), peak, atol=1e-5)


def test_spec_augment_hides_some_and_leaves_the_rest():
    x = np.ones((200, 80), np.float32)
    y = augment.spec_augment(x.copy(), np.random.default_rng(1))
    assert set(np.unique(y)) == {0, 1} and 0.3 < y.mean() < 1
    assert len({tuple(row) for row in y[y.any(axis=1)].tolist()}) == 1  # whole bands, whole frames
