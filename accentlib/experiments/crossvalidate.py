"""Every speaker tested once: speaker-disjoint cross-validation, with intervals, baselines and calibration.

Each fold's speakers are tested by networks that never saw them; temperature, threshold and the best epoch are
chosen on other speakers again, dealt out of those that are left. What a person chooses (the configuration)
should be chosen on a fold that is then not among the tested ones.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..config import Config, InputError, counted
from ..corpora.align import align
from ..corpora.phones import read_phones
from ..corpora.splits import few_speakers, fold_splits, validation_rows
from ..corpora.table import check_corpus, read_corpus, select
from ..embeddings.calibration import calibrate_checkpoint, cut_clips, softmax
from ..embeddings.inference import forward_log_mels
from ..embeddings.metrics import (
    classification_metrics,
    expected_calibration_error,
    percent_interval,
    speaker_interval,
)
from ..features.store import FeatureStore, prepare
from ..files import replacing, write_table
from ..network.accent_net import AccentNet
from ..network.checkpoint import save_checkpoint
from ..training.loop import Trainer, few_updates
from .baselines import best_baseline, classical_predictions, reading_predictions
from .compare import check_budget

NETWORK, READING = "network", "reading_lda"  # the other methods are classical baselines


def cross_validate(
    data: str | Path,
    config: Config,
    out_dir: str | Path,
    *,
    folds: int = 5,
    tested: Sequence[int] | None = None,
    seeds: Sequence[int] = (1,),
    readings: str | Path | None = None,
    text_column: str = "sentence",
    final: bool = False,
    progress: bool = True,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Train and test on every fold.

    Parameters
    ----------
    data : str or Path
        A corpus (:func:`accentlib.read_corpus`); its own split does not count.
    config : Config
        The seed is given by ``seeds``.
    out_dir : str or Path
        Receives the features, a folder a training, ``predictions.csv`` and ``crossvalidation.json``. What
        is there already is not trained again.
    folds : int
        Parts that the speakers are dealt into, at most as many as each accent has speakers. Of those that a fold
        does not test, one in eight of each accent (at least one) are validated on.
    tested : sequence of int, optional
        The folds that are tested, from 0; all by default.
    seeds : sequence of int
        A training each, in every fold.
    readings : str or Path, optional
        Readings of the corpus's texts (:func:`accentlib.align`): the phones for ``phone_weight``, and for
        the baseline that knows the text, are found anew in each fold without its test speakers.
    text_column : str
        As for :func:`accentlib.align`.
    final : bool
        Then train once more, with the first seed, on everyone but one in eight speakers of each accent (at least
        one), who are validated on: the model to use, in ``out_dir/final/model.pt``. It is tested on nobody; the
        folds say what to expect of it.

    Returns
    -------
    predictions : pandas.DataFrame
        A row an answer: method, fold, seed, unit (clip or recording), path, speaker, accent, predicted, and for
        the network the probability of each accent, before (``raw:``) and after (``p:``) calibration.
    figures : dict
        As :func:`figures_of` gives them.

    Raises InputError if the configuration or the corpus cannot be used.
    """
    if config.phone_weight and readings is None:
        raise InputError("phone_weight needs readings of the corpus's texts; give --readings")
    everyone = read_corpus(data, split=False)
    check_corpus(everyone, name=str(data))
    tested = range(folds) if tested is None else tested
    for fold in tested:
        fold_splits(everyone, fold, folds)  # refuses what cannot be done before anything is computed
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    check_budget(out_dir / "budget.json", data, config, folds=folds)
    config, store = prepare(everyone, config, out_dir / "features")
    everyone = store.keep(everyone)
    for problem in store.problems.values() if progress else ():
        print(f"left out: {problem}", file=sys.stderr)
    parts = []
    for fold in tested:
        table, phones = fold_splits(everyone, fold, folds), None
        folder = out_dir / f"fold{fold}"
        wanted = {seed: folder / f"seed{seed}.csv" for seed in seeds}
        simple = folder / "baselines.csv"
        if not all(file.is_file() for file in (*wanted.values(), simple)):
            folder.mkdir(parents=True, exist_ok=True)
            phones = _fold_phones(folder / "phones.csv", table, readings, text_column, progress)
        for seed, file in wanted.items():
            if not file.is_file():
                if progress:
                    print(f"fold {fold}, seed {seed}", file=sys.stderr)
                trainer = Trainer(
                    table, config.replace(seed=seed), folder / f"seed{seed}", phones=phones, progress=progress,
                    features_dir=out_dir / "features",
                )  # fmt: skip
                write_table(file, _train_and_answer(trainer).assign(seed=seed))
                if progress and (few := few_updates(trainer.step)):
                    print(few, file=sys.stderr)
            parts.append(read_predictions(file).assign(fold=fold))
        if not simple.is_file():
            one_text = text_column not in table or table[text_column].nunique() == 1
            write_table(simple, _baseline_answers(store, table, config, phones if one_text else None))
        parts.append(read_predictions(simple).assign(fold=fold, seed=0))
    if final and not (out_dir / "final" / "model.pt").is_file():
        _train_final(everyone, config.replace(seed=seeds[0]), out_dir, readings, text_column, progress)
    predictions = pd.concat(parts, ignore_index=True)
    write_table(out_dir / "predictions.csv", predictions)
    figures = figures_of(predictions)
    with replacing(out_dir / "crossvalidation.json") as temporary:
        temporary.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return predictions, figures


def read_predictions(file: str | Path) -> pd.DataFrame:
    """A table of answers; "None" and "NA" may be names, only what is empty is missing."""
    return pd.read_csv(file, dtype={"speaker": str}, keep_default_na=False, na_values=[""])


def _fold_phones(
    file: Path, table: pd.DataFrame, readings: str | Path | None, text_column: str, progress: bool
) -> pd.DataFrame | None:
    """The phones of every clip, found with the means of this fold's training speakers; kept in ``file``."""
    if readings is None:
        return None
    if not file.is_file():
        write_table(file, align(table, readings, text_column=text_column, progress=progress)[0])
    return read_phones(file)


def _train_calibrated(trainer: Trainer) -> AccentNet:
    """Train, or go on with a training that was stopped; the best model, calibrated on validation."""
    if (trainer.out_dir / "last.pt").is_file():
        trainer.resume(trainer.out_dir / "last.pt")
    trainer.train()
    validation = select(trainer.table, "validation")
    return calibrate_checkpoint(trainer.out_dir / "best.pt", validation, trainer.store, trainer.device)


def _train_final(
    everyone: pd.DataFrame,
    config: Config,
    out_dir: Path,
    readings: str | Path | None,
    text_column: str,
    progress: bool,
) -> None:
    """The model to use: trained on all speakers but those that it is validated on."""
    table = everyone.assign(split=np.where(validation_rows(everyone), "validation", "train"))
    folder = out_dir / "final"
    folder.mkdir(exist_ok=True)
    phones = _fold_phones(folder / "phones.csv", table, readings, text_column, progress)
    options = {"phones": phones, "progress": progress, "features_dir": out_dir / "features"}
    model = _train_calibrated(Trainer(table, config, folder, **options))
    save_checkpoint(folder / "model.pt", model.cpu())  # without what only training needs: to be handed on


def _train_and_answer(trainer: Trainer) -> pd.DataFrame:
    """Train; what the network says of the test speakers, by clip and by recording."""
    model, test = _train_calibrated(trainer), select(trainer.table, "test")
    log_mels = [trainer.store[path] for path in test["path"]]
    clips, of_recording = cut_clips(log_mels, model.config)
    units = {"clip": (clips, test.iloc[of_recording]), "recording": (log_mels, test)}
    return pd.concat([_network_answers(model, *pair).assign(unit=unit) for unit, pair in units.items()])


def _network_answers(model: AccentNet, log_mels: list[np.ndarray], rows: pd.DataFrame) -> pd.DataFrame:
    """Answers and probabilities, before and after calibration, a row a clip."""
    _, logits = forward_log_mels(model, log_mels)
    answers = rows[["path", "speaker", "accent"]].reset_index(drop=True)
    answers = answers.assign(method=NETWORK, predicted=np.array(model.labels)[logits.argmax(axis=1)])
    for kind, temperature in (("raw", 1.0), ("p", model.calibration.temperature)):
        names = [f"{kind}:{label}" for label in model.labels]
        answers[names] = softmax(logits, temperature).round(5)
    return answers.assign(
        unsure=softmax(logits, model.calibration.temperature).max(axis=1) < model.calibration.unsure_below
    )


def _baseline_answers(
    store: FeatureStore, table: pd.DataFrame, config: Config, phones: pd.DataFrame | None
) -> pd.DataFrame:
    """What the classical baselines say, each trained on the same unit (clip or recording) that it is tested on."""
    clips, of_recording = cut_clips([store[path] for path in table["path"]], config)
    cut = table.iloc[of_recording].reset_index(drop=True)
    cut = cut.assign(recording=cut["path"], path=[f"{path}#{i}" for i, path in enumerate(cut["path"])])
    units = {"clip": (dict(zip(cut["path"], clips, strict=True)), cut), "recording": (store, table)}
    parts = []
    for unit, (log_mels, rows) in units.items():
        train, test = rows[rows["split"] == "train"], rows[rows["split"] == "test"]
        answers = classical_predictions(log_mels, train, test)
        if phones is not None and unit == "recording":
            answers[READING] = reading_predictions(log_mels, train, test, phones, config)
        paths = test["recording"] if unit == "clip" else test["path"]
        for method, predicted in answers.items():
            rows_of = {"path": paths, "speaker": test["speaker"], "accent": test["accent"]}
            parts.append(pd.DataFrame(rows_of).assign(method=method, unit=unit, predicted=predicted))
    return pd.concat(parts)


def by_speaker(answers: pd.DataFrame) -> pd.DataFrame:
    """A row a speaker of one method and seed: the answer that the recordings' probabilities add up to, or most give."""
    rows = answers[answers["unit"] == "recording"]
    names = [name for name in rows.columns if name.startswith("p:")]
    summed = rows.groupby(["speaker", "accent"])[names].mean()
    if summed.notna().all(axis=None) and names:
        predicted = summed.idxmax(axis=1).str.removeprefix("p:")
    else:
        predicted = rows.groupby(["speaker", "accent"])["predicted"].agg(lambda x: x.mode().iloc[0])
    return predicted.rename("predicted").reset_index()


def figures_of(predictions: pd.DataFrame) -> dict[str, Any]:
    """Figures of a cross-validation, by unit and method.

    Returns
    -------
    dict
        ``speakers``, ``accents``, ``chance``, ``few_speakers`` (:func:`accentlib.corpora.splits.few_speakers`),
        ``worse_than_baseline`` (in any unit, than what is not told the text); then ``clip`` and ``speaker``, for each method
        balanced_accuracy and macro_f1 (means over seeds), ``interval`` (95 % of balanced accuracy, by bootstrap
        over speakers) and ``seeds``; ``calibration``: the network's expected calibration error by unit, before and
        after; ``unsure``: the share of clips it is unsure of, and the accuracy on the others.
    """
    labels = sorted(set(predictions["accent"]))
    speakers = predictions.drop_duplicates(["speaker", "accent"])
    figures: dict[str, Any] = {
        "speakers": speakers["speaker"].nunique(),
        "accents": len(labels),
        "chance": 1 / len(labels),
        "few_speakers": few_speakers(speakers),
        "clip": {},
        "speaker": {},
    }
    for method, answers in predictions.groupby("method", sort=False):
        of_seeds = {seed: own for seed, own in answers.groupby("seed")}
        for unit in ("clip", "speaker"):
            tables = [
                by_speaker(own) if unit == "speaker" else own[own["unit"] == "clip"].reset_index(drop=True)
                for own in of_seeds.values()
            ]
            if len(tables[0]):
                figures[unit][method] = _mean_figures(tables, labels)
    figures["worse_than_baseline"] = any(map(_lost, (figures["clip"], figures["speaker"])))
    network = predictions[predictions["method"] == NETWORK]
    figures["calibration"] = {
        unit: {
            when: expected_calibration_error(*_probabilities(rows, kind, labels))
            for when, kind in (("before", "raw"), ("after", "p"))
        }
        for unit, rows in network.groupby("unit")
    }
    clips = network[network["unit"] == "clip"]
    sure = clips[~clips["unsure"].astype(bool)]
    figures["unsure"] = {
        "share": float(clips["unsure"].mean()),
        "accuracy_when_sure": float((sure["predicted"] == sure["accent"]).mean()) if len(sure) else None,
        "accuracy_of_all": float((clips["predicted"] == clips["accent"]).mean()),
    }
    return figures


def _probabilities(rows: pd.DataFrame, kind: str, labels: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities ``(clips, accents)`` and true class numbers ``(clips,)``."""
    truth = np.array([labels.index(accent) for accent in rows["accent"]])
    return rows[[f"{kind}:{label}" for label in labels]].to_numpy(), truth


def _mean_figures(tables: list[pd.DataFrame], labels: list[str]) -> dict[str, Any]:
    """Means over trainings of one method, and an interval; the tables have the same rows, one a training."""
    each = [classification_metrics(table["accent"], table["predicted"], labels) for table in tables]
    first = tables[0]
    predicted = np.stack([table["predicted"] for table in tables], axis=1)  # (rows, trainings)
    return {
        "balanced_accuracy": float(np.mean([x["balanced_accuracy"] for x in each])),
        "macro_f1": float(np.mean([x["macro_f1"] for x in each])),
        "interval": [*speaker_interval(first["accent"].to_numpy(), predicted, first["speaker"])],
        "seeds": len(tables),
    }


def _lost(of_methods: dict[str, dict[str, Any]]) -> str:
    """To which baseline the network loses, of those that are not told the text, and by what; or nothing."""
    accuracy = {name: x["balanced_accuracy"] for name, x in of_methods.items()}
    simple = {name: x for name, x in accuracy.items() if name not in (NETWORK, READING)}
    if NETWORK not in accuracy or not simple:
        return ""
    name, best = best_baseline(simple)
    return f"{name}: {100 * accuracy[NETWORK]:.1f} against {best:.1%}" if accuracy[NETWORK] < best else ""


def report_figures(figures: dict[str, Any]) -> str:
    """The figures as text: a row a method, clips and speakers side by side."""
    rows = {}
    for unit in ("clip", "speaker"):
        for method, x in figures[unit].items():
            accuracy = percent_interval(x["balanced_accuracy"], x["interval"])
            rows.setdefault(method, {})[f"balanced accuracy a {unit}"] = accuracy
            rows[method][f"macro F1 a {unit}"] = f"{x['macro_f1']:.1%}"
    table = pd.DataFrame.from_dict(rows, orient="index").fillna("")
    calibration = ", ".join(
        f"{unit}s {x['before']:.1%} before, {x['after']:.1%} after"
        for unit, x in figures["calibration"].items()
    )
    unsure = figures["unsure"]
    when_sure = unsure["accuracy_when_sure"]
    lines = [
        *(
            f"of a {unit}, worse than {lost}; do not use this model"
            for unit in ("clip", "speaker")
            if (lost := _lost(figures[unit]))
        ),
        *([f"this {figures['few_speakers']}"] if figures["few_speakers"] else []),
        table.to_string(),
        f"{counted(figures['speakers'], 'unseen speaker')}, {figures['accents']} accents; chance"
        f" {figures['chance']:.1%}; in brackets 95 % by bootstrap over speakers",
        f"expected calibration error: {calibration}",
        f"unsure of {unsure['share']:.0%} of clips; right in {unsure['accuracy_of_all']:.1%} of all"
        + ("" if when_sure is None else f", and in {when_sure:.1%} of those that it is sure of"),
    ]
    return "\n".join(lines)
