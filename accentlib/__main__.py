"""The command line: ``accentlib`` or ``python -m accentlib``."""

import argparse
import dataclasses
import itertools
import json
import sys
from pathlib import Path
from typing import NoReturn

from .config import FEATURE_FIELDS, MODEL_FIELDS, PRESETS, PUBLISHED_NAMES, Config, InputError


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the usage of all options."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the call, and leave."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def spellings(name: str) -> list[str]:
    """The flags of an option: with underscores, with hyphens, and the published trainer's spelling."""
    published = [theirs for theirs, ours in PUBLISHED_NAMES.items() if ours == name]
    return [f"--{text}" for text in dict.fromkeys([name, name.replace("_", "-"), *published])]


def add_config_flags(parser: argparse.ArgumentParser, without: tuple[str, ...] = ()) -> None:
    """A flag for each field of :class:`Config`."""
    group = parser.add_argument_group("configuration (defaults: those of the preset)")
    for field in dataclasses.fields(Config):
        if field.name in without:
            continue
        kind: dict = {"type": field.type, "choices": field.metadata["choices"]}
        if field.type is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        text = field.metadata["help"].replace("%", "%%")
        names = spellings(field.name)
        group.add_argument(*names, dest=field.name, default=argparse.SUPPRESS, help=text, **kind)


def add_paths(parser: argparse.ArgumentParser, paths: dict[str, str]) -> None:
    """A flag for each path, with underscores or hyphens."""
    for name, text in paths.items():
        parser.add_argument(*spellings(name), help=text)


CORPUS = "folder with a manifest.csv: path, accent, speaker, split"
LISTS = {
    "train_labels_path": "label file: path without extension, label 0..N-1, -1",
    "valid_labels_path": "the same for validation",
    "train_data_dir": "folder before each path of the first",
    "valid_data_dir": "folder before each path of the second, and of the pairs",
    "label_names": "CSV table (label, name) that names labels; those of one name are merged",
    "valid_clients": "pairs of paths that belong together, to validate EER on",
    "valid_impostors": "pairs of paths that do not",
}


def make_parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    parser = Parser(prog="accentlib", description="Learn accents from speech.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text in {
        "run": "features, training, evaluation, embeddings and pictures of a corpus",
        "features": "compute the log-mels of a corpus, or of the audio files of a list",
        "train": "train on a corpus, or on label files",
        "finetune": "train from a checkpoint on, on other accents",
        "compare": "train every pooling with several seeds; macro F1 and EER on unseen speakers",
    }.items():
        sub = verbs.add_parser(verb, help=text, description=text)
        sub.add_argument("--data", help=CORPUS)
        sub.add_argument(*spellings("out_dir"), help="where everything is written; default runs/NAME")
        presets = "default: laptop; for label files: paper"
        sub.add_argument("--preset", choices=list(PRESETS), help=presets)
        if verb == "features":
            names = ("-i", "--list", "--audioFilesList")
            sub.add_argument(*names, dest="list", help="audio paths; features are written beside them")
        if verb == "compare":
            sub.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="default: 1 2 3")
        if verb == "finetune":
            sub.add_argument("--checkpoint", required=True, help="the model to begin with")
        if verb in ("train", "finetune"):
            add_paths(sub.add_argument_group("label files, instead of --data"), LISTS)
        if verb in ("run", "train", "finetune"):
            sub.add_argument("--resume", action="store_true", help="go on from last.pt in out_dir")
            sub.add_argument("--requeue", action="store_true", help="the same; where there is none, begin")
        add_config_flags(sub, without=("pooling_method", "seed") if verb == "compare" else ())
    for verb, text in {
        "evaluate": "figures of a checkpoint on a split, as JSON",
        "embed": "embeddings of audio files, as an .npz file",
        "predict": "accent and probability of audio files, as CSV",
        "score": "cosine scores of pairs, EER and minDCF, as JSON",
    }.items():
        sub = verbs.add_parser(verb, help=text, description=text)
        sub.add_argument("--checkpoint", required=True, help="a .pt of a run, or a published .chkpt")
        sub.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
        sub.add_argument("--n_fft", "--n-fft", type=int, help="for a published .chkpt, if not 512")
        if verb == "evaluate":
            sub.add_argument("--data", required=True, help="folder with a manifest.csv")
            sub.add_argument("--split", default="test", help="train, validation or test (default)")
        if verb == "score":
            for name in ("clients", "impostors"):
                sub.add_argument(f"--{name}", required=True, help="text file, two paths a line")
            sub.add_argument(*spellings("data_dir"), help="folder before each path")
            sub.add_argument("--output", help="CSV file to write: a, b, client, score")
        if verb == "embed":
            sub.add_argument("--output", required=True, help="the .npz file to write: paths, embeddings")
        if verb in ("embed", "predict"):
            sub.add_argument(
                "files", nargs="+", metavar="FILE", help="audio that soundfile reads, or a .pickle"
            )
    return parser


def settings(arguments: argparse.Namespace) -> tuple[Config, Path, Path | None]:
    """The configuration, out_dir, and the checkpoint to go on from, if any, of the verbs that make features."""
    flags = {f.name: getattr(arguments, f.name) for f in dataclasses.fields(Config) if f.name in arguments}
    labels = getattr(arguments, "train_labels_path", None)
    if (labels is None) == (arguments.data is None):
        either = " (or --train_labels_path)" if "train_labels_path" in arguments else ""
        raise InputError(f"{arguments.verb} needs --data{either}" + (", not both" if labels else ""))
    resume, requeue = getattr(arguments, "resume", False), getattr(arguments, "requeue", False)
    out_dir = Path(arguments.out_dir) if arguments.out_dir else None
    if resume or requeue:
        from .checkpoint import read_checkpoint

        if out_dir is None:
            raise InputError("--resume needs the --out_dir of the run to go on with")
        last = out_dir / "last.pt"
        if resume or last.exists():
            return Config.from_dict(read_checkpoint(last)["config"] | flags), out_dir, last
    base = PRESETS[arguments.preset or ("paper" if labels else "laptop")]().to_dict()
    if arguments.verb == "finetune":
        base |= _architecture(arguments.checkpoint)
    elif getattr(arguments, "valid_clients", None) and not arguments.valid_labels_path:
        base["criterion"] = "eer"  # the speaker version validates on pairs alone
    config = Config.from_dict(base | flags)
    if out_dir is None:
        data = Path(arguments.data or labels).absolute()
        return config, free_folder(Path("runs"), data.parent.name if data.is_file() else data.name), None
    if arguments.verb not in ("features", "compare") and (out_dir / "last.pt").exists():
        raise InputError(
            f"{out_dir} holds a run already; go on with it by --resume, or name another --out_dir"
        )
    return config, out_dir, None


def _architecture(checkpoint: str) -> dict:
    """What a fine-tuned model has in common with the one it begins with."""
    from .checkpoint import load_model

    config = load_model(checkpoint).config
    return {name: getattr(config, name) for name in (*FEATURE_FIELDS, "normalization", *MODEL_FIELDS)}


def make_trainer(arguments: argparse.Namespace, config: Config, out_dir: Path):
    """The training run that was asked for: on a corpus or on label files."""
    from .corpus import read_corpus
    from .lists import label_corpus, read_pairs
    from .training import Trainer

    if arguments.data:
        return Trainer(read_corpus(arguments.data, seed=config.seed), config, out_dir)
    table, labels = label_corpus(
        arguments.train_labels_path,
        arguments.valid_labels_path,
        arguments.train_data_dir,
        arguments.valid_data_dir,
        arguments.label_names,
    )
    pairs = None
    if arguments.valid_clients or arguments.valid_impostors:
        if not (arguments.valid_clients and arguments.valid_impostors):
            raise InputError("--valid_clients and --valid_impostors are needed both")
        pairs = read_pairs(arguments.valid_clients, arguments.valid_impostors, arguments.valid_data_dir)
    return Trainer(table, config, out_dir, labels=labels, pairs=pairs)


def free_folder(parent: Path, name: str) -> Path:
    """``parent/name``, or ``parent/name-2`` and so on: the first that holds no run."""
    candidates = (parent / (f"{name}-{i}" if i > 1 else name) for i in itertools.count(1))
    return next(folder for folder in candidates if not (folder / "last.pt").exists())


def report(problems: dict[str, str]) -> int:
    """Name the files that could not be used, one by one; the exit status."""
    for line in problems.values():
        print(line, file=sys.stderr)
    if problems:
        print(f"{len(problems)} files could not be used (named above)", file=sys.stderr)
    return 1 if problems else 0


def do_run(arguments: argparse.Namespace) -> int:
    """accentlib run"""
    from .experiment import run, summary

    config, out_dir, last = settings(arguments)
    metrics = run(arguments.data, config, out_dir, resume=last is not None)
    print(summary(metrics, out_dir), file=sys.stderr)
    return report(metrics["problems"])


def do_features(arguments: argparse.Namespace) -> int:
    """accentlib features"""
    if arguments.list:
        return extract(arguments)
    from .corpus import read_corpus
    from .training import prepare

    config, out_dir, _ = settings(arguments)
    _, store = prepare(read_corpus(arguments.data, seed=config.seed), config, out_dir / "features")
    print(f"features are in {store.folder}", file=sys.stderr)
    return report(store.problems)


def extract(arguments: argparse.Namespace) -> int:
    """accentlib features -i LIST"""
    from .lists import extract_list

    if arguments.data or arguments.out_dir:
        raise InputError("features takes -i or --data; with -i they are written beside the audio files")
    flags = {f.name: getattr(arguments, f.name) for f in dataclasses.fields(Config) if f.name in arguments}
    config = PRESETS[arguments.preset or "paper"](**flags)
    extracted, unchanged, problems = extract_list(arguments.list, config)
    print(f"{extracted} files extracted, {unchanged} unchanged", file=sys.stderr)
    return report(problems)


def do_train(arguments: argparse.Namespace) -> int:
    """accentlib train"""
    config, out_dir, last = settings(arguments)
    trainer = make_trainer(arguments, config, out_dir)
    if last:
        trainer.resume(last)
    elif arguments.verb == "finetune":
        trainer.start_from(arguments.checkpoint)
    trainer.train()
    what = "macro F1" if config.criterion == "macro_f1" else "1 - EER"
    print(f"best validation {what} {trainer.best:.1%}: {out_dir / 'best.pt'}", file=sys.stderr)
    return report(trainer.store.problems)


do_finetune = do_train


def do_compare(arguments: argparse.Namespace) -> int:
    """accentlib compare"""
    from .compare import compare, draw_comparison, report_comparison

    config, out_dir, _ = settings(arguments)
    rows = compare(arguments.data, config, out_dir, seeds=arguments.seeds)
    print(report_comparison(rows))
    draw_comparison(rows, out_dir)
    return 0


def _model(arguments: argparse.Namespace):
    from .checkpoint import load_model
    from .device import get_device

    model = load_model(arguments.checkpoint).to(get_device(arguments.device))
    if arguments.n_fft:
        model.config = model.config.replace(n_fft=arguments.n_fft)
    return model


def do_evaluate(arguments: argparse.Namespace) -> int:
    """accentlib evaluate"""
    from .experiment import evaluate

    metrics = evaluate(_model(arguments), arguments.data, arguments.split)
    print(json.dumps(metrics, indent=2))
    return report(metrics["problems"])


def do_embed(arguments: argparse.Namespace) -> int:
    """accentlib embed"""
    import numpy as np

    from .embeddings import listen
    from .files import replacing

    answers = listen(_model(arguments), arguments.files)
    output = Path(arguments.output)
    output.parent.mkdir(parents=True, exist_ok=True)
    with replacing(output) as temporary, temporary.open("wb") as file:
        np.savez(file, paths=np.array(answers.names, dtype=str), embeddings=answers.embeddings)
    return report(answers.problems)


def do_predict(arguments: argparse.Namespace) -> int:
    """accentlib predict"""
    from .embeddings import listen, prediction_table

    model = _model(arguments)
    answers = listen(model, arguments.files)
    prediction_table(model, answers).to_csv(sys.stdout, index=False)
    return report(answers.problems)


def do_score(arguments: argparse.Namespace) -> int:
    """accentlib score"""
    from .experiment import score_pairs
    from .lists import read_pairs

    pairs = read_pairs(arguments.clients, arguments.impostors, arguments.data_dir, audio=True)
    scored, figures, problems = score_pairs(_model(arguments), pairs)
    if arguments.output:
        from .files import replacing

        with replacing(arguments.output) as temporary:
            scored.to_csv(temporary, index=False)
    print(json.dumps(figures, indent=2))
    return report(problems)


def main(argv: list[str] | None = None) -> int:
    """Run one verb; the exit status is 0, 1 (some files could not be used) or 2 (nothing was done)."""
    arguments = make_parser().parse_args(argv)
    try:
        return globals()[f"do_{arguments.verb}"](arguments)
    except (InputError, OSError) as error:
        print(f"accentlib: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\naccentlib: interrupted; --resume goes on from last.pt, if one was written", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
