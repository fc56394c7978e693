"""The map page: what stands in it, and that nothing in a corpus can break it or run in it."""

import base64
import io
import json
import re
import shutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
import torch
from helpers import RATE, TINY, tone, write_corpus
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from accentlib.cli import main
from accentlib.config import Config, InputError
from accentlib.corpora.table import read_corpus
from accentlib.embeddings.explain import frame_attention
from accentlib.embeddings.inference import infer
from accentlib.features.log_mel import file_log_mel
from accentlib.files import fingerprint
from accentlib.interactive.map_page import accent_map
from accentlib.network.accent_net import AccentNet
from accentlib.network.checkpoint import load_model, read_checkpoint, save_checkpoint
from accentlib.plots import place_beside
from accentlib.training.loop import Trainer, train


@pytest.fixture
def model(tiny):
    return AccentNet(tiny, ["high", "low", "middle"]).eval()


def content(page) -> dict:
    """What the page's script reads."""
    found = re.search(r'id="map-content">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    return json.loads(found[1])


def decoded(url: str) -> io.BytesIO:
    return io.BytesIO(base64.b64decode(url.split(",", 1)[1]))


def test_every_point_has_its_own_words_audio_and_attention(tmp_path, corpus_dir, model):
    for weights in model.pooling.parameters():
        weights.data *= 50  # or an untrained network attends to all alike, and any column would do
    table = read_corpus(corpus_dir)
    assert accent_map(model, table, tmp_path / "map.html") == {}
    said, answers = content(tmp_path / "map.html"), infer(model, table)
    assert len(said["clips"]) == len(table) and said["calibrated"] is False
    for i in (0, 7, len(table) - 1):
        clip, row = said["clips"][i], table.iloc[i]
        assert (clip["accent"], clip["speaker"], clip["split"]) == (row.accent, row.speaker, row.split)
        assert clip["predicted"] == answers.accents[i]
        assert clip["probability"] == pytest.approx(answers.probabilities[i].max(), abs=1e-3)
        wave, rate = sf.read(decoded(clip["audio"]))
        assert rate == RATE and len(wave) / rate == pytest.approx(clip["seconds"], abs=0.05)
        frames = frame_attention(model, file_log_mel(row.path, model.config))[:, -1]
        np.testing.assert_allclose(np.repeat(clip["attention"], 16)[: len(frames)], frames, atol=0.006)
        for name in ("accent", "speaker", "split"):
            group = said["groups"][name]
            assert group["kinds"][group["of"][i]] == row[name]
        correct = said["groups"]["correct"]
        assert correct["kinds"][correct["of"][i]] == (
            "correct" if clip["predicted"] == row.accent else "wrong"
        )
    for place in said["places"].values():
        assert len(place["x"]) == len(place["y"]) == len(table) and f"n = {len(table)}" in place["caption"]


def test_a_model_of_other_accents_is_neither_correct_nor_wrong(tmp_path, corpus_dir, tiny):
    accent_map(AccentNet(tiny, ["a", "b"]).eval(), read_corpus(corpus_dir), tmp_path / "map.html")
    assert set(content(tmp_path / "map.html")["groups"]) == {"accent", "predicted", "speaker", "split"}


def test_a_network_without_attention_has_a_map(tmp_path, corpus_dir, tiny):
    model = AccentNet(tiny.replace(pooling_method="Statistics"), ["high", "low", "middle"]).eval()
    accent_map(model, read_corpus(corpus_dir).head(5), tmp_path / "map.html")
    assert all("attention" not in clip for clip in content(tmp_path / "map.html")["clips"])


def test_clips_of_one_file_are_points_of_their_own(tmp_path, corpus_dir, model):
    table = read_corpus(corpus_dir).head(6)
    table["path"] = table["path"].iloc[0]
    table["id"] = [f"clip {i}" for i in range(6)]
    assert accent_map(model, table, tmp_path / "map.html") == {}
    said = content(tmp_path / "map.html")
    assert [clip["name"] for clip in said["clips"]] == table["id"].tolist()
    assert [clip["accent"] for clip in said["clips"]] == table["accent"].tolist()
    assert len(said["places"]["PCA"]["x"]) == 6 and len({clip["picture"] for clip in said["clips"]}) == 1


def test_without_bokeh_the_map_says_what_to_install(tmp_path, model, monkeypatch):
    monkeypatch.setitem(sys.modules, "bokeh", None)
    monkeypatch.setattr("accentlib.interactive.map_page.infer", lambda *_: pytest.fail("work was done"))
    with pytest.raises(InputError, match=r"^the map needs Bokeh: pip install 'accentlib\[map\]'$"):
        accent_map(model, pd.DataFrame({"path": ["a.wav"]}), tmp_path / "map.html")
    assert not (tmp_path / "map.html").exists()


@pytest.mark.parametrize("clips", [1, 2, 3])
def test_few_clips_have_a_map_without_tsne(tmp_path, corpus_dir, model, clips):
    accent_map(model, read_corpus(corpus_dir).head(clips), tmp_path / "map.html")
    places = content(tmp_path / "map.html")["places"]
    assert list(places) == ["PCA"] and "t-SNE needs at least four clips" in places["PCA"]["caption"]
    assert np.isfinite(places["PCA"]["x"] + places["PCA"]["y"]).all()


def test_beyond_the_limit_clips_are_linked_relative_to_the_page(tmp_path, model):
    data = write_corpus(tmp_path / "my data #1%", speakers=3, clips=1)
    page = tmp_path / "pages" / "map.html"
    accent_map(model, read_corpus(data), page, megabytes=0)
    assert not any("audio" in clip for clip in content(page)["clips"])
    limit = page.stat().st_size + 20_000
    accent_map(model, read_corpus(data), page, megabytes=limit / 1e6)
    assert limit - 10_000 < page.stat().st_size <= limit
    clips = content(page)["clips"]
    assert "audio" in clips[0] and "audio" not in clips[-1] and "picture" not in clips[-1]
    from urllib.parse import unquote

    linked = [page.parent / unquote(clip["link"]) for clip in clips if "link" in clip]
    assert linked and all(path.resolve().is_file() for path in linked)


def test_names_that_are_html_stay_names(tmp_path, model):
    evil = "</script><script>alert(1)</script><!--"
    data = write_corpus(tmp_path / "data", speakers=3, clips=1)
    table = pd.read_csv(data / "manifest.csv")
    table["accent"] = evil + table["accent"]
    table.to_csv(data / "manifest.csv", index=False)
    accent_map(model, read_corpus(data), tmp_path / "map.html", title=evil, note=evil)
    page = (tmp_path / "map.html").read_text(encoding="utf-8")
    assert evil not in page and "<script>alert" not in page
    assert content(tmp_path / "map.html")["clips"][0]["accent"].startswith(evil)


def test_from_the_command_line_with_clips_that_cannot_be_read(tmp_path, model, capsys):
    data = write_corpus(tmp_path / "data", speakers=3, clips=1)
    (data / "NOTE.txt").write_text("A <remark> on it.")
    (data / "low_2_0.wav").write_bytes(b"no audio")
    save_checkpoint(tmp_path / "c.pt", model)
    command = ["map", "--checkpoint", str(tmp_path / "c.pt"), "--data", str(data), "--output"]
    assert main([*command, str(tmp_path / "map.html")]) == 1
    assert "low_2_0.wav" in capsys.readouterr().err
    assert len(content(tmp_path / "map.html")["clips"]) == 8
    assert "A &lt;remark&gt; on it." in (tmp_path / "map.html").read_text()
    assert main([*command, str(tmp_path / "test.html"), "--split", "test"]) == 0
    assert {clip["split"] for clip in content(tmp_path / "test.html")["clips"]} == {"test"}
    assert main([*command, str(tmp_path / "none.html"), "--split", "tset"]) == 2
    assert "tset" in capsys.readouterr().err and not (tmp_path / "none.html").exists()


def test_a_folder_of_two_people_can_be_looked_at(tmp_path, model, capsys):
    """`map` and `embed --data` said: a speaker-disjoint split needs at least 3 of each accent."""
    data = write_corpus(tmp_path / "c", speakers=2, clips=2, with_split=False)
    save_checkpoint(tmp_path / "m.pt", model)
    use = ["--checkpoint", str(tmp_path / "m.pt"), "--data", str(data)]
    assert main(["map", *use, "--output", str(tmp_path / "m.html")]) == 0
    assert "split" not in content(tmp_path / "m.html")["groups"]
    assert main(["embed", *use, "--output", str(tmp_path / "v.npz")]) == 0
    assert len(np.load(tmp_path / "v.npz")["embeddings"]) == 12
    manifest = pd.read_csv(data / "manifest.csv")
    manifest[manifest["accent"] == "low"].to_csv(data / "manifest.csv", index=False)  # one accent alone
    assert main(["map", *use, "--output", str(tmp_path / "m.html")]) == 0
    capsys.readouterr()
    assert main(["map", *use, "--output", str(tmp_path / "m.html"), "--split", "test"]) == 2
    assert "the corpus has no column split" in capsys.readouterr().err


def test_the_note_says_which_clips_the_network_was_trained_on(tmp_path, corpus_dir, tiny):
    """Of any model the page said "27 clips are from the training split: the network may know them"."""
    table = read_corpus(corpus_dir)
    model, _ = train(table, tiny.replace(max_epochs=1), tmp_path / "run", progress=False)

    def note(model, data) -> str:
        accent_map(model, read_corpus(data), tmp_path / "map.html", note="A note.")
        return re.search(
            r"<footer>(.*) The page holds recordings: pass .*</footer>", (tmp_path / "map.html").read_text()
        )[1]

    moved = shutil.copytree(corpus_dir, tmp_path / "moved")
    trained = (table["split"] == "train").sum()
    for data in (corpus_dir, moved):
        assert (
            note(model, data) == f"A note. The network was trained on {trained} of these {len(table)} clips."
        )
    elsewhere = write_corpus(tmp_path / "others", speakers=3, clips=2)
    for path in elsewhere.glob("*.wav"):
        sf.write(path, tone(77, 0.8, seed=hash(path) % 999), RATE)
    assert note(model, elsewhere) == "A note."
    save_checkpoint(tmp_path / "m.pt", model)
    old = read_checkpoint(tmp_path / "m.pt")
    del old["trained_on"]  # written before this was noted
    torch.save(old, tmp_path / "old.pt")
    assert "does not say which clips it was trained on" in note(load_model(tmp_path / "old.pt"), corpus_dir)
    tuned = Trainer(read_corpus(elsewhere), tiny.replace(max_epochs=1), tmp_path / "tuned", progress=False)
    tuned.start_from(tmp_path / "run" / "best.pt")
    tuned.train()  # it still knows the first corpus
    assert f"trained on {trained} of these" in note(load_model(tmp_path / "tuned" / "best.pt"), corpus_dir)


def test_the_shipped_models_know_their_training_clips(bundled):
    known = load_model("accents_mini").trained_on
    trained = [fingerprint(path) in known for path in bundled["path"]]
    assert trained == (bundled["split"] == "train").tolist()
    assert len(load_model().trained_on) == 336


def test_no_readable_clip_is_an_error(tmp_path, model, corpus_dir):
    table = read_corpus(corpus_dir).head(2).assign(path=[str(tmp_path / "a.wav"), str(tmp_path / "b.wav")])
    with pytest.raises(InputError, match=r"no clip could be read; the first: .*a\.wav"):
        accent_map(model, table, tmp_path / "map.html")
    assert not (tmp_path / "map.html").exists()


def test_features_without_audio_have_points_without_audio(tmp_path, lists):
    config = Config(**(TINY | {"sample_rate": RATE}))
    wave = tone(300)
    for name in "abcde":
        sf.write(tmp_path / f"{name}.wav", wave, RATE)
    (tmp_path / "all.lst").write_text("\n".join(str(tmp_path / name) for name in "abcde"))
    assert main(["features", "-i", str(tmp_path / "all.lst"), "--sample_rate", str(RATE)]) == 0
    (tmp_path / "a.wav").unlink()
    table = pd.DataFrame({"path": [str(tmp_path / f"{name}.pickle") for name in "abcde"]})
    table = table.assign(accent=list("xyxyx"), speaker=list("abcde"))
    accent_map(AccentNet(config, ["x", "y"]).eval(), table, tmp_path / "map.html")
    clips = content(tmp_path / "map.html")["clips"]
    assert "picture" in clips[0] and "audio" not in clips[0] and "audio" in clips[1]


def test_a_new_point_lies_with_its_like():
    rng = np.random.default_rng(0)
    centres = np.eye(3)[rng.integers(0, 3, 60)]
    embeddings = centres + 0.1 * rng.normal(size=(60, 3))
    points = 10 * centres[:, :2] + rng.normal(size=(60, 2))
    here = place_beside(embeddings, points, np.array([[0.9, 0.05, 0.0], [0.0, 0.1, 2.0]]))
    np.testing.assert_allclose(here, [[10, 0], [0, 0]], atol=2)


def test_a_new_point_whose_like_lie_apart_is_not_put_among_strangers():
    near, far = np.array([1.0, 0.0]), np.array([0.0, 1.0])
    embeddings = np.array([near] * 5 + [far] * 3) + 0.01 * np.arange(16).reshape(8, 2)
    strangers = [[36, 1], [36, 2], [37, 1]]  # where the mean of the five would be
    points = np.array([[0, 0], [0, 1], [0, 3], [90, 0], [90, 1], *strangers])
    assert place_beside(embeddings, points, near[None]).tolist() == [[0, 1]]
    assert place_beside(embeddings[:1], points[:1], near[None]).tolist() == [[0, 0]]


KEYS = [[-1, 0], [1, 0], [0, 1], [0, -1]]
LAYOUTS = {
    "anywhere": lambda rng, n: rng.uniform(size=(n, 2)),
    "clusters": lambda rng, n: 9 * rng.integers(0, 3, (n, 2)) + rng.normal(size=(n, 2)),
    "coinciding": lambda rng, n: rng.integers(0, 4, (n, 2)) / 10,
    "all in one place": lambda rng, n: np.ones((n, 2)),
    "across": lambda rng, n: rng.uniform(size=(n, 1)) * [1, 0],
    "upwards": lambda rng, n: rng.uniform(size=(n, 1)) * [0, 1],
    "on a diagonal": lambda rng, n: rng.integers(0, 20, (n, 1)) / 10 * [1, -1],
}


@pytest.mark.skipif(not shutil.which("node"), reason="needs Node.js")
@pytest.mark.parametrize("layout", LAYOUTS)
def test_keys_lead_from_every_shown_point_to_every_other(layout):
    script = (resources.files("accentlib.interactive") / "web" / "map.js").read_text(encoding="utf-8")
    (rule,) = re.findall(r"^  function beside\(.*?^  }$", script, re.DOTALL | re.MULTILINE)
    program = f"""
        let points, shown, clips, chosen;
        {rule}
        console.log(JSON.stringify(JSON.parse(require("fs").readFileSync(0)).map(({{ x, y, booleans }}) => {{
            [points, shown, clips] = [{{ data: {{ x, y }} }}, {{ booleans }}, x];
            return x.map((_, i) => {KEYS}.map(([dx, dy]) => {{ chosen = i; return beside(dx, dy); }}));
        }})));"""
    rng = np.random.default_rng(0)
    maps = []
    for n in [2, 3, 4, 9, 30, 126] * 30:
        x, y = LAYOUTS[layout](rng, n).round(4).T  # so many digits the page has
        booleans = [True, *(rng.uniform(size=n - 1) < 0.9)]
        maps.append({"x": x.tolist(), "y": y.tolist(), "booleans": np.array(booleans).tolist()})
    run = subprocess.run(
        ["node", "-e", program], input=json.dumps(maps), capture_output=True, text=True, check=True
    )
    for made, found in zip(maps, json.loads(run.stdout), strict=True):
        shown = np.flatnonzero(made["booleans"])
        points, found = np.column_stack([made["x"], made["y"]]), np.array(found)[shown]
        assert set(found.flat) <= set(shown), "to a hidden point"
        graph = coo_array((np.ones(found.size), (shown.repeat(4), found.ravel())), shape=[len(points)] * 2)
        part = connected_components(graph, connection="strong")[1][shown]
        lost = points[shown][part != np.bincount(part).argmax()]
        assert not len(lost), (
            f"{len(lost)} of {len(shown)} cannot be reached or left: {points[shown].tolist()}"
        )
        steps = points[found] - points[shown, None]
        along, far = (steps * KEYS).sum(axis=2), np.linalg.norm(steps, axis=2)
        assert (along >= far / 2 - 1e-6).all(), "not in the direction of the key"


@pytest.mark.parametrize(("level", "trim", "same"), [(0.9, 0.0, True), (0.0, 0.0, False), (0.9, 30.0, False)])
def test_opus_goes_into_the_page_as_it_is_if_it_is_small_and_keeps_its_pauses(
    tmp_path, tiny, level, trim, same
):
    wave = np.concatenate([tone(400, 2.0), np.zeros(RATE, np.float32)])
    for name in "abc":
        sf.write(tmp_path / f"{name}.ogg", wave, RATE, subtype="OPUS", compression_level=level)
    table = pd.DataFrame({"path": [str(tmp_path / f"{name}.ogg") for name in "abc"]})
    table = table.assign(accent=list("xyx"), speaker=list("abc"))
    accent_map(AccentNet(tiny.replace(trim_silence=trim), ["x", "y"]).eval(), table, tmp_path / "map.html")
    for clip, path in zip(content(tmp_path / "map.html")["clips"], table["path"], strict=True):
        page = decoded(clip["audio"]).getvalue()
        assert (page == Path(path).read_bytes()) == same
        heard, rate = sf.read(io.BytesIO(page))
        assert len(heard) / rate == pytest.approx(clip["seconds"], abs=0.05)
        assert clip["seconds"] == pytest.approx(2.1 if trim else 3, abs=0.05)
