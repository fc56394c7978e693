"""A map of accents as a web page: every point a clip that can be heard, with what the network attended to."""

import base64
import io
import json
import os
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex

from ..config import InputError
from ..embeddings.explain import frame_attention
from ..embeddings.inference import infer
from ..features.audio import load_audio
from ..features.log_mel import cut_pauses
from ..features.parallel import on_all_cores
from ..features.store import audio_beside, log_mels_of_files
from ..files import replacing
from ..network.accent_net import AccentNet
from ..network.checkpoint import known_clips
from ..plots import palette, project_pca, project_tsne

SOUND_RATE = 16_000  # Hz
MARKERS = (
    "circle",
    "square",
    "diamond",
    "triangle",
    "star",
    "inverted_triangle",
    "plus",
    "hex",
    "asterisk",
    "x",
)
COLOURED_BY = ("accent", "heard as", "speaker", "split", "right or wrong")


def accent_map(
    model: AccentNet,
    table: pd.DataFrame,
    output: str | Path,
    *,
    title: str = "A map of accents",
    note: str = "",
    megabytes: float = 25.0,
    seed: int = 0,
) -> dict[str, str]:
    """Write one HTML file that asks nothing of the network: points to hover over, hear and look into.

    Parameters
    ----------
    model : AccentNet
        As :func:`accentlib.load_model` gives it.
    table : pandas.DataFrame
        The clips: columns ``path``, ``accent`` and ``speaker``; ``split`` if there is one.
    output : path
        The page.
    title, note : str
        What stands above the map, and a remark on the corpus below it.
    megabytes : float
        So large may the page become. Clips for whose sound and spectrogram there is no room are played from their
        files, by a path relative to the page.
    seed : int
        Of t-SNE.

    Returns
    -------
    dict
        What is wrong with each clip that could not be read, by path; these have no point.

    Raises InputError if no clip could be read.
    """
    output = Path(output)
    answers = infer(model, table)
    if not answers.ids:
        raise InputError(f"no clip could be read: {next(iter(answers.problems.values()), 'there is none')}")
    rows = table.drop_duplicates("path").set_index("path").loc[answers.ids].reset_index()
    rows["heard as"], rows["probability"] = (
        answers.accents,
        answers.probabilities.max(axis=1).astype(float),
    )
    if set(rows["accent"]) <= set(model.labels):
        rows["right or wrong"] = np.where(rows["heard as"] == rows["accent"], "right", "wrong")
    note = f"{note} {training_note(model, list(rows['path']))}".strip()
    content = {
        "places": places(answers.embeddings, seed),
        "groups": {name: groups(rows[name].astype(str)) for name in COLOURED_BY if name in rows},
        "clips": [],
    }
    room = megabytes * 1e6 - len(page(content, title, note).encode())
    content["clips"] = clips(model, rows, output, room)
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as temporary:
        temporary.write_text(page(content, title, note), encoding="utf-8")
    return answers.problems


def training_note(model: AccentNet, paths: list[str]) -> str:
    """What should be known of the clips that the model was trained on; nothing if there are none among these."""
    known = known_clips(model, paths)
    if known is None:
        return "This model does not say which clips it was trained on: these may be among them."
    return f"The network was trained on {known} of these {len(paths)} clips." if known else ""


def places(embeddings: np.ndarray, seed: int) -> dict[str, dict[str, Any]]:
    """Where the points lie, by projection: x, y, and the caption without which they mean nothing."""
    found = {}
    if len(embeddings) >= 4:
        found["t-SNE"] = project_tsne(embeddings, seed=seed)
    points, caption = project_pca(embeddings)
    found["PCA"] = points, caption if found else f"{caption}; t-SNE needs at least four clips"
    return {
        name: {"x": points[:, 0].round(4).tolist(), "y": points[:, 1].round(4).tolist(), "caption": caption}
        for name, (points, caption) in found.items()
    }


def groups(names: pd.Series) -> dict[str, Any]:
    """The kinds of points under one heading, with a colour and a shape each, and the kind of each point."""
    kinds = sorted(set(names))
    colours = palette(kinds)
    return {
        "kinds": kinds,
        "colours": [to_hex(colours[kind]) for kind in kinds],
        "markers": [MARKERS[i % len(MARKERS)] for i in range(len(kinds))],
        "of": [kinds.index(name) for name in names],
    }


def clips(model: AccentNet, rows: pd.DataFrame, output: Path, room: float) -> list[dict[str, Any]]:
    """What is known of each point: its words, the attention, and, while there is room, its spectrogram and sound."""
    heard = on_all_cores(partial(look_into, model), list(rows["path"]), progress="map", many=100)
    found, heavy = [], []
    for row, look in zip(rows.to_dict("records"), heard, strict=True):
        clip = {name: str(row[name]) for name in ("accent", "speaker", "split", "heard as") if name in row}
        clip |= {"file": "/".join(Path(row["path"]).parts[-2:]), "probability": round(row["probability"], 3)}
        heavy.append({name: look.pop(name) for name in ("picture", "sound") if name in look})
        if audio := audio_beside(row["path"]):
            look["link"] = quote(Path(os.path.relpath(audio, output.absolute().parent)).as_posix())
        found.append(clip | look)
    room -= len(as_script(found).encode())
    for clip, look in zip(found, heavy, strict=True):
        room -= len(as_script(look))
        if room < 0:
            break
        clip.pop("link", None)
        clip |= look
    return found


def look_into(model: AccentNet, path: str) -> dict[str, Any]:
    """A clip's seconds, spectrogram, attention a step of the encoder (1: as all), and sound, if it has these."""
    (log_mels,) = log_mels_of_files([path], model.config)
    look = {"seconds": round(len(log_mels) * model.config.hop_seconds, 2), "picture": spectrogram(log_mels)}
    if model.config.pooling_method != "Statistics":
        steps = frame_attention(model, log_mels)[:: model.config.frames_a_step, -1]
        look["attention"] = steps.round(2).tolist()
    if audio := audio_beside(path):
        wave = load_audio(audio, SOUND_RATE)
        if model.config.trim_silence:  # what the network is given, so that attention and sound go together
            wave = cut_pauses(wave, SOUND_RATE, model.config.trim_silence)
        look["sound"] = opus(wave)
    return look


def opus(wave: np.ndarray) -> str:
    """A wave ``(samples,)`` of 16 kHz as a data URL: Opus at about 13 kbit/s."""
    import soundfile as sf

    file = io.BytesIO()
    sf.write(file, wave, SOUND_RATE, format="OGG", subtype="OPUS", compression_level=0.98)
    return f"data:audio/ogg;base64,{base64.b64encode(file.getvalue()).decode()}"


def spectrogram(log_mels: np.ndarray) -> str:
    """Log-mels ``(frames, mels)`` as a data URL: a picture with a pixel a band and frame."""
    file = io.BytesIO()
    plt.imsave(file, log_mels.T, origin="lower", cmap="magma", format="webp", pil_kwargs={"quality": 40})
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def page(content: dict[str, Any], title: str, note: str) -> str:
    """The page: Bokeh draws the points, ``web/map.js`` does the rest."""
    from bokeh.embed import json_item
    from bokeh.resources import Resources
    from jinja2 import Template

    web = resources.files(__package__) / "web"
    first = next(iter(content["places"].values()))
    parts = {
        "plot": as_script(json_item(plot(first["x"], first["y"]))),
        "content": as_script(content),
        "bokeh": Resources(mode="inline", components=["bokeh"]).render_js(),
        "css": (web / "map.css").read_text(encoding="utf-8"),
        "js": (web / "map.js").read_text(encoding="utf-8"),
    }
    template = Template((web / "map.html").read_text(encoding="utf-8"), autoescape=True)
    return template.render(title=title, note=note, **parts)


def as_script(content: Any) -> str:
    """JSON that can stand in a script element, whatever the names in it."""
    return json.dumps(content, ensure_ascii=False).replace("<", "\\u003c")


def plot(x: list[float], y: list[float]):
    """Bokeh's part: points that can be hovered over, tapped, moved and magnified."""
    from bokeh.models import (
        BooleanFilter,
        CDSView,
        ColumnDataSource,
        HoverTool,
        PanTool,
        ResetTool,
        TapTool,
        WheelZoomTool,
    )
    from bokeh.plotting import figure

    n = len(x)
    source = ColumnDataSource(
        {"x": x, "y": y, "colour": ["#888888"] * n, "marker": ["circle"] * n}
        | {name: [""] * n for name in ("file", "words", "answer")},
        name="points",
    )
    drawn = figure(
        sizing_mode="stretch_both", min_height=320, toolbar_location="above", tools="", output_backend="canvas",
        x_axis_type=None, y_axis_type=None, outline_line_color="#cccccc",
    )  # fmt: skip
    drawn.scatter(
        "x", "y", source=source, view=CDSView(filter=BooleanFilter(name="shown")), size=9, marker="marker",
        fill_color="colour", line_color="white", line_width=0.4, fill_alpha=0.85, nonselection_fill_alpha=0.85,
        selection_fill_alpha=1, selection_line_color="black", selection_line_width=2.5,
    )  # fmt: skip
    hover = HoverTool(tooltips=[("file", "@file"), ("", "@words"), ("heard as", "@answer")], limit=3)
    wheel = WheelZoomTool()
    drawn.add_tools(hover, TapTool(mode="replace"), PanTool(), wheel, ResetTool())
    drawn.toolbar.active_scroll = wheel
    drawn.toolbar.logo = None
    return drawn
