"""Drawings of the network: a strip to find your way by, and every stage to scale."""

from collections.abc import Collection

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle

from .plots import COLOURS

STRIP = {"recording": "samples", "log-mel": "frames × mels", "VGG": "a vector a step",
         "pooling": "one vector", "embedding": "to compare", "accents": "cosines"}  # fmt: skip
TINTS = {stage: COLOURS[i] for stage, i in zip(STRIP, (7, 0, 2, 1, 4, 5), strict=True)}


def plot_strip(lit: Collection[str] = tuple(STRIP), *, ax: Axes | None = None) -> Axes:
    """The stages from a recording to accents, as a row of boxes; those that are ``lit`` are in colour."""
    ax = ax or plt.subplots(figsize=(9, 0.75))[1]
    for i, (stage, under) in enumerate(STRIP.items()):
        fill, edge = ((*TINTS[stage], 0.35), "0.15") if stage in lit else ("0.95", "0.6")
        ax.add_patch(FancyBboxPatch((i + 0.09, 0.1), 0.76, 0.8, boxstyle="round,pad=0.02", fc=fill, ec=edge))
        for y, text, font in ((0.62, stage, {"size": 10, "weight": "bold"}), (0.32, under, {"size": 7.5})):
            ax.text(i + 0.47, y, text, ha="center", va="center", color=edge, **font)
        if i:
            ax.annotate(
                "", (i + 0.07, 0.5), (i - 0.13, 0.5), arrowprops={"arrowstyle": "->", "color": "0.15"}
            )
    ax.set(xlim=(0, 6), ylim=(0, 1))
    ax.axis("off")
    return ax


def plot_stages(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """The network of :func:`accentlib.stages`: the width of a block is the root of its steps, its height that
    of its mel bands or values, the layers behind it that of its channels or heads. Below it are its shape,
    its weights, and how much speech a step of it sees."""
    ax = ax or plt.subplots(figsize=(13, 3.8))[1]
    for column, row in enumerate(table.itertuples(index=False)):
        sizes: dict[str, int] = dict(zip(row.axes.split(", "), row.shape, strict=True))
        middle = 1.75 * column
        steps = sizes.get("frames", sizes.get("steps", 1))
        deep = sizes.get("channels", sizes.get("heads", 1))
        wide = 0.065 * sizes.get("samples", steps) ** (0.27 if "samples" in sizes else 0.5)
        high = 0.22 * (1 if "samples" in sizes else row.shape[-1]) ** 0.5
        for back in reversed(range(round(deep**0.5))):
            corner = (middle - wide / 2 + 0.05 * back, 0.05 * back - high / 2)
            shade = {"fc": TINTS[row.stage], "alpha": 0.55 if back else 1.0}
            ax.add_patch(Rectangle(corner, wide, high, ec="white", lw=0.6, **shade))
        seen = f"{row.seen:.3f} s" if "steps" in sizes or "frames" in sizes else "the whole"
        axes = row.axes.replace(", ", " × ").replace("channels", "ch")
        lines = [" × ".join(f"{n:,}" for n in row.shape), axes,
                 f"{row.parameters:,} weights" if row.parameters else "nothing learned",
                 "" if row.stage == "recording" else f"sees {seen}"]  # fmt: skip
        ax.text(middle, 1.75, row.part, ha="center", fontsize=8.5, weight="bold")
        ax.text(middle, -1.55, "\n".join(lines), ha="center", va="top", fontsize=6.5, linespacing=1.4)
    for stage, columns in pd.Series(range(len(table))).groupby(table["stage"].to_numpy()):
        left, right = (1.75 * x for x in (columns.min() - 0.4, columns.max() + 0.4))
        ax.plot((left, right), (2.2, 2.2), color=TINTS[stage], lw=3)
        ax.text((left + right) / 2, 2.3, stage, ha="center", fontsize=10, color="0.3")
    ax.set(xlim=(-0.95, 1.75 * len(table) - 0.8), ylim=(-2.75, 2.7))
    ax.axis("off")
    return ax
