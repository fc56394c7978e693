"""Speaker-disjoint cross-validation: every speaker is tested once, with intervals, baselines and calibration.

One in eight of the other speakers validate: they choose temperature, threshold and best epoch. Choose a
configuration on a fold that you do not test later.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..config import Config, InputError
from ..corpora.align import align
from ..corpora.phones import read_phones
from ..corpora.splits import few_speakers, fold_splits, validation_rows
from ..corpora.table import check_corpus, read_corpus, select
from ..embeddings.calibration import cut_clips, softmax
from ..embeddings.inference import forward_log_mels
from ..embeddings.metrics import classification_metrics as classify
from ..embeddings.metrics import expected_calibration_error, percent_interval, speaker_interval
from ..features.store import clip_ids, prepare
from ..files import replacing, write_table
from ..network.accent_net import AccentNet
from ..network.checkpoint import save_checkpoint
from .baselines import INTERVALS, classical_predictions, reading_predictions, tested_on, worse_than
from .grid import Grid, read_results
from .run import best_model, warnings_of

NETWORK, READING = "network", "reading_lda"  # methods in predictions.csv; the others are simple baselines
read_predictions = read_results  # reads predictions.csv


def cross_validate(
    data: str | Path, config: Config, out_dir: str | Path, *, folds: int = 5,
    tested: Sequence[int] | None = None, seeds: Sequence[int] = (1,), readings: str | Path | None = None,
    text_column: str = "sentence", final: bool = False, progress: bool = True,
) -> tuple[pd.DataFrame, dict[str, Any]]:  # fmt: skip
    """Train and test on every fold with every seed; the corpus's own split is ignored.

    Parameters
    ----------
    out_dir : str or Path
        Receives ``predictions.csv``, ``crossvalidation.json`` and all trainings; none is repeated.
    tested : sequence of int, optional
        Folds to test, from 0; all by default.
    readings, text_column
        As for :func:`accentlib.align`. Each fold finds its phones without its test speakers, for
        ``phone_weight`` and for the baseline that knows the text.
    final : bool
        Also train ``final/model.pt``, the model to use: one in eight speakers validate, all others train.

    Returns
    -------
    predictions : pandas.DataFrame
        One row per prediction: method, fold, seed, unit (clip or recording), path (and id, if the corpus has
        ids), speaker, accent, predicted, and the network's probabilities before (``raw:``) and after (``p:``)
        calibration.
    figures : dict
        See :func:`figures_of`.

    Raises InputError if the configuration or the corpus cannot be used.
    """
    if config.phone_weight and readings is None:
        raise InputError("phone_weight needs readings of the corpus's texts; give --readings")
    corpus = read_corpus(data, split=False)
    check_corpus(corpus, name=str(data))
    tested = range(folds) if tested is None else tested
    for fold in tested:
        fold_splits(corpus, fold, folds)  # raises its errors before anything is computed
    grid = _Folds(corpus, readings, text_column, folds, out_dir, data, config, progress)
    predictions = pd.concat([grid.test(fold, seeds) for fold in tested], ignore_index=True)
    if final:
        grid.train_final(seeds[0])
    write_table(grid.out_dir / "predictions.csv", predictions)
    figures = figures_of(predictions)
    with replacing(grid.out_dir / "crossvalidation.json") as temporary:
        temporary.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return predictions, figures


class _Folds(Grid):
    """The grid of folds and seeds over one corpus, with its features and readings."""

    def __init__(self, corpus, readings, text_column, folds, out_dir, data, config, progress):
        super().__init__(out_dir, data, config, progress, folds=folds)
        self.folds, self.readings, self.text_column = folds, readings, text_column
        if clip_ids(corpus) == list(corpus["path"]):
            corpus = corpus.drop(columns="id", errors="ignore")  # predictions.csv repeats no path
        self.config, self.store = prepare(corpus, config, self.out_dir / "features")
        for problem in self.store.problems.values() if progress else ():
            print(f"left out: {problem}", file=sys.stderr)
        self.corpus = self.store.keep(corpus)
        self.kept = [name for name in ("id", "path", "speaker", "accent") if name in corpus]

    def phones(self, table: pd.DataFrame, folder: Path) -> pd.DataFrame | None:
        """The phones of all clips, found without the test speakers; kept in ``folder``."""
        if self.readings is None:
            return None
        options = {"text_column": self.text_column, "progress": self.progress}
        self.cell(folder / "phones.csv", {}, lambda: align(table, self.readings, **options)[0])
        return read_phones(folder / "phones.csv")

    def test(self, fold: int, seeds: Sequence[int]) -> pd.DataFrame:
        """The predictions of one fold: those of a network per seed, and those of the baselines."""
        table, folder = fold_splits(self.corpus, fold, self.folds), self.out_dir / f"fold{fold}"
        parts = [
            self.cell(folder / f"seed{seed}.csv", {}, self.train_and_predict, table, seed, folder)
            for seed in seeds
        ]
        simple = self.cell(folder / "baselines.csv", {}, self.predict_simply, table, folder)
        return pd.concat([*parts, simple.assign(seed=0)]).assign(fold=fold)

    def train_and_predict(self, table: pd.DataFrame, seed: int, folder: Path) -> pd.DataFrame:
        """The network's predictions of test clips and of whole test recordings."""
        config, phones = self.config.replace(seed=seed), self.phones(table, folder)
        trainer = self.train(table, config, folder / f"seed{seed}", phones)
        model, test = best_model(trainer), select(table, "test")
        log_mels, rows = [self.store[clip] for clip in clip_ids(test)], test[self.kept]
        clips, of_recording = cut_clips(log_mels, config)
        in_clips = _network_predictions(model, clips, rows.iloc[of_recording]).assign(unit="clip")
        whole = _network_predictions(model, log_mels, rows).assign(unit="recording")
        return pd.concat([in_clips, whole]).assign(seed=seed)

    def predict_simply(self, table: pd.DataFrame, folder: Path) -> pd.DataFrame:
        """The baselines' predictions, each trained on the unit (clip or recording) on which it is tested."""
        one_text = self.text_column not in table or table[self.text_column].nunique() == 1
        phones = self.phones(table, folder) if one_text else None
        clips, of_recording = cut_clips([self.store[clip] for clip in clip_ids(table)], self.config)
        cut = table.iloc[of_recording].assign(id=range(len(clips)))  # a clip's id is its number
        parts = []
        for unit, log_mels, rows in (("clip", clips, cut), ("recording", self.store, table)):
            train, test = (rows[rows["split"] == split] for split in ("train", "test"))
            predictions = classical_predictions(log_mels, train, test)
            if phones is not None and unit == "recording":
                predictions[READING] = reading_predictions(log_mels, train, test, phones, self.config)
            tested = table.loc[test.index, self.kept]
            parts += [tested.assign(method=m, unit=unit, predicted=x) for m, x in predictions.items()]
        return pd.concat(parts)

    def train_final(self, seed: int) -> None:
        """Train the model to use, on all speakers but those who validate."""
        folder, config = self.out_dir / "final", self.config.replace(seed=seed)
        if not (folder / "model.pt").is_file():
            table = self.corpus.assign(split=np.where(validation_rows(self.corpus), "validation", "train"))
            model = best_model(self.train(table, config, folder, self.phones(table, folder)))
            save_checkpoint(folder / "model.pt", model.cpu())  # without what only training needs


def _network_predictions(model: AccentNet, log_mels: list[np.ndarray], rows: pd.DataFrame) -> pd.DataFrame:
    """Predicted accents, and probabilities before and after calibration, one row per clip."""
    _, logits = forward_log_mels(model, log_mels)
    predicted, calibration = np.array(model.labels)[logits.argmax(axis=1)], model.calibration
    predictions = rows.reset_index(drop=True).assign(method=NETWORK, predicted=predicted)
    for kind, temperature in (("raw", 1.0), ("p", calibration.temperature)):
        probabilities = softmax(logits, temperature)
        predictions[[f"{kind}:{label}" for label in model.labels]] = probabilities.round(5)
    return predictions.assign(unsure=probabilities.max(axis=1) < calibration.unsure_below)


def by_speaker(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row per speaker of one method and seed: the accent of largest mean probability, or of most votes."""
    rows = predictions[predictions["unit"] == "recording"]
    speakers = rows.groupby(["speaker", "accent"])
    means = speakers[[name for name in rows if name.startswith("p:")]].mean()
    if means.size and means.notna().all(axis=None):
        predicted = means.idxmax(axis=1).str.removeprefix("p:")
    else:
        predicted = speakers["predicted"].agg(lambda x: x.mode().iloc[0])
    return predicted.rename("predicted").reset_index()


def figures_of(predictions: pd.DataFrame) -> dict[str, Any]:
    """Figures of a cross-validation: ``speakers``, ``accents``, ``chance``, ``few_speakers`` (a warning).

    ``clip`` and ``speaker``: each method's balanced_accuracy and macro_f1 (means over seeds), interval (95 %
    of balanced accuracy, by bootstrap over speakers) and seeds. ``worse_than_baseline``: in any unit, than
    one that does not know the text. ``calibration``: the network's expected calibration error by unit.
    ``unsure``: the share of clips, and the accuracy on the sure ones and on all.
    """
    labels = sorted(set(predictions["accent"]))
    speakers = predictions.drop_duplicates(["speaker", "accent"])
    figures: dict[str, Any] = {"speakers": speakers["speaker"].nunique(), "accents": len(labels)}
    figures |= {"chance": 1 / len(labels), "few_speakers": few_speakers(speakers), "clip": {}, "speaker": {}}
    for method, rows in predictions.groupby("method", sort=False):
        trainings = [own for _, own in rows.groupby("seed")]
        clips = [own[own["unit"] == "clip"] for own in trainings]
        for unit, tables in (("clip", clips), ("speaker", [by_speaker(own) for own in trainings])):
            if len(tables[0]):
                figures[unit][method] = _mean_figures(tables, labels)
    figures["worse_than_baseline"] = any(_worse(figures).values())
    figures["calibration"] = {}
    network = predictions[predictions["method"] == NETWORK]
    for unit, rows in network.groupby("unit"):
        truth = rows["accent"].map(labels.index).to_numpy()
        raw, calibrated = (rows[[f"{kind}:{x}" for x in labels]].to_numpy() for kind in ("raw", "p"))
        before, after = (expected_calibration_error(x, truth) for x in (raw, calibrated))
        figures["calibration"][unit] = {"before": before, "after": after}
    clips = network[network["unit"] == "clip"]
    right, unsure = clips["predicted"] == clips["accent"], clips["unsure"].astype(bool)
    when_sure = None if unsure.all() else float(right[~unsure].mean())
    figures["unsure"] = {"share": float(unsure.mean()), "accuracy_when_sure": when_sure}
    figures["unsure"]["accuracy_of_all"] = float(right.mean())
    return figures


def _mean_figures(tables: list[pd.DataFrame], labels: list[str]) -> dict[str, Any]:
    """Means over the trainings of one method, with an interval; all tables have the same rows."""
    each = pd.DataFrame([classify(table["accent"], table["predicted"], labels) for table in tables])
    predicted = np.stack([table["predicted"] for table in tables], axis=1)  # (rows, trainings)
    interval = speaker_interval(tables[0]["accent"].to_numpy(), predicted, tables[0]["speaker"].to_numpy())
    means = each[["balanced_accuracy", "macro_f1"]].mean().to_dict()
    return means | {"interval": [*interval], "seeds": len(tables)}


def _worse(figures: dict[str, Any]) -> dict[str, str]:
    """:func:`worse_than` of the network by unit, with the baselines that do not know the text."""
    worse = {}
    for unit in ("clip", "speaker"):
        accuracies = {name: x["balanced_accuracy"] for name, x in figures[unit].items() if name != READING}
        worse[unit] = worse_than(accuracies.pop(NETWORK), accuracies)
    return worse


def report_figures(figures: dict[str, Any]) -> str:
    """The figures as text: warnings, then one row per method, then calibration."""
    table, errors = pd.DataFrame(), []
    for unit in ("clip", "speaker"):
        for method, x in figures[unit].items():
            accuracy = percent_interval(x["balanced_accuracy"], x["interval"])
            columns = [f"balanced accuracy by {unit}", f"macro F1 by {unit}"]
            table.loc[method, columns] = [accuracy, f"{x['macro_f1']:.1%}"]
    for unit, x in figures["calibration"].items():
        errors.append(f"{unit}s {x['before']:.1%} before, {x['after']:.1%} after")
    unsure, sure = figures["unsure"], figures["unsure"]["accuracy_when_sure"]
    lines = [
        *(f"by {unit}, {worse}" for unit, worse in _worse(figures).items() if worse),
        *warnings_of(figures),
        table.fillna("").to_string(),
        f"{figures['accents']} accents, {tested_on(figures)}; {INTERVALS}",
        f"expected calibration error: {', '.join(errors)}",
        f"unsure of {unsure['share']:.0%} of clips; right in {unsure['accuracy_of_all']:.1%} of all"
        + ("" if sure is None else f", and in {sure:.1%} of the others"),
    ]
    return "\n".join(lines)
