"""The command line: ``accentlib`` or ``python -m accentlib``."""

import argparse
import dataclasses
import itertools
import json
import sys
from pathlib import Path

from ..config import FEATURE_FIELDS, FINETUNING, MODEL_FIELDS, PRESETS, Config, InputError, counted
from ..files import is_file, replacing, write_table
from .flags import LISTS

WHAT_THEY_ARE = {  # the models that come with the package
    "real_speech": "says which of nine first languages a reader of English resembles; it is often wrong, and no test of"
    " origin; it learned from 336 people of the Speech Accent Archive, whom it knows too well",
    "accents_mini": "learned six caricatures by synthetic voices, and names one of them for any phone",
}


NEEDS = {  # what a verb needs, where it is more than --data
    "train": "--data, or --train_labels_path and --valid_labels_path",
    "finetune": "--checkpoint, and --data, or --train_labels_path and --valid_labels_path",
    "features": "--data, or -i",
}


def config_flags(arguments: argparse.Namespace) -> dict:
    """The fields of the configuration that the call names."""
    return {f.name: getattr(arguments, f.name) for f in dataclasses.fields(Config) if f.name in arguments}


def settings(arguments: argparse.Namespace) -> tuple[Config, Path, Path | None]:
    """The configuration, out_dir, and the checkpoint to go on from, if any, of the verbs that make features."""
    flags = config_flags(arguments)
    labels = getattr(arguments, "train_labels_path", None)
    if labels and arguments.data:
        raise InputError(f"{arguments.verb} needs --data (or --train_labels_path), not both")
    if not labels and not arguments.data:
        raise InputError(f"{arguments.verb} needs {NEEDS.get(arguments.verb, '--data')}")
    resume, requeue = getattr(arguments, "resume", False), getattr(arguments, "requeue", False)
    out_dir, last = Path(arguments.out_dir) if arguments.out_dir else None, None
    if resume or requeue:
        if out_dir is None:
            raise InputError("--resume needs the --out_dir of the run to go on with")
        last = out_dir / "last.pt"
        if not (resume or last.exists()):
            last = published_checkpoint(out_dir, labels)
    base = PRESETS["paper" if last else arguments.preset or ("paper" if labels else "laptop")]().to_dict()
    if getattr(arguments, "valid_clients", None) and not arguments.valid_labels_path:
        base["criterion"] = "eer"  # the speaker version validates on pairs alone
    if last:
        from ..network.checkpoint import read_training

        return Config.from_dict(base | read_training(last)["config"] | flags), out_dir, last
    if arguments.verb == "finetune":
        if not arguments.checkpoint:
            raise InputError("finetune needs --checkpoint, the model to begin with")
        base |= _architecture(arguments.checkpoint) | FINETUNING.get(arguments.preset, {})
    config = Config.from_dict(base | flags)
    if out_dir is None:
        data = Path(arguments.data or labels).absolute()
        return config, free_folder(Path("runs"), data.parent.name if data.is_file() else data.name), None
    if arguments.verb not in ("features", "compare", "crossvalidate") and (out_dir / "last.pt").exists():
        raise InputError(
            f"{out_dir} holds a run already; go on with it by --resume, or name another --out_dir"
        )
    return config, out_dir, None


def published_checkpoint(out_dir: Path, labels: str | None) -> Path | None:
    """The newest ``.chkpt`` of the published trainer in ``out_dir``, or None.

    Raises InputError if there is one, and no label file: it knows its accents by their numbers alone.
    """
    newest = max(out_dir.glob("*.chkpt"), key=lambda path: path.stat().st_mtime_ns, default=None)
    if newest and not labels:
        raise InputError(
            f"{newest}: cannot go on with --data, for its accents have numbers, not names;"
            " give --train_labels_path, or take its weights by accentlib finetune --checkpoint"
        )
    return newest


def _architecture(checkpoint: str) -> dict:
    """What a fine-tuned model has in common with the one it begins with."""
    from ..network.checkpoint import load_model

    config = load_model(checkpoint).config
    return {name: getattr(config, name) for name in (*FEATURE_FIELDS, "normalization", *MODEL_FIELDS)}


def make_trainer(arguments: argparse.Namespace, config: Config, out_dir: Path):
    """The training run that was asked for: on a corpus or on label files."""
    from ..corpora.phones import wanted_phones
    from ..corpora.table import read_corpus
    from ..published.lists import label_corpus, read_pairs
    from ..training.loop import Trainer

    sources = {name: value for name in ("data", *LISTS) if (value := getattr(arguments, name))}
    if arguments.data:
        table = read_corpus(arguments.data, seed=config.seed)
        found = table["accent"].nunique()
        if arguments.num_accents not in (None, found):
            raise InputError(f"{arguments.data}: has {found} accents, not {arguments.num_accents}")
        phones = wanted_phones(arguments.data, config, arguments.phones)
        return Trainer(table, config, out_dir, phones=phones, sources=sources)
    if not (arguments.valid_labels_path or arguments.valid_clients):
        raise InputError(
            "nothing to validate on; give --valid_labels_path, or --valid_clients and -impostors"
        )
    table, labels = label_corpus(
        arguments.train_labels_path,
        arguments.valid_labels_path,
        arguments.train_data_dir,
        arguments.valid_data_dir,
        arguments.label_names,
        num_accents=arguments.num_accents,
    )
    pairs = None
    if arguments.valid_clients or arguments.valid_impostors:
        if not (arguments.valid_clients and arguments.valid_impostors):
            raise InputError("--valid_clients and --valid_impostors are needed both")
        pairs = read_pairs(arguments.valid_clients, arguments.valid_impostors, arguments.valid_data_dir)
    return Trainer(table, config, out_dir, labels=labels, pairs=pairs, sources=sources)


def free_folder(parent: Path, name: str) -> Path:
    """``parent/name``, or ``parent/name-2`` and so on: the first that holds no run."""
    candidates = (parent / (f"{name}-{i}" if i > 1 else name) for i in itertools.count(1))
    return next(folder for folder in candidates if not (folder / "last.pt").exists())


def output_file(arguments: argparse.Namespace, suffix: str) -> Path:
    """The file to write. What is there under another suffix is no earlier result: ``--output *.wav`` names a recording.

    Raises InputError if there is such a file.
    """
    output = Path(arguments.output)
    if output.exists() and output.suffix.lower() != suffix:
        raise InputError(f"{output} is there already, and is no {suffix}; name another --output")
    return output


def report(problems: dict[str, str]) -> int:
    """Name the files that could not be used, one by one; the exit status."""
    for line in problems.values():
        print(line, file=sys.stderr)
    if problems:
        print(f"{counted(len(problems), 'file')} could not be used (named above)", file=sys.stderr)
    return 1 if problems else 0


def do_corpus(arguments: argparse.Namespace) -> int:
    """accentlib corpus KIND"""
    from ..corpora.make import join_corpora, make_corpus
    from ..corpora.sources import from_folder, from_table, read_accent_names
    from ..corpora.survey import count_problems

    if arguments.kind == "join":
        joined = join_corpora(arguments.data, arguments.output, seed=arguments.seed)
        print(f"{arguments.output}: {counted(len(joined), 'clip')}", file=sys.stderr)
        return 0
    columns = {name: value for name, value in vars(arguments).items() if name.endswith("_column") and value}
    note = ""
    if arguments.kind == "from-folder":
        listing = from_folder(arguments.source, **columns)
    elif arguments.kind == "from-table":
        columns["speaker_column"] = arguments.speaker_column  # "": who speaks is not known
        listing = from_table(arguments.source, audio_dir=arguments.audio_dir, **columns)
    else:
        from ..corpora.known import KNOWN, read_known

        listing, note = read_known(arguments.kind, arguments.source, **columns), KNOWN[arguments.kind].note
    names = read_accent_names(arguments.accent_names) if arguments.accent_names else None
    options = {name: getattr(arguments, name) for name in ("seed", "min_seconds", "min_speakers")}
    table, report = make_corpus(listing, arguments.output, accent_names=names, note=note, **options)
    use = "use it as --data" if "split" in table else "as it is, it cannot be trained on"
    print(f"{arguments.output}: {use}; report.json is in it", file=sys.stderr)
    return 1 if count_problems(report) else 0


def do_align(arguments: argparse.Namespace) -> int:
    """accentlib align"""
    from ..corpora.align import align
    from ..corpora.table import read_corpus

    output = output_file(arguments, ".csv")
    table = read_corpus(arguments.data, seed=arguments.seed)
    phones, problems = align(table, arguments.readings, text_column=arguments.text_column)
    write_table(output, phones)
    print(
        f"{counted(len(phones), 'phone')} of {counted(phones['path'].nunique(), 'clip')}: {output}",
        file=sys.stderr,
    )
    return report(problems)


def do_run(arguments: argparse.Namespace) -> int:
    """accentlib run"""
    from ..experiments.run import run, summary

    config, out_dir, last = settings(arguments)
    metrics = run(arguments.data, config, out_dir, phones=arguments.phones, resume=last is not None)
    print(summary(metrics, out_dir), file=sys.stderr)
    return report(metrics["problems"])


def do_features(arguments: argparse.Namespace) -> int:
    """accentlib features"""
    if arguments.list:
        return extract(arguments)
    from ..corpora.table import read_corpus
    from ..features.store import prepare

    config, out_dir, _ = settings(arguments)
    table = read_corpus(arguments.data, seed=config.seed)
    _, store = prepare(table, config, out_dir / "features", scheduler=arguments.scheduler)
    print(f"features are in {store.folder}", file=sys.stderr)
    return report(store.problems)


def extract(arguments: argparse.Namespace) -> int:
    """accentlib features -i LIST"""
    from ..published.lists import extract_list

    if arguments.data or arguments.out_dir:
        raise InputError("features takes -i or --data; with -i they are written beside the audio files")
    config = PRESETS[arguments.preset or "paper"](**config_flags(arguments))
    extracted, unchanged, problems = extract_list(arguments.list, config, scheduler=arguments.scheduler)
    print(f"{counted(extracted, 'file')} extracted, {unchanged} unchanged", file=sys.stderr)
    return report(problems)


def do_train(arguments: argparse.Namespace) -> int:
    """accentlib train"""
    from ..training.loop import few_updates
    from ..training.processes import connect, disconnect, rank

    connect()
    config, out_dir, last = settings(arguments)
    trainer = make_trainer(arguments, config, out_dir)
    if last:
        trainer.resume(last)
    elif arguments.verb == "finetune":
        trainer.start_from(arguments.checkpoint)
    trainer.train()
    first = rank() == 0
    disconnect()
    if not first:
        return 0
    best = f"EER {1 - trainer.best:.1%}" if config.criterion == "eer" else f"macro F1 {trainer.best:.1%}"
    if arguments.verb == "train" and (few := few_updates(trainer.step)):
        print(few, file=sys.stderr)
    print(f"best validation {best}: {out_dir / 'best.pt'}", file=sys.stderr)
    return report(trainer.store.problems)


do_finetune = do_train


def do_compare(arguments: argparse.Namespace) -> int:
    """accentlib compare"""
    from ..experiments.compare import compare, draw_comparison, report_comparison

    config, out_dir, _ = settings(arguments)
    rows = compare(arguments.data, config, out_dir, seeds=arguments.seeds)
    print(report_comparison(rows))
    draw_comparison(rows, out_dir)
    return 0


def do_crossvalidate(arguments: argparse.Namespace) -> int:
    """accentlib crossvalidate"""
    from ..experiments.crossvalidate import cross_validate, report_figures

    config, out_dir, _ = settings(arguments)
    options = {
        name: getattr(arguments, name)
        for name in ("folds", "tested", "seeds", "readings", "text_column", "final")
    }
    _, figures = cross_validate(arguments.data, config, out_dir, **options)
    print(report_figures(figures))
    print(
        f"these figures: {out_dir / 'crossvalidation.json'}; every answer: predictions.csv beside it",
        file=sys.stderr,
    )
    return 0


def _model(arguments: argparse.Namespace):
    from ..device import get_device
    from ..network.checkpoint import load_model

    name = arguments.checkpoint or "real_speech"
    if name in WHAT_THEY_ARE and not is_file(name):
        print(f"{name}: {WHAT_THEY_ARE[name]}", file=sys.stderr)
    model = load_model(name).to(get_device(arguments.device))
    changes = {name: getattr(arguments, name) for name in ("sample_rate", "n_fft", "evaluation_window")}
    model.config = model.config.replace(**{k: value for k, value in changes.items() if value is not None})
    return model


def do_evaluate(arguments: argparse.Namespace) -> int:
    """accentlib evaluate"""
    from ..experiments.run import evaluate, warnings_of
    from ..published.evaluate import evaluate_labels

    if (arguments.data is None) == (arguments.labels_path is None):
        raise InputError("evaluate needs either --data or --labels_path")
    model = _model(arguments)
    if arguments.data:
        metrics = evaluate(model, arguments.data, arguments.split)
    else:
        metrics = evaluate_labels(model, arguments.labels_path, arguments.data_dir, arguments.label_names)
    for line in warnings_of(metrics):
        print(line, file=sys.stderr)
    print(json.dumps(metrics, indent=2))
    return report(metrics["problems"])


def recordings(names: list[str]) -> list[str]:
    """The files that are named, and for a folder the recordings in it.

    Raises InputError if a folder has none.
    """
    from ..corpora.sources import FOREIGN_SUFFIXES, files_in
    from ..features.audio import AUDIO_SUFFIXES

    files = []
    for name in names:
        inside = [name]
        if Path(name).is_dir():
            known = (*AUDIO_SUFFIXES, *FOREIGN_SUFFIXES)  # what cannot be read is named as such
            inside = [str(path) for path in files_in(Path(name)) if path.suffix.lower() in known]
            if not inside:
                raise InputError(f"{name}: no audio files in it")
        files += inside
    return files


def do_embed(arguments: argparse.Namespace) -> int:
    """accentlib embed"""
    import numpy as np

    from ..corpora.table import read_corpus
    from ..embeddings.inference import infer

    files = recordings([*arguments.files, *filter(None, [arguments.audioPath])])
    if bool(files) == bool(arguments.data):
        raise InputError("embed needs either audio files or --data")
    output = output_file(arguments, ".npz") if arguments.output else None
    if output and output.suffix.lower() in (".csv", ".tsv", ".txt", ".json"):
        raise InputError(
            f"{output}: embeddings are written as .npz (numpy.load reads it); without --output as text"
        )
    files = files or list(read_corpus(arguments.data, split=False)["path"])
    answers = infer(_model(arguments), files, scheduler=arguments.scheduler)
    if not output:
        np.savetxt(sys.stdout, answers.embeddings, fmt="%.6g")
        return report(answers.problems)
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as temporary, temporary.open("wb") as file:
        np.savez(file, paths=np.array(answers.ids, dtype=str), embeddings=answers.embeddings)
    return report(answers.problems)


def do_predict(arguments: argparse.Namespace) -> int:
    """accentlib predict"""
    from ..embeddings.inference import infer, prediction_table

    model = _model(arguments)
    answers = infer(model, recordings(arguments.files))
    prediction_table(model, answers).to_csv(sys.stdout, index=False)
    return report(answers.problems)


def do_score(arguments: argparse.Namespace) -> int:
    """accentlib score"""
    from ..published.evaluate import score_pairs
    from ..published.lists import read_pairs

    output = output_file(arguments, ".csv") if arguments.output else None
    pairs = read_pairs(arguments.clients, arguments.impostors, arguments.data_dir, audio=True)
    scored, figures, problems = score_pairs(_model(arguments), pairs)
    if output:
        write_table(output, scored)
    print(json.dumps(figures, indent=2))
    return report(problems)


def do_map(arguments: argparse.Namespace) -> int:
    """accentlib map"""
    import pandas as pd

    from ..corpora.table import corpus_note, read_corpus, select
    from ..interactive.map_page import accent_map

    output = output_file(arguments, ".html")
    table = read_corpus(arguments.data, split=False)
    if arguments.split:
        table = pd.concat([select(table, split) for split in arguments.split])
    name = Path(arguments.data).absolute()
    title = f"Accents of {(name.parent if name.is_file() else name).name}"
    note = corpus_note(arguments.data)
    size = {"megabytes": arguments.megabytes}
    problems = accent_map(_model(arguments), table, output, title=title, note=note, **size)
    print(f"{output}: open it in a browser", file=sys.stderr)
    return report(problems)
