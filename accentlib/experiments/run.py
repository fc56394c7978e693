"""The whole way in one call: features, training, evaluation, embeddings, pictures."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from ..config import Config, counted
from ..corpora.phones import wanted_phones
from ..corpora.table import corpus_note, read_corpus, select
from ..embeddings.calibration import calibrate_checkpoint
from ..embeddings.evaluate import check_accents, evaluate_table
from ..embeddings.inference import Answers, attention
from ..embeddings.metrics import neighbour_metrics, percent_interval
from ..features.store import prepare
from ..files import replacing
from ..network.accent_net import AccentNet
from ..network.checkpoint import known_clips
from ..training.loop import Trainer, check_free, few_updates
from .baselines import LogMels, baseline_clips, baselines, best_baseline


def run(
    data: str | Path,
    config: Config,
    out_dir: str | Path,
    *,
    phones: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Train on a corpus, test on its unseen speakers, draw the pictures.

    Parameters
    ----------
    data : str or Path
        A folder with a ``manifest.csv``.
    config : Config
        Features, model and training.
    out_dir : str or Path
        Receives ``features/``, ``best.pt``, ``last.pt``, ``tensorboard/``, ``figures/`` and
        ``metrics.json``.
    phones : str or Path, optional
        The corpus's table of phones, for ``phone_weight``; ``phones.csv`` beside the manifest by default.
    resume : bool
        Go on from ``out_dir/last.pt``.
    overwrite : bool
        Write over a run that ``out_dir`` holds.

    Returns
    -------
    dict
        What ``metrics.json`` holds: figures on the test split, chance and baselines beside them,
        ``worse_than_baseline``, ``updates``, ``note`` (what the corpus's own note says of such figures) and
        ``problems`` (files that could not be used).

    Raises InputError if ``out_dir`` holds a run, and neither ``resume`` nor ``overwrite`` is given.
    """
    out_dir = Path(out_dir)
    if not (resume or overwrite):
        check_free(out_dir)
    table = read_corpus(data, seed=config.seed)
    trainer = Trainer(table, config, out_dir, phones=wanted_phones(data, config, phones), overwrite=overwrite)
    test = select(trainer.table, "test")
    check_accents(test, trainer.model.labels)  # now, and not after an hour of training
    if resume:
        trainer.resume(out_dir / "last.pt")
    trainer.train()
    validation = select(trainer.table, "validation")
    model = calibrate_checkpoint(out_dir / "best.pt", validation, trainer.store, trainer.device)
    test, answers, metrics = evaluate_table(model, test, store=trainer.store)
    train = select(trainer.table, "train")
    metrics |= beside_baselines(metrics, trainer.store, baseline_clips(train), test, model.labels)
    metrics["embedding"] = neighbour_metrics(answers.embeddings, test)
    metrics["split"] = "test"
    metrics["updates"] = trainer.step
    metrics["training_seconds"] = round(trainer.seconds, 1)
    metrics["note"] = corpus_note(data)
    metrics["problems"] = trainer.store.problems
    draw(out_dir / "figures", model, test, answers, pd.DataFrame(trainer.history), metrics)
    with replacing(out_dir / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    return metrics


def beside_baselines(
    metrics: dict[str, Any], log_mels: LogMels, train: pd.DataFrame, test: pd.DataFrame, labels: list[str]
) -> dict[str, Any]:
    """``baselines``, and ``worse_than_baseline``: whether the network loses to the best of them."""
    found = baselines(log_mels, train, test, labels)
    return {"baselines": found, "worse_than_baseline": metrics["balanced_accuracy"] < max(found.values())}


def evaluate(model: AccentNet, data: str | Path, split: str = "test") -> dict[str, Any]:
    """Figures of a model on one split of a corpus, with chance, speakers and clips.

    Beside them stand those of the baselines, trained on the corpus's training split, if another one is evaluated.

    Raises InputError if the corpus cannot be used, or has an accent that the model does not know.
    """
    table = read_corpus(data, seed=model.config.seed)
    test, answers, metrics = evaluate_table(model, select(table, split))
    metrics["trained_on"] = known_clips(model, test["path"])
    if split != "train":
        train = baseline_clips(table[table["split"] == "train"])
        with tempfile.TemporaryDirectory() as folder:
            _, store = prepare(pd.concat([train, test]), model.config, folder)
            train = store.keep(train)
            if train["accent"].nunique() > 1:
                metrics |= beside_baselines(metrics, store, train, store.keep(test), model.labels)
    return metrics | {"split": split, "note": corpus_note(data), "problems": answers.problems}


def warnings_of(metrics: dict[str, Any]) -> list[str]:
    """What has to be known before any figure is read; often nothing."""
    lines = []
    if metrics.get("trained_on"):
        lines.append(
            f"trained on {metrics['trained_on']} of these {counted(metrics['clips'], 'clip')}: the figures are no test"
        )
    if metrics.get("worse_than_baseline"):
        name, accuracy = best_baseline(metrics["baselines"])
        lines.append(
            f"worse than {name} on the same split: {100 * metrics['balanced_accuracy']:.1f} against"
            f" {accuracy:.1%}; do not use this model; try a longer training (--max_epochs), more speakers, or"
            " --preset real_speech, which learns phones as well"
        )
    if metrics["few_speakers"]:
        lines.append(f"this {metrics['few_speakers']}")
    return lines + ([few] if (few := few_updates(metrics.get("updates"))) else [])


def summary(metrics: dict[str, Any], out_dir: Path) -> str:
    """The closing lines of a run: warnings first."""
    name, accuracy = best_baseline(metrics["baselines"])
    lines = [
        *warnings_of(metrics),
        f"balanced accuracy {percent_interval(metrics['balanced_accuracy'], metrics['interval'])},"
        f" macro F1 {metrics['macro_f1']:.1%} on {counted(metrics['clips'], 'clip')} of"
        f" {counted(metrics['speakers'], 'unseen speaker')}; in brackets 95 % by bootstrap over speakers",
        f"chance {metrics['chance']:.1%}, best simple baseline {accuracy:.1%} ({name})",
        "embeddings: "
        + (
            ", ".join(f"{name.replace('_', ' ')} {x:.3f}" for name, x in metrics["embedding"].items())
            or "too few speakers"
        ),
        f"trained for {metrics['training_seconds']:.0f} s; pictures in {out_dir / 'figures'},"
        f" figures in {out_dir / 'metrics.json'}, model in {out_dir / 'best.pt'}",
    ]
    return "\n".join(lines + ([metrics["note"]] if metrics["note"] else []))


def draw(
    folder: Path,
    model: AccentNet,
    test: pd.DataFrame,
    answers: Answers,
    history: pd.DataFrame,
    metrics: dict[str, Any],
) -> None:
    """Write the run's pictures as PNG files."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    folder.mkdir(parents=True, exist_ok=True)
    with sns.axes_style("white"), sns.plotting_context("notebook"), plt.ioff():
        for name, (ax, title) in _pictures(model, test, answers, history, metrics).items():
            note = f"\n{metrics['note'].split(':')[0]}" if metrics["note"] else ""
            ax.set_title(title + note, fontsize=11)
            ax.figure.savefig(folder / f"{name}.png", dpi=150, bbox_inches="tight")
            plt.close(ax.figure)


def _pictures(
    model: AccentNet, test: pd.DataFrame, answers: Answers, history: pd.DataFrame, metrics: dict[str, Any]
) -> dict[str, tuple[Any, str]]:
    """Axes and title of each picture, by name."""
    from .. import plots

    chance = metrics["chance"]
    speakers = counted(metrics["speakers"], "unseen speaker")
    few = f"\n{metrics['few_speakers']}" if metrics["few_speakers"] else ""
    accuracy = percent_interval(metrics["balanced_accuracy"], metrics["interval"])
    accuracy = f"Balanced accuracy {accuracy} on {speakers}, chance {chance:.1%}{few}"
    confusion = plots.plot_confusion(test["accent"], answers.accents, model.labels)
    pictures = {
        "training": (plots.plot_history(history, chance=chance), "Learning, epoch by epoch"),
        "confusion": (confusion, accuracy),
    }
    if len(test) >= 4:
        points, caption = plots.project_tsne(answers.embeddings, seed=model.config.seed)
        by_accent = plots.plot_tsne(points, test["accent"], caption=caption)
        by_speaker = plots.plot_tsne(points, test["speaker"], caption=caption, legend_title="speaker")
        pictures["tsne_accent"] = (by_accent, f"Accent embeddings of {speakers}{few}")
        pictures["tsne_speaker"] = (by_speaker, f"The same points by speaker ({speakers}){few}")
    first = test.iloc[0]
    log_mels, weights = attention(model, first["path"])
    if weights.frames is not None:
        ax = plots.plot_attention(log_mels, weights.frames.mean(axis=1))
        pictures["attention"] = (ax, f"Where the network listens: {first['speaker']}, {first['accent']}")
    return pictures
