"""A whole experiment in one call: features, training, test, baselines, embeddings, pictures."""

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ..config import Config, counted
from ..corpora.splits import shared_texts
from ..corpora.table import corpus_note, read_corpus, select
from ..embeddings.calibration import calibrate
from ..embeddings.evaluate import check_accents, evaluate_table
from ..embeddings.familiarity import fit_familiar
from ..embeddings.inference import Answers, attention, infer
from ..embeddings.metrics import classification_metrics, neighbour_metrics, percent_interval
from ..features.store import FeatureStore, clip_ids, open_store
from ..files import replacing, write_table
from ..network.accent_net import AccentNet
from ..network.checkpoint import known_clips, load_model, save_calibrated
from ..training.augment import noise_and_rooms
from ..training.loop import Trainer, check_free, few_updates
from .baselines import INTERVALS, NATIVE_EAR, baseline_clips, baselines, best_baseline, tested_on, worse_than
from .native_ear import can_hear, native_ear, profiles
from .recipe import phones_for

FAMILIAR = 200_000  # frames of training clips that tell what is familiar
FIRST_LOOK = 5  # epochs until there is something to see


def run(data: str | Path, config: Config, out_dir: str | Path, *, phones: str | Path | None = None,
        resume: bool = False, overwrite: bool = False) -> dict:  # fmt: skip
    """Train on a corpus, test on its unseen speakers, draw the pictures.

    Parameters
    ----------
    out_dir : str or Path
        Receives ``features/``, ``best.pt``, ``last.pt``, ``tensorboard/``, ``figures/``, ``metrics.json``,
        ``predictions.csv`` (of all splits), ``history.csv`` and ``config.json``.
    phones : str or Path, optional
        Table of phones for ``phone_weight``; by default ``phones.csv`` beside the manifest, or else those
        that :func:`accentlib.find_phones` recognises in the training clips.

    Returns the content of ``metrics.json``: figures on the test split, chance, baselines,
    ``worse_than_baseline``, ``updates``, ``note`` (the corpus's) and ``problems`` (unusable files).
    Raises InputError if ``out_dir`` holds a run, unless it is to ``resume`` or to ``overwrite``."""
    out_dir = Path(out_dir)
    if not (resume or overwrite):
        check_free(out_dir)
    table = read_corpus(data, seed=config.seed)
    known = phones_for(select(table, "train"), data, config, out_dir, phones)
    trainer = Trainer(table, config, out_dir, phones=known, overwrite=overwrite)
    train, test = (select(trainer.table, split) for split in ("train", "test"))
    check_accents(test, trainer.model.labels)  # now, and not after an hour of training
    if resume:
        trainer.resume(out_dir / "last.pt")
    trainer.after_validation = partial(first_look, corpus_note(data))
    trainer.train()
    model = best_model(trainer)
    ear = out_dir / "native_ear.npz" if can_hear(table) else None
    test, answers, metrics = _beside_baselines(model, baseline_clips(train), test, trainer.store, ear)
    metrics |= {"embedding": neighbour_metrics(answers.embeddings, test), "split": "test"}
    metrics["shared_texts"] = shared_texts(trainer.table)
    metrics |= {"updates": trainer.step, "training_seconds": round(trainer.seconds, 1)}
    metrics |= {"note": corpus_note(data), "problems": trainer.store.problems}
    keep_tables(trainer, model)
    draw(trainer, model, test, answers, metrics)
    with replacing(out_dir / "metrics.json") as temporary:
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    return metrics


def keep_tables(trainer: Trainer, model: AccentNet) -> None:
    """Write the run's ``predictions.csv`` (all splits), ``history.csv`` and ``config.json``."""
    table, folder = trainer.store.keep(trainer.table), trainer.out_dir
    answers = infer(model, table, store=trainer.store)
    known = table[["id", "path", "speaker", "accent", "split"]].assign(predicted=answers.accents)
    write_table(folder / "predictions.csv", known.assign(probability=answers.probabilities.max(1).round(4)))
    write_table(folder / "history.csv", pd.DataFrame(trainer.history))
    with replacing(folder / "config.json") as temporary:
        temporary.write_text(json.dumps(trainer.config.to_dict(), indent=2) + "\n", encoding="utf-8")


def best_model(trainer: Trainer) -> AccentNet:
    """The best model of a training, its answers fitted, as are those of its checkpoint."""
    path = trainer.out_dir / "best.pt"
    model = load_model(path).to(trainer.device)
    fit_answers(model, trainer.table, trainer.store)
    save_calibrated(path, model)
    return model


def fit_answers(model: AccentNet, table: pd.DataFrame, store: FeatureStore) -> None:
    """Calibrate a model on the validation split of its training, and tell it what is familiar to it."""
    train = select(table, "train").sample(frac=1, random_state=0).head(1000)
    enough = np.searchsorted(np.cumsum([len(store[clip]) for clip in clip_ids(train)]), FAMILIAR)
    validation = _as_trained(store, select(table, "validation"), model.config)
    calibrate(model, *validation)
    fit_familiar(model, _as_trained(store, train.head(enough + 1), model.config)[0], validation[0])


def _as_trained(store, table: pd.DataFrame, config: Config) -> tuple[list[np.ndarray], list[str]]:
    """Log-mels and accents of clips; if noise and rooms were trained with, also as if recorded there."""
    log_mels, accents = [store[clip] for clip in clip_ids(table)], table["accent"].tolist()
    if not config.noise_and_rooms:
        return log_mels, accents
    rng = np.random.default_rng(0)
    return log_mels + [noise_and_rooms(x, rng, config) for x in log_mels], accents * 2


def evaluate(model: AccentNet, data: str | Path, split: str = "test") -> dict:
    """Figures of a model on one split of a corpus, with chance and (except on ``train``) baselines. Raises
    InputError if the corpus cannot be used, or has an accent that the model does not know."""
    table = read_corpus(data, seed=model.config.seed)
    test = select(table, split)
    check_accents(test, model.labels)
    train = baseline_clips(table[(table["split"] == "train") & (split != "train")])
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(pd.concat([train, test]), folder, model.config)
        test, answers, metrics = _beside_baselines(model, train, test, store)
    metrics |= {
        "trained_on": known_clips(model, test["path"]),
        "split": split,
        "shared_texts": shared_texts(table, split),
    }
    return metrics | {"note": corpus_note(data), "problems": answers.problems}


def _beside_baselines(model, train, test, store, ear=None) -> tuple[pd.DataFrame, Answers, dict]:
    """What :func:`evaluate_table` returns, its figures with those of baselines that ``train`` trained."""
    test, answers, metrics = evaluate_table(model, test, store=store)
    train = store.keep(train) if len(train) else train
    if train["accent"].nunique() > 1:
        metrics["baselines"] = baselines(store, train, test, model.labels)
        if ear:
            heard = native_ear(profiles(pd.concat([train, test]), ear), train, test)
            simple = classification_metrics(test["accent"], heard, model.labels)["balanced_accuracy"]
            metrics["baselines"][NATIVE_EAR] = simple
        metrics["worse_than_baseline"] = metrics["balanced_accuracy"] < max(metrics["baselines"].values())
    return test, answers, metrics


def warnings_of(metrics: dict) -> list[str]:
    """Warnings to read before any figure; often none."""
    known, simple, few = (metrics.get(name) for name in ("trained_on", "baselines", "few_speakers"))
    return list(filter(None, [
        known and f"trained on {known} of these {counted(metrics['clips'], 'clip')}: the figures are no test",
        simple and worse_than(metrics["balanced_accuracy"], simple),
        few and f"this {few}",
        few_updates(metrics.get("updates")),
    ]))  # fmt: skip


def summary(metrics: dict, out_dir: Path) -> str:
    """The closing lines of a run, warnings first."""
    tested, (baseline, best) = tested_on(metrics), best_baseline(metrics["baselines"])
    accuracy = percent_interval(metrics["balanced_accuracy"], metrics["interval"])
    embedding = ", ".join(f"{name.replace('_', ' ')} {x:.3f}" for name, x in metrics["embedding"].items())
    return "\n".join(filter(None, [
        *warnings_of(metrics),
        f"balanced accuracy {accuracy}, macro F1 {metrics['macro_f1']:.1%} on {tested}; {INTERVALS}",
        f"best simple baseline {best:.1%} ({baseline})",
        f"embeddings: {embedding or 'too few speakers'}",
        f"trained for {metrics['training_seconds']:.0f} s; pictures in {out_dir / 'figures'},"
        f" figures in {out_dir / 'metrics.json'}, model in {out_dir / 'best.pt'}",
        metrics["note"],
    ]))  # fmt: skip


@contextmanager
def drawing(trainer: Trainer, note: str) -> Iterator[Callable]:
    """Give a function that adds a title and the note to a picture, and writes it to the run's figures."""
    import matplotlib.pyplot as plt
    import seaborn as sns

    folder = trainer.out_dir / "figures"
    folder.mkdir(exist_ok=True)

    def save(name: str, title: str, ax: plt.Axes) -> None:
        ax.set_title(title + (note and f"\n{note.split(':')[0]}"), fontsize=11)
        ax.figure.figure.savefig(folder / f"{name}.png", dpi=150, bbox_inches="tight")
        plt.close(ax.figure.figure)  # of a SubFigure, its Figure

    with sns.axes_style("white"), sns.plotting_context("notebook"), plt.ioff():
        yield save


def first_look(note: str, trainer: Trainer) -> None:
    """Draw the embeddings of the validation clips once, after a few epochs: something to look at."""
    rows = trainer.validation.rows
    if trainer.epoch < FIRST_LOOK or len(rows) < 4:
        return
    from .. import plots

    trainer.after_validation, of = None, f"{trainer.epoch} of {trainer.config.max_epochs} epochs"
    answers = infer(trainer.evaluated, rows, store=trainer.store)
    points, caption = plots.project_tsne(answers.embeddings, seed=trainer.config.seed)
    speakers = counted(rows["speaker"].nunique(), "validation speaker")
    with drawing(trainer, note) as save:
        save("tsne_first", f"{speakers} after {of}", plots.plot_tsne(points, rows["accent"], caption=caption))
    trainer.log(f"after {of}: {trainer.out_dir / 'figures' / 'tsne_first.png'}")


def draw(trainer: Trainer, model: AccentNet, test: pd.DataFrame, answers: Answers, metrics: dict) -> None:
    """Write the pictures of a run as PNG files."""
    import matplotlib.pyplot as plt

    from .. import plots

    chance, speakers = metrics["chance"], counted(metrics["speakers"], "unseen speaker")
    few = f"\n{metrics['few_speakers']}" if metrics["few_speakers"] else ""
    accuracy = percent_interval(metrics["balanced_accuracy"], metrics["interval"])
    with drawing(trainer, metrics["note"]) as save:
        ax = plots.plot_history(pd.DataFrame(trainer.history), chance=chance)
        save("training", "Learning, epoch by epoch", ax)
        ax = plots.plot_confusion(test["accent"], answers.accents, model.labels)
        save("confusion", f"Balanced accuracy {accuracy} on {speakers}, chance {chance:.1%}{few}", ax)
        if len(test) >= 4:
            points, caption = plots.project_tsne(answers.embeddings, seed=model.config.seed)
            for column in ("accent", "speaker"):
                ax = plots.plot_tsne(points, test[column], caption=caption, legend_title=column)
                save(f"tsne_{column}", f"Embeddings of {speakers}, by {column}{few}", ax)
        speaker, accent, path = test[["speaker", "accent", "path"]].iloc[0]
        (log_mels, weights), config = attention(model, path), model.config
        step = config.frames_a_step * config.hop_seconds
        if config.pooling_method == "Phones":
            shares = (weights.frames * weights.heads * len(weights.frames))[:100]  # of each step, about 8 s
            ax = plots.plot_phones(shares, model.phones, len(shares) * step)
            save("phones", f"Which phone the network hears (darker: surer): {speaker}, {accent}", ax)
        elif weights.frames is not None:
            ax, below = plt.subplots(2, 1, figsize=(9, 4.5), sharex=True, layout="constrained")[1]
            plots.plot_log_mel(log_mels, sample_rate=config.sample_rate, ax=ax).set_xlabel("")
            plots.plot_attention(weights.frames, seconds_a_step=step, ax=below)
            save("attention", f"Attention of the network: {speaker}, {accent}", ax)
