"""The feature store by clip id, and with the options of an earlier version; results of threads."""

import functools
import json
import threading
import time

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from helpers import RATE, tone

from accentlib.features import store as store_module
from accentlib.features.log_mel import file_log_mel
from accentlib.features.parallel import on_all_cores
from accentlib.features.store import open_store


@pytest.fixture
def table(tmp_path) -> pd.DataFrame:
    """Three clips of three files, one of them missing; two ids share a file."""
    for name in "xy":
        sf.write(tmp_path / f"{name}.wav", tone(300 if name == "x" else 600), RATE)
    paths = [str(tmp_path / f"{name}.wav") for name in ("x", "x", "y", "none")]
    return pd.DataFrame({"id": ["a", "b", "c", "d"], "path": paths})


def test_clips_are_stored_by_id_and_two_ids_may_share_a_file(tmp_path, table, tiny):
    store = open_store(table, tmp_path / "f", tiny)
    for clip, path in zip(table["id"][:3], table["path"], strict=False):
        np.testing.assert_array_equal(store[clip], file_log_mel(path, tiny))
    assert list(store.problems) == ["d"] and "none.wav: no such file" in store.problems["d"]
    assert table["path"][0] not in store and list(store.keep(table)["id"]) == ["a", "b", "c"]
    lines = [json.loads(line) for line in (tmp_path / "f" / "clips.jsonl").read_text().splitlines()[1:]]
    assert [line[0] for line in lines] == list(table["id"]) and lines[0][1:3] == lines[1][1:3]


def test_a_store_with_earlier_option_names_is_accepted(tmp_path, table, tiny, monkeypatch):
    whole = open_store(table, tmp_path / "f", tiny)["c"].copy()
    index = tmp_path / "f" / "clips.jsonl"
    old = index.read_text().replace("window_seconds", "win_length").replace("hop_seconds", "hop_length")
    index.write_text(old)
    monkeypatch.setattr(store_module, "file_log_mel", None)  # nothing is computed
    np.testing.assert_array_equal(open_store(table, tmp_path / "f", tiny)["c"], whole)
    monkeypatch.undo()
    more = pd.concat([table, pd.DataFrame({"id": ["e"], "path": [table["path"][0]]})])
    np.testing.assert_array_equal(open_store(more, tmp_path / "f", tiny)["c"], whole)
    assert index.read_text().startswith(old)
    changed = open_store(table, tmp_path / "f", tiny.replace(hop_seconds=0.02))
    assert abs(2 * len(changed["c"]) - len(whole)) <= 1


def touch(folder, item):
    (folder / str(item)).touch()
    return item


def test_results_of_threads_do_not_pile_up(tmp_path, monkeypatch):
    monkeypatch.setattr("accentlib.features.parallel.joblib.cpu_count", lambda: 2)
    results = on_all_cores(functools.partial(touch, tmp_path), range(1000))
    assert next(results) == 0
    time.sleep(0.5)  # a slow disk
    assert len(list(tmp_path.iterdir())) <= 2 * 2 + 1
    assert list(results) == list(range(1, 1000))


def test_what_is_stopped_midway_leaves_no_thread(tmp_path):
    before = threading.active_count()
    results = on_all_cores(functools.partial(touch, tmp_path), range(1000))
    assert next(results) == 0 and threading.active_count() > before
    results.close()
    assert threading.active_count() == before and len(list(tmp_path.iterdir())) < 100


def test_an_error_of_one_file_is_raised_and_leaves_no_thread(tmp_path):
    before = threading.active_count()
    with pytest.raises(FileNotFoundError):
        list(on_all_cores(functools.partial(touch, tmp_path / "none"), range(100)))
    assert threading.active_count() == before


def test_threads_compute_what_one_thread_does(bundled, tiny):
    paths = bundled["path"][::40]
    alone = [file_log_mel(path, tiny) for path in paths]
    together = on_all_cores(lambda path: file_log_mel(path, tiny), list(paths))
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one, other)
