"""Speaker-disjoint cross-validation: every speaker is tested once. One in eight of the others validate: they
choose temperature, threshold and best epoch. Choose a configuration on a fold that you do not test later."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ..config import Config
from ..corpora.halves import halve
from ..corpora.splits import few_speakers, fold_splits, known_texts, text_column, two_texts, validation_rows
from ..corpora.table import check_corpus, read_corpus, select
from ..embeddings import metrics
from ..embeddings.calibration import cut_clips, softmax
from ..embeddings.inference import forward_log_mels
from ..features.store import clip_ids, prepare
from ..files import replacing, write_table
from ..network.accent_net import AccentNet
from ..network.checkpoint import load_model, save_checkpoint
from ..network.ensemble import Ensemble
from .baselines import INTERVALS, NATIVE_EAR, classical_predictions, tested_on, worse_than
from .grid import Grid
from .native_ear import can_hear, native_ear, profiles
from .recipe import phones_for
from .run import best_model, fit_answers, warnings_of

KEPT = ["id", "path", "speaker", "accent", "text_part", "known_text"]  # columns of predictions.csv, if there
NETWORK, ENSEMBLE = "network", "ensemble"  # methods of predictions.csv; the others are simple baselines


def cross_validate(data: str | Path, config: Config, out_dir: str | Path, *, folds: int = 5,
                   tested: Sequence[int] | None = None, seeds: Sequence[int] = (1,),
                   phones: str | Path | None = None, final: bool = False, by_text: bool = False,
                   progress: bool = True) -> tuple[pd.DataFrame, dict]:  # fmt: skip
    """Train and test on every fold (or those ``tested``, from 0) with every seed, not on the corpus's split.

    Parameters
    ----------
    out_dir : str or Path
        Receives ``predictions.csv``, ``crossvalidation.json`` and all trainings; none is repeated.
    phones
        Table of phones; by default ``phones.csv`` beside the manifest, or else those that
        :func:`accentlib.find_phones` recognises. It knows nothing of accents, so one table fits all folds.
    seeds
        Several make an :class:`accentlib.Ensemble`, too, which is tested beside its networks.
    final : bool
        Also train ``final/model.pt``, the model to use (of several seeds, their ensemble): one in eight
        speakers validate, all others train.
    by_text : bool
        Test the unseen speakers on unseen texts as well: two networks a fold, each trained on half of the
        texts and tested on the other half. If there is one text only, or none is named, its halves are texts
        (:func:`accentlib.corpora.halves.halve`).

    Returns one row per prediction (of a clip or a whole recording, see ``unit``), with the network's
    probabilities before (``raw:``) and after (``p:``) calibration, and the figures of :func:`figures_of`.
    Raises InputError if the configuration or the corpus cannot be used."""
    corpus = read_corpus(data, split=False)
    check_corpus(corpus, name=str(data))
    tested = range(folds) if tested is None else tested
    for fold in tested:
        fold_splits(corpus, fold, folds)  # raises its errors before anything is computed
    known = phones_for(corpus, data, config, out_dir, phones)
    if by_text:
        if not (column := text_column(corpus)) or corpus[column].nunique() < 2:
            corpus, known, problems = halve(corpus, Path(out_dir, "halves"), known)
            for problem in problems if progress else ():
                print(f"left out: {problem}", file=sys.stderr)
        corpus = corpus.assign(text_part=two_texts(corpus))
    grid = _Folds(corpus, known, folds, out_dir, data, config, progress)
    predictions = pd.concat([grid.test(fold, seeds) for fold in tested], ignore_index=True)
    if final and not (file := grid.out_dir / "final" / "model.pt").is_file():
        save_checkpoint(file, grid.final(seeds, file.parent))  # without what only training needs
    write_table(grid.out_dir / "predictions.csv", predictions)
    figures = figures_of(predictions)
    with replacing(grid.out_dir / "crossvalidation.json") as temporary:
        temporary.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return predictions, figures


class _Folds(Grid):
    """The grid of folds and seeds over one corpus, with its features and phones."""

    def __init__(self, corpus, phones, folds, out_dir, data, config, progress):
        more = {"by_text": 1} if "text_part" in corpus else {}
        super().__init__(out_dir, data, config, progress, folds=folds, **more)
        self.phones, self.folds = phones, folds
        if clip_ids(corpus) == list(corpus["path"]):
            corpus = corpus.drop(columns="id", errors="ignore")  # predictions.csv repeats no path
        self.config, self.store = prepare(corpus, config, self.out_dir / "features")
        for problem in self.store.problems.values() if progress else ():
            print(f"left out: {problem}", file=sys.stderr)
        self.corpus = self.store.keep(corpus)

    def test(self, fold: int, seeds: Sequence[int]) -> pd.DataFrame:
        """The predictions of one fold: those of a network per seed, and those of the baselines."""
        table, folder = fold_splits(self.corpus, fold, self.folds), self.out_dir / f"fold{fold}"
        tables, cells = {folder: table}, []
        if "text_part" in table:  # test each part of the texts, train on the other
            tested = table["split"] == "test"
            tables = {folder / f"text{x}": table[(table["text_part"] == x) == tested] for x in "12"}
        for folder, table in tables.items():
            table, network = table.assign(known_text=known_texts(table)), self.train_and_predict
            cells += [self.cell(folder / f"seed{x}.csv", {}, network, table, x, folder) for x in seeds]
            if len(seeds) > 1:
                file = folder / f"ensemble{'-'.join(map(str, seeds))}.csv"
                cells.append(self.cell(file, {}, self.predict_together, table, seeds, folder))
            cells.append(self.cell(folder / "baselines.csv", {}, self.predict_simply, table).assign(seed=0))
        return pd.concat(cells).assign(fold=fold)

    def network(self, table: pd.DataFrame, seed: int, folder: Path) -> AccentNet:
        """The best network of a training with this seed."""
        config = self.config.replace(seed=seed)
        return best_model(self.train(table, config, folder / f"seed{seed}", self.phones))

    def together(self, table: pd.DataFrame, networks: Sequence[AccentNet]) -> AccentNet:
        """The network, or the ensemble of several."""
        if len(networks) == 1:
            return networks[0]
        model = Ensemble(networks).eval()
        fit_answers(model, table, self.store)
        return model

    def final(self, seeds: Sequence[int], folder: Path) -> AccentNet:
        """A network or an ensemble that all speakers train, but one in eight, who validate."""
        table = self.corpus.assign(split=np.where(validation_rows(self.corpus), "validation", "train"))
        return self.together(table, [self.network(table, seed, folder) for seed in seeds]).cpu()

    def train_and_predict(self, table: pd.DataFrame, seed: int, folder: Path) -> pd.DataFrame:
        return self.predict(self.network(table, seed, folder), table, method=NETWORK, seed=seed)

    def predict_together(self, table: pd.DataFrame, seeds: Sequence[int], folder: Path) -> pd.DataFrame:
        model = self.together(table, [load_model(folder / f"seed{seed}" / "best.pt") for seed in seeds])
        save_checkpoint(folder / "ensemble.pt", model)
        return self.predict(model, table, method=ENSEMBLE, seed=0)

    def predict(self, model: AccentNet, table: pd.DataFrame, **columns) -> pd.DataFrame:
        """A row for each test clip and each whole recording, with these columns beside."""
        test = select(table, "test")
        log_mels, rows = [self.store[clip] for clip in clip_ids(test)], test[[x for x in KEPT if x in test]]
        clips, of_recording = cut_clips(log_mels, self.config)
        parts = []
        for unit, x, own in (("clip", clips, rows.iloc[of_recording]), ("recording", log_mels, rows)):
            _, logits, _ = forward_log_mels(model, x)
            predicted = np.array(model.labels)[logits.argmax(axis=1)]
            part = own.reset_index(drop=True).assign(predicted=predicted, **columns)
            for kind, temperature in (("raw", 1.0), ("p", model.calibration.temperature)):
                probabilities = softmax(logits, temperature)
                part[[f"{kind}:{label}" for label in model.labels]] = probabilities.round(5)
            unsure = probabilities.max(axis=1) < model.calibration.unsure_below
            parts.append(part.assign(unsure=unsure, unit=unit))
        return pd.concat(parts)

    def predict_simply(self, table: pd.DataFrame) -> pd.DataFrame:
        """The baselines' predictions, each trained on the unit (clip or recording) on which it is tested."""
        clips, of_recording = cut_clips([self.store[clip] for clip in clip_ids(table)], self.config)
        cut = table.iloc[of_recording].assign(id=range(len(clips)))  # a clip's id is its number
        parts = []
        for unit, log_mels, rows in (("clip", dict(enumerate(clips)), cut), ("recording", self.store, table)):
            train, test = (rows[rows["split"] == split] for split in ("train", "test"))
            predictions = classical_predictions(log_mels, train, test)
            if unit == "recording" and can_hear(table):
                predictions[NATIVE_EAR] = native_ear(
                    profiles(table, self.out_dir / "native_ear.npz"), train, test
                )
            tested = table.loc[test.index, [name for name in KEPT if name in table]]
            parts += [tested.assign(method=m, unit=unit, predicted=x) for m, x in predictions.items()]
        return pd.concat(parts)


def by_speaker(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row per speaker (and part) of one method and seed: the accent of largest mean probability, or most
    votes."""
    own = [name for name in ("speaker", "accent", "text_part") if name in predictions]
    speakers = predictions[predictions["unit"] == "recording"].groupby(own)
    means = speakers[[name for name in predictions if name.startswith("p:")]].mean()
    if means.size and means.notna().all(axis=None):
        predicted = means.idxmax(axis=1).str.removeprefix("p:")
    else:
        predicted = speakers["predicted"].agg(lambda x: x.mode().iloc[0])
    return predicted.rename("predicted").reset_index()


def figures_of(predictions: pd.DataFrame) -> dict:
    """Figures of a cross-validation, by clip and by speaker: means over seeds of each method, with 95 %
    intervals over speakers; calibration errors of the network, or ensemble, and its share of unsure clips."""
    labels = sorted(set(predictions["accent"]))
    speakers = predictions.drop_duplicates(["speaker", "accent"])
    figures: dict = {"speakers": speakers["speaker"].nunique(), "accents": len(labels)}
    figures |= {"chance": 1 / len(labels), "few_speakers": few_speakers(speakers), "clip": {}, "speaker": {}}
    texts = predictions.get("known_text")
    figures["shared_texts"] = None if texts is None or texts.isna().any() else float(texts.mean())
    for method, rows in predictions.groupby("method", sort=False):
        trainings = [own for _, own in rows.groupby("seed")]
        clips = [own[own["unit"] == "clip"] for own in trainings]
        for unit, tables in (("clip", clips), ("speaker", [by_speaker(own) for own in trainings])):
            if len(tables[0]):  # all have the same rows
                truth, own = tables[0]["accent"].to_numpy(), tables[0]["speaker"]
                predicted = np.stack([table["predicted"] for table in tables], axis=1)  # (rows, trainings)
                each = pd.DataFrame([metrics.classification_metrics(truth, x, labels) for x in predicted.T])
                means = each[["balanced_accuracy", "macro_f1"]].mean().to_dict()
                interval = [*metrics.speaker_interval(truth, predicted, own)]
                figures[unit][method] = means | {"interval": interval, "seeds": len(tables)}
    figures["worse_than_baseline"] = any(_worse(figures).values())
    figures["calibration"], network = {}, predictions[predictions["method"] == _best(figures)]
    for unit, rows in network.groupby("unit"):
        truth = rows["accent"].map(labels.index).to_numpy()
        both = (rows[[f"{kind}:{x}" for x in labels]].to_numpy() for kind in ("raw", "p"))
        before, after = (metrics.expected_calibration_error(x, truth) for x in both)
        figures["calibration"][unit] = {"before": before, "after": after}
    clips = network[network["unit"] == "clip"]
    right, unsure = clips["predicted"] == clips["accent"], clips["unsure"].astype(bool)
    figures["unsure"] = {"share": float(unsure.mean()), "accuracy_of_all": float(right.mean())}
    figures["unsure"]["accuracy_when_sure"] = None if unsure.all() else float(right[~unsure].mean())
    return figures


def _best(figures: dict) -> str:
    """The ensemble, where there is one, else the network."""
    return ENSEMBLE if ENSEMBLE in figures["speaker"] else NETWORK


def _worse(figures: dict) -> dict[str, str]:
    """:func:`worse_than` of :func:`_best`, by unit."""
    worse = {}
    for unit in ("clip", "speaker"):
        accuracies = {name: x["balanced_accuracy"] for name, x in figures[unit].items()}
        simple = {name: x for name, x in accuracies.items() if name not in (NETWORK, ENSEMBLE)}
        worse[unit] = worse_than(accuracies[_best(figures)], simple)
    return worse


def report_figures(figures: dict) -> str:
    """The figures as text: warnings, then one row per method, then calibration."""
    table, unsure, calibration = pd.DataFrame(), figures["unsure"], figures["calibration"].items()
    for unit in ("clip", "speaker"):
        for method, x in figures[unit].items():
            accuracy = metrics.percent_interval(x["balanced_accuracy"], x["interval"])
            columns = [f"balanced accuracy by {unit}", f"macro F1 by {unit}"]
            table.loc[method, columns] = [accuracy, f"{x['macro_f1']:.1%}"]
    errors = [f"{unit}s {x['before']:.1%} before, {x['after']:.1%} after" for unit, x in calibration]
    sure = unsure["accuracy_when_sure"]
    return "\n".join([
        *(f"by {unit}, {worse}" for unit, worse in _worse(figures).items() if worse),
        *warnings_of(figures),
        table.fillna("").to_string(),
        f"{figures['accents']} accents, {tested_on(figures)}; {INTERVALS}",
        f"expected calibration error: {', '.join(errors)}",
        f"unsure of {unsure['share']:.0%} of clips; right in {unsure['accuracy_of_all']:.1%} of all"
        + ("" if sure is None else f", and in {sure:.1%} of the others"),
    ])  # fmt: skip
