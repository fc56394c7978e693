"""A page that answers: a network as one HTML file, which computes in the browser and asks nobody."""

from base64 import b64encode
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jinja2 import Template
from torch import Tensor

from ..config import InputError
from ..corpora.phones import ipa
from ..embeddings.inference import infer
from ..features.store import audio_beside, clip_ids, prepare
from ..files import replacing
from ..network.accent_net import AccentNet
from ..network.checkpoint import MODELS
from ..plots import project_pca, project_tsne
from .map_page import as_opus, as_script, groups

FIELDS = ("sample_rate", "n_fft", "window_seconds", "hop_seconds", "n_mels", "preemphasis", "trim_silence",
          "normalization", "evaluation_window", "frames_a_step", "pooling_method", "heads",
          "scale")  # fmt: skip


class Voices(NamedTuple):
    """Points of the page's map."""

    embeddings: np.ndarray  # (points, embedding)
    accents: list[str]
    names: list[str]
    sounds: list[str] | None = None  # data URLs
    point: str = "clip"


def archive_voices() -> Voices:
    """The speakers of the shipped model, without their recordings, which may not be handed on."""
    with np.load(MODELS / "real_speech_voices.npz") as known:
        accents, names = (known[name].tolist() for name in ("accents", "speakers"))
        return Voices(known["embeddings"].astype(np.float32), accents, names, point="speaker")


def corpus_voices(model: AccentNet, table: pd.DataFrame, *, recordings: bool = False) -> tuple[Voices, dict]:
    """The clips of a corpus, perhaps with their ``recordings``, and what is wrong with unreadable ones."""
    table, sounds = table.assign(id=[str(clip) for clip in clip_ids(table)]), None
    with TemporaryDirectory(ignore_cleanup_errors=True) as features:  # Windows deletes no mapped file
        _, store = prepare(table, model.config, features)
        rows = store.keep(table)
        embeddings = infer(model, rows, store=store).embeddings
        if recordings:
            hop, trim = model.config.hop_seconds, model.config.trim_silence
            audio = [(audio_beside(row.path), hop * len(store[row.id])) for row in rows.itertuples()]
            opus = [as_opus(path, seconds, trim) if path else b"" for path, seconds in audio]
            sounds = [f"data:audio/ogg;base64,{b64encode(sound).decode()}" for sound in opus]
    names = ["/".join(Path(name).parts[-2:]) for name in rows["id"]]
    return Voices(embeddings, rows["accent"].tolist(), names, sounds), store.problems


def answer_page(model: AccentNet, output: str | Path, voices: Voices | None = None, *, shipped: bool = False,
                note: str = "", half: bool = True, seed: int = 0) -> None:  # fmt: skip
    """Write a page that holds ``model`` and says which accent a voice resembles.

    Parameters
    ----------
    voices : Voices, optional
        Points of the map beside which a new voice is put.
    shipped : bool
        It is the model of the package, whose limits, licence and credit the page then states.
    note : str
        What else to know before the first answer, say that the voices are synthetic.
    half : bool
        Store weights with 16 bits.

    Raises InputError for a network that the page cannot compute."""
    config = model.config
    if config.front_end == "ResNet34":
        raise InputError("a page can hold networks with a VGG front end, not ResNet34")
    if not config.sample_rate or config.n_fft & (config.n_fft - 1):
        raise InputError(
            f"a page needs a sample_rate, and an n_fft that is a power of two (it is {config.n_fft})"
        )
    networks = [net.state_dict() for net in getattr(model, "networks", [model])]
    content: dict[str, Any] = {
        "config": {name: getattr(config, name) for name in FIELDS}, "labels": model.labels,
        "phones": model.phones, "ipa": ipa(model.phones), "calibration": vars(model.calibration),
        "networks": [{name: tensor(x, half=half) for name, x in net.items()} for net in networks],
        "familiar": model.familiar and {name: tensor(x) for name, x in model.familiar._asdict().items()},
        "voices": voices and map_of(voices, seed),
    }  # fmt: skip
    web, parts = resources.files(__package__) / "web", "page.html page.css page.js network.js recorder.js"
    html, css, js, network, recorder = ((web / x).read_text(encoding="utf-8") for x in parts.split())
    recorder = recorder.replace("export default { render };", "")  # here it is no module
    answers = [
        *['"unsure"'] * (model.calibration.unsure_below > 0),
        *['"unlike anything I know"'] * bool(model.familiar),
    ]
    names = [label.capitalize() for label in model.labels]
    texts = {"labels": names, "answers": answers, "shipped": shipped, "voices": voices, "note": note}
    scripts = {"content": as_script(content), "css": css, "js": js, "network": network, "recorder": recorder}
    output = Path(output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as temporary:
        temporary.write_text(Template(html, autoescape=True).render(**texts, **scripts), encoding="utf-8")


def tensor(x: Tensor | np.ndarray, *, half: bool = False) -> dict[str, Any]:
    """A tensor for the page; with 16 bits only if it is no vector, as variances may exceed their range."""
    values = np.asarray(x.cpu() if isinstance(x, Tensor) else x, np.float32)
    half = half and values.ndim > 1
    stored = values.astype("<f2" if half else "<f4").tobytes()
    return {"shape": values.shape, "half": half, "base64": b64encode(stored).decode()}


def map_of(voices: Voices, seed: int) -> dict[str, Any]:
    """Places, colours and embeddings of the map's points."""
    embeddings = voices.embeddings
    points, caption = project_tsne(embeddings, seed=seed) if len(embeddings) >= 4 else project_pca(embeddings)
    places = dict(zip("xy", points.round(2).T.tolist(), strict=True))
    caption = caption.replace("one clip", f"one {voices.point}")
    known = {"caption": caption, "names": voices.names, "sounds": voices.sounds}
    return places | known | groups(pd.Series(voices.accents)) | {"embeddings": tensor(embeddings, half=True)}
