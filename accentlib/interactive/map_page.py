"""A map of accents as a web page: every point is a clip to play, with the network's attention to it."""

import json
import os
from base64 import b64encode
from functools import partial
from importlib import resources, util
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
import soundfile as sf
from jinja2 import Template
from matplotlib import colors, image

from ..config import Config, InputError
from ..embeddings.explain import relative_attention
from ..embeddings.inference import infer, log_mel_attention
from ..features.audio import load_audio
from ..features.log_mel import cut_pauses
from ..features.parallel import on_all_cores
from ..features.store import FeatureStore, audio_beside, clip_ids, prepare
from ..files import file_and_segment, replacing
from ..network.accent_net import AccentNet, Calibration
from ..network.checkpoint import known_clips
from ..network.pooling import Weights
from ..plots import palette, project_pca, project_tsne

AUDIO_RATE = 16_000  # Hz
LARGEST = 4_000  # bytes a second of Opus that goes in as it is
COLOURED_BY = ("accent", "predicted", "speaker", "split", "correct")


def accent_map(model: AccentNet, table: pd.DataFrame, output: str | Path, *, title: str = "A map of accents",
               note: str = "", megabytes: float = 40.0, seed: int = 0) -> dict[str, str]:  # fmt: skip
    """Write a map of clips as one HTML file, which needs no network, with ``note`` below the map.

    ``table`` has the columns ``path``, ``accent``, ``speaker`` and, if there are any, ``split`` and ``id``.
    ``megabytes`` limits the page; further clips are played from their files, by a path relative to the page.
    Returns what is wrong with each unreadable clip, by id (the path if the table has no ids). Raises
    InputError if Bokeh is missing or no clip could be read."""
    if not util.find_spec("bokeh"):
        raise InputError("the map needs Bokeh: pip install 'accentlib[map]'")
    output = Path(output)
    with TemporaryDirectory(ignore_cleanup_errors=True) as features:  # Windows deletes no mapped file
        table = table.assign(id=[str(clip) for clip in clip_ids(table)])
        _, store = prepare(table, model.config, features)
        rows = store.keep(table)
        answers = infer(model, rows, store=store)
        rows["predicted"] = answers.accents
        rows["probability"] = answers.probabilities.max(axis=1).astype(float).round(3)
        weights = log_mel_attention(model, [store[clip] for clip in rows["id"]])
        seen = list(zip(rows.to_dict("records"), weights, strict=True))
        look = partial(look_at, model.config, output.absolute().parent, store)
        looks = list(on_all_cores(look, seen, progress="map"))
    if set(rows["accent"]) <= set(model.labels):
        rows["correct"] = np.where(rows["predicted"] == rows["accent"], "correct", "wrong")
    known = known_clips(model, rows["path"])
    if known is None:
        note += " This model does not say which clips it was trained on: these may be among them."
    elif known:
        note += f" The network was trained on {known} of these {len(rows)} clips."
    content = {
        "places": places(answers.embeddings, seed), "clips": [clip for clip, _ in looks],
        "groups": {name: groups(rows[name]) for name in COLOURED_BY if name in rows},
        "calibrated": model.calibration != Calibration(),
    }  # fmt: skip
    room = megabytes * 1e6 - len(page(content, title, note.strip()).encode())
    for clip, media in looks:
        room -= len(as_script(media))
        if room < 0:
            break
        clip.pop("link", None)
        clip |= media
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as temporary:
        temporary.write_text(page(content, title, note.strip()), encoding="utf-8")
    return store.problems


def places(embeddings: np.ndarray, seed: int) -> dict[str, dict[str, Any]]:
    """Coordinates x and y of the points by projection, and its caption, without which they mean nothing."""
    found = {"t-SNE": project_tsne(embeddings, seed=seed)} if len(embeddings) >= 4 else {}
    points, caption = project_pca(embeddings)
    found["PCA"] = points, caption if found else f"{caption}; t-SNE needs at least four clips"
    tables = {name: pd.DataFrame(points.round(4), columns=["x", "y"]) for name, (points, _) in found.items()}
    return {name: table.to_dict("list") | {"caption": found[name][1]} for name, table in tables.items()}


def groups(names: pd.Series) -> dict[str, Any]:
    """Kinds of points in one colouring, with their colours, and the kind of each point."""
    numbers, kinds = pd.factorize(names.map(str), sort=True)
    colours = [colors.to_hex(colour) for colour in palette(list(kinds)).values()]
    return {"kinds": list(kinds), "colours": colours, "of": numbers.tolist()}


def look_at(config: Config, folder: Path, store: FeatureStore,
            seen: tuple[dict[str, Any], Weights]) -> tuple[dict[str, Any], dict[str, str]]:  # fmt: skip
    """Text, attention (mean 1) and link from ``folder`` of a clip; its spectrogram and audio as data URLs."""
    row, weights = seen
    log_mels, audio = store[row["id"]], audio_beside(row["path"])
    clip: dict[str, Any] = {"name": "/".join(Path(row["id"]).parts[-2:]), "probability": row["probability"]}
    clip |= {name: str(row[name]) for name in ("accent", "speaker", "split", "predicted") if name in row}
    clip["seconds"] = round(len(log_mels) * config.hop_seconds, 2)
    if weights.frames is not None:
        clip["attention"] = relative_attention(weights)[:, -1].round(2).tolist()
    webp = BytesIO()
    image.imsave(webp, log_mels.T, origin="lower", cmap="magma", format="webp", pil_kwargs={"quality": 40})
    media = {"picture": f"data:image/webp;base64,{b64encode(webp.getvalue()).decode()}"}
    if audio:
        file, segment = file_and_segment(audio)
        clip["link"] = quote(Path(os.path.relpath(file, folder)).as_posix())
        clip["link"] += "#t={},{}".format(*segment) if segment else ""  # browsers play just that
        sound = as_opus(audio, clip["seconds"], config.trim_silence)
        media["audio"] = f"data:audio/ogg;base64,{b64encode(sound).decode()}"
    return clip, media


def as_opus(audio: str, seconds: float, trim_silence: float) -> bytes:
    """A recording as Ogg Opus without its pauses: as it is, if it is that already and small."""
    name, segment = file_and_segment(audio)
    content = b"" if segment or trim_silence else Path(name).read_bytes()
    if b"OpusHead" in content[:64] and len(content) <= LARGEST * seconds:
        return content
    wave = load_audio(audio, AUDIO_RATE)
    if trim_silence:  # so that attention and audio go together
        wave = cut_pauses(wave, AUDIO_RATE, trim_silence)
    with TemporaryDirectory() as temporary:  # in soundfile's callbacks Ctrl-C and samples would be lost
        file = Path(temporary, "clip.ogg")
        sf.write(file, wave, AUDIO_RATE, subtype="OPUS", compression_level=0.98)  # 13 kbit/s
        return file.read_bytes()


def page(content: dict[str, Any], title: str, note: str) -> str:
    """HTML of the page: Bokeh draws the points, ``web/map.js`` does the rest."""
    from bokeh.embed import json_item
    from bokeh.resources import Resources

    web = resources.files(__package__) / "web"
    html, css, js = ((web / f"map.{kind}").read_text(encoding="utf-8") for kind in ("html", "css", "js"))
    parts = {"plot": as_script(json_item(plot())), "content": as_script(content), "css": css, "js": js}
    bokeh = Resources(mode="inline", components=["bokeh"]).render_js()
    return Template(html, autoescape=True).render(title=title, note=note, bokeh=bokeh, **parts)


def as_script(content: Any) -> str:
    """JSON for a script element, safe for any names in it."""
    return json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")


def plot():
    """Bokeh's figure without its points, with tools to hover over them, tap, pan and zoom."""
    from bokeh import models, plotting

    columns = {name: [] for name in ("x", "y", "colour", "marker", "name", "words", "answer")}
    hover = models.HoverTool(tooltips=[("clip", "@name"), ("", "@words"), ("predicted", "@answer")], limit=3)
    drawn = plotting.figure(
        tools=[hover, models.TapTool(mode="replace"), "pan", "wheel_zoom", "reset"], x_axis_type=None,
        y_axis_type=None, active_scroll="wheel_zoom", toolbar_location="above", output_backend="canvas",
        sizing_mode="stretch_both", min_height=320, outline_line_color="#cccccc",
    )  # fmt: skip
    drawn.scatter(
        "x", "y", source=models.ColumnDataSource(columns, name="points"), marker="marker", size=9,
        view=models.CDSView(filter=models.BooleanFilter(name="shown")), fill_color="colour", fill_alpha=0.85,
        line_color="white", line_width=0.4, nonselection_fill_alpha=0.85, selection_fill_alpha=1,
        selection_line_color="black", selection_line_width=2.5,
    )  # fmt: skip
    drawn.toolbar.logo = None
    return drawn
