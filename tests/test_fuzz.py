"""Anything may stand in a file: nothing but the documented error comes of it.

``make fuzz`` gives every reader 10,000 inputs; the tests give it fifty.
"""

import argparse
import io
import os
import pickle
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accentlib.config import Config, InputError
from accentlib.corpora.phones import read_phones
from accentlib.corpora.sources import from_folder, from_table
from accentlib.corpora.table import corpus_note, read_corpus
from accentlib.features.audio import load_audio, native_rate
from accentlib.features.store import read_index
from accentlib.network.accent_net import AccentNet
from accentlib.network.checkpoint import load_model, save_checkpoint
from accentlib.published.lists import label_corpus, read_label_names, read_lines, read_pairs
from accentlib.published.pickles import MARK, read_made, read_made_with, read_pickle, write_features

fuzzed = settings(
    max_examples=int(os.environ.get("FUZZ", "50")),
    deadline=None,
    database=None,
    suppress_health_check=[*HealthCheck],
)


@st.composite
def damaged(draw, good: st.SearchStrategy[bytes]) -> bytes:
    """A good file with some bytes changed, cut out, doubled or put in; or cut off; or any bytes at all."""
    content = bytearray(draw(good))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, max(0, min(len(content), draw(st.sampled_from([64, 512, 10**6]))) - 1)))
        kind = draw(st.sampled_from(["byte", "number", "cut", "insert", "double", "end"]))
        if kind == "byte":
            content[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif kind == "number":
            content[at : at + 4] = draw(
                st.sampled_from([0, 1, 2**30 - 1, 2**31 - 1, 2**31, 2**32 - 1])
            ).to_bytes(4, "little")
        elif kind == "cut":
            del content[at : at + draw(st.integers(1, 200))]
        elif kind == "insert":
            content[at:at] = draw(st.binary(max_size=40))
        elif kind == "double":
            content[at:at] = content[at : at + draw(st.integers(1, 200))]
        else:
            del content[at:]
    return bytes(content) if draw(st.integers(0, 9)) else draw(st.binary(max_size=300))


def refused_or(read, *arguments):
    """What is read, or None where it is refused in one line."""
    try:
        return read(*arguments)
    except InputError as error:
        assert "\n" not in str(error) and len(str(error)) < 2_000
        return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "audio").mkdir()
    wave = 0.3 * np.sin(np.arange(3_000) / 3)
    for name in "abc":
        sf.write(folder / "audio" / f"{name}.wav", wave, 8_000)
        write_features(folder / "audio" / f"{name}.pickle", np.ones((4, 80), np.float32), {"n_mels": 80})
    return folder


def phones_of(kind: str, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    wave = 0.3 * np.sin(np.arange(4_000)[:, None] / [3, 5])
    sf.write(file, wave, 16_000, format=kind, subtype=subtype)
    return file.getvalue()


FORMATS = {"wav": "WAV", "flac": "FLAC", "ogg": "OGG", "mp3": "MP3", "aiff": "AIFF", "au": "AU", "w64": "W64",
           "caf": "CAF"}  # fmt: skip


@fuzzed
@given(data=st.data(), suffix=st.sampled_from([*FORMATS]))
def test_audio(folder, data, suffix):
    good = phones_of(FORMATS[suffix])
    file = folder / f"x.{suffix}"
    file.write_bytes(data.draw(damaged(st.just(good))))
    refused_or(native_rate, file)
    wave = refused_or(load_audio, file, 8_000)
    if wave is not None:
        assert wave.dtype == np.float32 and wave.ndim == 1 and np.isfinite(wave).all()


LINES = b"audio/a 0 -1\naudio/b 1 -1\naudio/c 2 -1\n"
PAIRS = b"audio/a audio/b\naudio/b audio/c\n"
TABLE = (
    b"path,accent,speaker,split\naudio/a.wav,x,p,train\naudio/b.wav,y,q,validation\naudio/c.wav,x,r,test\n"
)
NAMES = b"label,name\n0,x\n1,y\n2,z\n"
PHONES = b"path,start,end,phone,position\naudio/a.wav,0.0,0.1,s,0\naudio/b.wav,0.1,0.25,t,1\n"


@fuzzed
@given(damaged(st.just(LINES)))
def test_lists_and_labels(folder, content):
    file = folder / "l.lst"
    file.write_bytes(content)
    for columns in (1, 3):
        refused_or(lambda: list(read_lines(file, columns)))  # noqa: B023
    refused_or(label_corpus, file, None, folder)


@fuzzed
@given(damaged(st.just(PAIRS)))
def test_pairs(folder, content):
    (folder / "p.ndx").write_bytes(content)
    refused_or(read_pairs, folder / "p.ndx", folder / "p.ndx", folder)


@fuzzed
@given(damaged(st.just(TABLE)))
def test_manifests_and_tables(folder, content):
    (folder / "manifest.csv").write_bytes(content)
    table = refused_or(read_corpus, folder)
    if table is not None:
        assert {"path", "accent", "speaker", "split"} <= set(table) and table["accent"].nunique() > 1
    refused_or(from_table, folder / "manifest.csv")


@fuzzed
@given(damaged(st.just(TABLE.replace(b"path", b"file_name"))))
def test_metadata_of_audio_folders(folder, content):
    (folder / "metadata.csv").write_bytes(content)
    refused_or(from_folder, folder)
    (folder / "metadata.csv").unlink()


@fuzzed
@given(damaged(st.just(NAMES)))
def test_label_names(folder, content):
    (folder / "names.csv").write_bytes(content)
    refused_or(read_label_names, folder / "names.csv")


@fuzzed
@given(damaged(st.just(PHONES)))
def test_phones(folder, content):
    (folder / "phones.csv").write_bytes(content)
    refused_or(read_phones, folder / "phones.csv")


@fuzzed
@given(st.binary(max_size=200))
def test_notes(folder, content):
    (folder / "NOTE.txt").write_bytes(content)
    refused_or(corpus_note, folder)
    (folder / "NOTE.txt").unlink()


@fuzzed
@given(
    damaged(
        st.builds(
            pickle.dumps,
            st.sampled_from(
                [np.ones((80, 3), np.float32), {"features": np.ones((80, 3))}, {"a": [1, "b", None]}]
            ),
            st.integers(0, 5),
        )
    ),
    damaged(st.sampled_from([b"", MARK + b'{"n_mels": 80, "win_length": 0.025}'])),
)
def test_pickles(folder, content, note):
    (folder / "x.pickle").write_bytes(content + note)
    refused_or(read_pickle, folder / "x.pickle")
    log_mels = refused_or(read_made_with, folder / "x.pickle", Config())
    if log_mels is not None:
        assert log_mels.dtype == np.float32 and log_mels.shape[1] == 80 and np.isfinite(log_mels).all()
    refused_or(read_made, folder / "x.pickle")


@cache
def checkpoints() -> list[bytes]:
    """A checkpoint of here, in both of PyTorch's formats, and one of the published trainer's kind."""
    model = AccentNet(
        Config.laptop(channels=8, heads=4, embedding_size=4, n_mels=8, sample_rate=8_000),
        ["a", "b"],
    )
    file = io.BytesIO()
    files = []
    with TemporaryDirectory() as temporary:
        save_checkpoint(Path(temporary) / "x.pt", model)
        files.append((Path(temporary) / "x.pt").read_bytes())
        content = torch.load(Path(temporary) / "x.pt", weights_only=True)
    torch.save(content, file, _use_new_zipfile_serialization=False)
    return [*files, file.getvalue()]


@fuzzed
@given(damaged(st.sampled_from(checkpoints())))
def test_checkpoints(folder, content):
    (folder / "x.pt").write_bytes(content)
    model = refused_or(load_model, folder / "x.pt")
    assert model is None or isinstance(model, AccentNet)


PLAIN = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-2, 2**40), st.floats(), st.text(max_size=5),
              st.builds(torch.ones, st.integers(0, 3))),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)  # fmt: skip


@fuzzed
@given(st.data())
def test_checkpoints_of_other_things(folder, data):
    """Readable, but with something else where a name, a size or a weight should be."""
    content = torch.load(io.BytesIO(checkpoints()[0]), weights_only=True)
    place = content
    while isinstance(place, (dict, list)) and len(place):
        key = data.draw(st.sampled_from([*place] if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[key], (dict, list)) or data.draw(st.booleans()):
            place[key] = data.draw(PLAIN)
            break
        place = place[key]
    torch.save(content, folder / "x.pt")
    refused_or(load_model, folder / "x.pt")


@fuzzed
@given(st.dictionaries(st.sampled_from(["num_accents", "front_end", "kernel_size", "heads_number", "mask_prob"]), PLAIN),
       st.one_of(PLAIN, st.dictionaries(st.sampled_from(["b1.weight", "fc1.bias", "x"]), PLAIN)))  # fmt: skip
def test_published_checkpoints_of_other_things(folder, named, weights):
    torch.save({"settings": argparse.Namespace(**named), "model": weights}, folder / "x.chkpt")
    assert refused_or(load_model, folder / "x.chkpt") is None


@fuzzed
@given(st.dictionaries(st.sampled_from([*Config().to_dict(), "other"]), st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.lists(st.integers(), max_size=3)
), max_size=4))  # fmt: skip
def test_configurations(values):
    config = refused_or(Config.from_dict, values)
    assert config is None or isinstance(config.encoder_size, int)


INDEX = (b'{"features": {"n_mels": 80}}\n["a.wav", 10, 20, 0, 3, ""]\n["b.wav", 10, 20, 3, 4, ""]\n'
         b'["c.wav", 1, 2, 7, 0, "c.wav: empty file"]\n')  # fmt: skip


@fuzzed
@given(damaged(st.just(INDEX)), st.integers(0, 4_000))
def test_the_index_of_a_store(folder, content, size):
    (folder / "clips.jsonl").write_bytes(content)
    (folder / "log_mel.npy").write_bytes(bytes(size))
    clips, good = refused_or(read_index, folder, {"n_mels": 80})
    for _, _, start, frames, _ in clips.values():
        assert 128 + (start + frames) * 4 * 80 <= size  # nothing is promised that is not there
    assert content.decode(errors="ignore").startswith(good) or not good


def test_the_good_files_are_read(folder):
    """Else nothing of the above would get past the first line."""
    (folder / "l.lst").write_bytes(LINES)
    (folder / "manifest.csv").write_bytes(TABLE)
    (folder / "phones.csv").write_bytes(PHONES)
    (folder / "names.csv").write_bytes(NAMES)
    (folder / "p.ndx").write_bytes(PAIRS)
    for content in checkpoints():
        (folder / "x.pt").write_bytes(content)
        assert load_model(folder / "x.pt").labels == ["a", "b"]
    for suffix, kind in FORMATS.items():
        (folder / f"x.{suffix}").write_bytes(phones_of(kind))
        assert 1_900 < len(load_audio(folder / f"x.{suffix}", 8_000)) < 3_000
    assert (
        len(label_corpus(folder / "l.lst", None, folder)[0])
        == len(read_corpus(folder))
        == len(read_label_names(folder / "names.csv"))
    )
    assert (
        len(read_pairs(folder / "p.ndx", folder / "p.ndx", folder)) == 4
        and len(read_phones(folder / "phones.csv")) == 2
    )
    assert isinstance(from_table(folder / "manifest.csv"), pd.DataFrame)
