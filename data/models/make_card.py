"""Pictures and tables of ``real_speech.md`` from the cross-validation that measured it.

    python data/models/make_card.py RUN --data CORPUS     # RUN: the --out_dir of accentlib crossvalidate

Writes ``real_speech_confusion.png`` and ``real_speech_reliability.png`` beside the card (``accentlib/models``), the model
with weights of 16 bits, ``crossvalidation.json``, and the speakers' embeddings (``real_speech_voices.npz``), and prints the tables.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes

from accentlib import embed, load_model, read_corpus
from accentlib.embeddings.metrics import classification_metrics, reliability, speaker_interval
from accentlib.experiments.crossvalidate import ENSEMBLE, by_speaker, figures_of, report_figures
from accentlib.experiments.grid import read_results
from accentlib.network.checkpoint import read_checkpoint
from accentlib.plots import COLOURS, plot_confusion

MODELS = Path(__file__).parents[2] / "accentlib" / "models"
AGES = [0, 25, 35, 50, 120]


def plot_reliability(before: pd.DataFrame, after: pd.DataFrame) -> Axes:
    """Accuracy over predicted probability, before and after calibration: a point a bin, its area the clips in it."""
    ax = plt.subplots(figsize=(4.2, 4.2))[1]
    ax.plot([0, 1], [0, 1], color="0.5", ls=":", lw=1, label="ideal")
    for table, name, colour in ((before, "before", COLOURS[1]), (after, "after", COLOURS[0])):
        areas = 20 + 400 * table["clips"] / table["clips"].sum()
        ax.plot(table["probability"], table["right"], color=colour, lw=1, label=f"{name} calibration")
        ax.scatter(table["probability"], table["right"], s=areas, color=colour, alpha=0.7)
    ax.set(xlabel="probability of the prediction", ylabel="share of correct predictions")
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.legend(frameon=False, loc="upper left")
    return ax


def halved(content: Any) -> Any:
    """A checkpoint with floating-point weights of 16 bits."""
    if isinstance(content, dict):
        return {name: halved(value) for name, value in content.items()}
    return content.half() if isinstance(content, torch.Tensor) and content.is_floating_point() else content


def groups(speakers: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Balanced accuracy a speaker, and its interval, by sex and by age; a row a group."""
    people = table.drop_duplicates("speaker").set_index("speaker")
    of = speakers["speaker"].map
    ages = pd.cut(pd.to_numeric(of(people["age"])), AGES, right=False).astype(str)
    rows = []
    for column, values in (("sex", of(people["sex"])), ("age", ages)):
        for value, part in speakers.groupby(values):
            figures = classification_metrics(part["accent"], part["predicted"], sorted(set(part["accent"])))
            low, high = speaker_interval(
                part["accent"].to_numpy(), part["predicted"].to_numpy(), part["speaker"]
            )
            rows.append(
                {
                    "group": f"{column} {value}",
                    "speakers": part["speaker"].nunique(),
                    "balanced accuracy": f"{figures['balanced_accuracy']:.1%}",
                    "95 %": f"{low:.1%} to {high:.1%}",
                }
            )
    return pd.DataFrame(rows)


def main() -> None:
    """Draw, copy and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", required=True)
    arguments = parser.parse_args()
    predictions = read_results(arguments.run / "predictions.csv")
    labels = sorted(set(predictions["accent"]))
    network = predictions[predictions["method"] == ENSEMBLE]
    speakers, clips = by_speaker(network), network[network["unit"] == "clip"]
    ax = plot_confusion(speakers["accent"], speakers["predicted"], labels)
    ax.set_title(f"{len(speakers)} unseen speakers, a whole recording each", fontsize=11)
    ax.figure.savefig(MODELS / "real_speech_confusion.png", dpi=100, bbox_inches="tight")

    truth = np.array([labels.index(accent) for accent in clips["accent"]])
    tables = [reliability(clips[[f"{kind}:{x}" for x in labels]].to_numpy(), truth) for kind in ("raw", "p")]
    ax = plot_reliability(*tables)
    ax.set_title(f"{len(clips)} clips of unseen speakers", fontsize=11)
    ax.figure.savefig(MODELS / "real_speech_reliability.png", dpi=100, bbox_inches="tight")

    model = MODELS / "real_speech.pt"
    torch.save(halved(read_checkpoint(arguments.run / "final" / "model.pt")), model)
    shutil.copy(arguments.run / "crossvalidation.json", MODELS / "real_speech.json")
    table = read_corpus(arguments.data)
    vectors = embed(load_model(model), table).astype(np.float16)
    known = {"accents": table["accent"].to_numpy(str), "speakers": table["speaker"].to_numpy(str)}
    np.savez_compressed(MODELS / "real_speech_voices.npz", embeddings=vectors, **known)
    print(report_figures(figures_of(predictions)))
    print(groups(speakers, table).to_string(index=False))


if __name__ == "__main__":
    main()
