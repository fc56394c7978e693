"""What stands in a page that answers, without a browser (tests/browser computes with it)."""

import base64
import json
import re
from pathlib import Path

import numpy as np
import pytest
from helpers import RATE, write_corpus

from accentlib.cli import main
from accentlib.config import InputError
from accentlib.corpora.table import read_corpus
from accentlib.interactive.answer_page import answer_page, archive_voices, corpus_voices
from accentlib.network.accent_net import AccentNet
from accentlib.network.checkpoint import load_model, save_checkpoint


def content_of(page):
    text = page.read_text("utf-8")
    return json.loads(
        re.search(r'<script type="application/json" id="content">(.*?)</script>', text, re.S)[1]
    )


def decoded(stored):
    values = np.frombuffer(base64.b64decode(stored["base64"]), "<f2" if stored["half"] else "<f4")
    return values.reshape(stored["shape"])


def test_the_shipped_page_holds_the_whole_model_and_its_map_and_no_address(tmp_path, capsys):
    assert main(["page", "--output", str(tmp_path / "page.html")]) == 0
    page, model = tmp_path / "page.html", load_model()
    text = page.read_text("utf-8")
    assert page.stat().st_size < 3e6 and "default-src 'none'" in text
    assert re.findall(r'(?:src|href|action)="', text) == []  # no request
    assert (
        "paragraph that it was trained on" in text and "CC BY-NC-SA" in text and "holds no recordings" in text
    )
    content = content_of(page)
    assert len(content["networks"]) == 3 and content["labels"] == model.labels and content["ipa"][0] != ""
    for net, stored in zip(model.networks, content["networks"], strict=True):
        assert stored.keys() == net.state_dict().keys()
        for name, weight in net.state_dict().items():
            np.testing.assert_array_equal(
                decoded(stored[name]), weight.numpy()
            )  # it is stored with 16 bits anyway
    np.testing.assert_array_equal(
        decoded(content["familiar"]["components"]), model.familiar.components.numpy()
    )
    assert (
        len(content["voices"]["x"]) == len(content["voices"]["names"]) == len(archive_voices().names) == 385
    )
    assert content["voices"]["sounds"] is None and "one speaker" in content["voices"]["caption"]
    assert "recordings" not in capsys.readouterr().err


def test_a_corpus_lends_its_voices_and_its_recordings_only_if_asked(tmp_path, tiny, capsys):
    data = write_corpus(tmp_path / "corpus")
    model = AccentNet(tiny.replace(sample_rate=RATE), ["high", "</script>", "middle"]).eval()
    save_checkpoint(tmp_path / "model.pt", model)
    command = ["page", "--checkpoint", str(tmp_path / "model.pt"), "--output", str(tmp_path / "page.html")]
    assert main([*command, "--data", str(data)]) == 0
    assert content_of(tmp_path / "page.html")["voices"]["sounds"] is None
    assert main([*command, "--data", str(data), "--recordings"]) == 0
    assert "pass it on only if" in capsys.readouterr().err
    content, text = content_of(tmp_path / "page.html"), (tmp_path / "page.html").read_text("utf-8")
    assert content["labels"][1] == "</script>" and "holds the recordings" in text and "must tell you" in text
    table = read_corpus(data, split=False)
    assert len(content["voices"]["sounds"]) == len(table)
    assert base64.b64decode(content["voices"]["sounds"][0].partition(",")[2]).startswith(b"OggS")
    assert main(command) == 0 and content_of(tmp_path / "page.html")["voices"] is None
    assert "unsure" not in text.split("<script")[0]  # it is not calibrated
    assert main(["page", "--checkpoint", "accents_mini", "--output", str(tmp_path / "mini.html")]) == 0
    assert "trained on synthetic voices" in (tmp_path / "mini.html").read_text("utf-8")
    assert main([*command, "--recordings"]) == 2
    assert "give --data" in capsys.readouterr().err


def test_unreadable_clips_are_named(tmp_path, tiny):
    data = write_corpus(tmp_path / "corpus")
    table = read_corpus(data, split=False)
    broken = table["path"].iloc[0]
    Path(broken).write_bytes(b"no audio")
    voices, problems = corpus_voices(AccentNet(tiny.replace(sample_rate=RATE), ["a", "b"]).eval(), table)
    assert list(problems) == [broken] and len(voices.names) == len(table) - 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"front_end": "ResNet34", "channels": 32, "step_frames": 0}, "VGG"),
        ({"n_fft": 500}, "power of two"),
        ({"sample_rate": 0}, "sample_rate"),
    ],
)
def test_a_network_that_it_cannot_compute_is_refused(tmp_path, tiny, changes, message):
    model = AccentNet(tiny.replace(**{"sample_rate": RATE} | changes), ["a", "b"])
    with pytest.raises(InputError, match=message):
        answer_page(model, tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
