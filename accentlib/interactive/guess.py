"""Clips to guess at in a notebook: a player and a row of buttons for each."""

from base64 import b64encode
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from .recorder import anywidget, traitlets


class Guess(anywidget.AnyWidget):
    """Players of audio files, unnamed, with a button for each of ``choices``; ``answers`` are the guesses."""

    _esm = (resources.files(__package__) / "web" / "guess.js").read_text(encoding="utf-8")
    clips, choices, answers = (traitlets.List(traitlets.Unicode()).tag(sync=True) for _ in range(3))

    def __init__(self, paths: Sequence[str | Path], choices: Sequence[str]):
        clips = [b64encode(Path(path).read_bytes()).decode() for path in paths]
        super().__init__(clips=clips, choices=list(choices), answers=[""] * len(clips))

    def __repr__(self) -> str:
        return f"Guess({sum(map(bool, self.answers))} of {len(self.clips)} guessed)"
