"""A knob to turn in a notebook: pictures drawn in advance, one for each of its values."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from importlib import resources
from io import BytesIO
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from .recorder import anywidget, traitlets


class Slider(anywidget.AnyWidget):
    """A slider over pictures; where no kernel runs, the picture of ``start`` stands alone.

    Parameters
    ----------
    name : str
        What the values are.
    values : sequence
        One picture each, in this order.
    draw : callable
        Draws the picture of a value, and returns its axes."""

    _esm = (resources.files(__package__) / "web" / "slider.js").read_text(encoding="utf-8")
    name = traitlets.Unicode().tag(sync=True)
    values: Any = traitlets.List().tag(sync=True)
    pictures: Any = traitlets.List().tag(sync=True)  # PNG, base64
    place = traitlets.Int(0).tag(sync=True)

    def __init__(self, name: str, values: Sequence, draw: Callable[..., Axes], *, start: int = 0):
        pictures = []
        for value in values:
            figure, content = draw(value).figure.figure, BytesIO()
            figure.savefig(content, format="png", dpi=80, bbox_inches="tight")
            plt.close(figure)
            pictures.append(b64encode(content.getvalue()).decode())
        super().__init__(name=name, values=[str(x) for x in values], pictures=pictures, place=start)

    def __repr__(self) -> str:
        return f"Slider({self.name!r})"

    def _repr_mimebundle_(self, **kwargs) -> Any:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        return data | {"image/png": self.pictures[self.place]}, metadata
