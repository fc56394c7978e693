"""The command line: ``accentlib`` or ``python -m accentlib``."""

import argparse
import dataclasses
import itertools
import json
import sys
from pathlib import Path

from .config import PRESETS, Config, InputError


def add_config_flags(parser: argparse.ArgumentParser) -> None:
    """A flag for each field of :class:`Config`, with underscores or hyphens."""
    group = parser.add_argument_group("configuration (defaults: those of the preset)")
    for field in dataclasses.fields(Config):
        names = dict.fromkeys([f"--{field.name}", f"--{field.name.replace('_', '-')}"])
        kind: dict = {"type": field.type, "choices": field.metadata["choices"]}
        if field.type is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        text = field.metadata["help"].replace("%", "%%")
        group.add_argument(*names, dest=field.name, default=argparse.SUPPRESS, help=text, **kind)


def make_parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    parser = argparse.ArgumentParser(prog="accentlib", description="Learn accents from speech.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb, text in {
        "run": "features, training, evaluation, embeddings and pictures of a corpus",
        "features": "compute the log-mels of a corpus",
        "train": "train on a corpus",
    }.items():
        sub = verbs.add_parser(verb, help=text, description=text)
        sub.add_argument(
            "--data", required=True, help="folder with a manifest.csv: path, accent, speaker, split"
        )
        sub.add_argument("--out_dir", "--out-dir", help="where everything is written; default runs/NAME")
        sub.add_argument("--preset", choices=list(PRESETS), default="laptop", help="default: laptop")
        if verb != "features":
            sub.add_argument(
                "--resume", "--requeue", action="store_true", help="go on from last.pt in out_dir"
            )
        add_config_flags(sub)
    for verb, text in {
        "evaluate": "figures of a checkpoint on a split, as JSON",
        "embed": "embeddings of audio files, as an .npz file",
        "predict": "accent and probability of audio files, as CSV",
    }.items():
        sub = verbs.add_parser(verb, help=text, description=text)
        sub.add_argument("--checkpoint", required=True, help="best.pt or last.pt of a run")
        sub.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
        if verb == "evaluate":
            sub.add_argument("--data", required=True, help="folder with a manifest.csv")
            sub.add_argument("--split", default="test", help="train, validation or test (default)")
            continue
        if verb == "embed":
            sub.add_argument("--output", required=True, help="the .npz file to write: paths, embeddings")
        sub.add_argument("files", nargs="+", metavar="FILE", help="audio that soundfile reads")
    return parser


def settings(arguments: argparse.Namespace) -> tuple[Config, Path]:
    """The configuration and out_dir of run, features and train."""
    flags = {f.name: getattr(arguments, f.name) for f in dataclasses.fields(Config) if f.name in arguments}
    if getattr(arguments, "resume", False):
        from .checkpoint import read_checkpoint

        if not arguments.out_dir:
            raise InputError("--resume needs the --out_dir of the run to go on with")
        content = read_checkpoint(Path(arguments.out_dir) / "last.pt")
        return Config.from_dict(content["config"] | flags), Path(arguments.out_dir)
    config = PRESETS[arguments.preset](**flags)
    if not arguments.out_dir:
        data = Path(arguments.data).absolute()
        return config, free_folder(Path("runs"), data.parent.name if data.is_file() else data.name)
    if arguments.verb != "features" and (Path(arguments.out_dir) / "last.pt").exists():
        raise InputError(
            f"{arguments.out_dir} holds a run already; go on with it by --resume, or name another --out_dir"
        )
    return config, Path(arguments.out_dir)


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

    config, out_dir = settings(arguments)
    metrics = run(arguments.data, config, out_dir, resume=arguments.resume)
    print(summary(metrics, out_dir), file=sys.stderr)
    return report(metrics["problems"])


def do_features(arguments: argparse.Namespace) -> int:
    """accentlib features"""
    from .corpus import read_corpus
    from .training import prepare

    config, out_dir = settings(arguments)
    _, store = prepare(read_corpus(arguments.data, seed=config.seed), config, out_dir)
    print(f"features are in {store.folder}", file=sys.stderr)
    return report(store.problems)


def do_train(arguments: argparse.Namespace) -> int:
    """accentlib train"""
    from .corpus import read_corpus
    from .training import Trainer

    config, out_dir = settings(arguments)
    trainer = Trainer(read_corpus(arguments.data, seed=config.seed), config, out_dir)
    if arguments.resume:
        trainer.resume(out_dir / "last.pt")
    trainer.train()
    print(f"best validation macro F1 {trainer.best:.1%}: {out_dir / 'best.pt'}", file=sys.stderr)
    return report(trainer.store.problems)


def _model(arguments: argparse.Namespace):
    from .checkpoint import load_model
    from .training import get_device

    return load_model(arguments.checkpoint).to(get_device(arguments.device))


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
