"""The parser of the command line, made of the table ``verbs.toml`` and the fields of the configuration."""

import argparse
import dataclasses
import tomllib
from functools import partial
from pathlib import Path
from typing import NoReturn

import accentlib

from ..config import ALIASES, PRESETS, PUBLISHED_VALUES, Config, InputError
from ..corpora.known import KNOWN

TABLE = tomllib.loads(Path(__file__).with_name("verbs.toml").read_text(encoding="utf-8"))
GROUPS, IGNORED, FLAGS = TABLE["groups"], TABLE["ignored"], TABLE["flags"] | TABLE["ignored"]
VERBS = TABLE["verbs"]
for _name, _corpus in KNOWN.items():
    _several = _name in ("common-voice", "edacc", "speech-accent-archive")  # labels to choose from
    _flags = "SOURCE CORPUS" + " accent_column" * _several
    _texts = {"text": f"{_corpus.title}: {_corpus.accent}. {_corpus.licence}", "note": _corpus.how_to_get}
    _example = f"unpacked/{_name} --output corpus"
    VERBS[f"corpus {_name}"] = _texts | {"method": "corpus", "flags": _flags, "example": _example}


class Formatter(argparse.RawDescriptionHelpFormatter):
    """Help that shows a flag's own name first, its value once, and no spellings with hyphens."""

    def _get_default_metavar_for_optional(self, action):
        return {int: "N", float: "X"}.get(action.type, action.dest.upper())

    def _format_action_invocation(self, action):
        if not action.option_strings:
            return super()._format_action_invocation(action)
        first, *more = [s for s in action.option_strings if "-" not in s.lstrip("-").removeprefix("no-")]
        value = self._format_args(action, self._get_default_metavar_for_optional(action))
        return ", ".join([f"{first} {value}".strip(), *more])


class Parser(argparse.ArgumentParser):
    """A parser whose help ends with an example, and that raises an InputError about a wrong call."""

    def __init__(self, *, example: str, **kwargs):
        epilog = f"Flags may have hyphens for underscores.\n\nexample:\n  accentlib {example}"
        super().__init__(epilog=epilog, formatter_class=Formatter, **kwargs)

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def spellings(name: str) -> list[str]:
    """A flag and its aliases, with underscores and with hyphens."""
    names = [name, *(alias for alias, current in ALIASES.items() if current == name)]
    return [f"--{text}" for text in dict.fromkeys(x for n in names for x in (n, n.replace("_", "-")))]


def new_file(suffixes: str, text: str) -> Path:
    """The path of an output file; an existing file of another kind is refused (``--output *.wav``)."""
    path = Path(text)
    if path.exists() and path.suffix.lower() not in suffixes.split():
        kind = " or ".join(suffixes.split())
        raise argparse.ArgumentTypeError(f"{path} exists and is no {kind} file; choose another name")
    return path


def add_flags(parser: argparse.ArgumentParser, words: str) -> None:
    """Add flags and groups of flags of the table."""
    for word in words.split():
        if word in GROUPS:
            add_flags(parser, GROUPS[word])
            continue
        options, name = dict(FLAGS[word.rstrip("!")]), word.rstrip("!").split(":")[0]
        if kind := options.get("type"):
            options["type"] = {"int": int, "float": float}.get(kind) or partial(new_file, kind)
        if word.endswith("!"):
            options["required"] = True
        names = options.pop("names", None) or ([name] if name.isupper() else spellings(name))
        parser.add_argument(*names, **options)


def add_config_flags(parser: argparse.ArgumentParser, varied: list[str]) -> None:
    """Add flags for a preset and for each field of :class:`Config` that the verb does not vary itself."""
    group = parser.add_argument_group("configuration (value in the paper preset; in presets that differ)")
    text = "values to start from (default: chosen by the corpus; for label files and lists: paper)"
    group.add_argument("--preset", choices=list(PRESETS), help=text)
    presets = {name: preset().to_dict() for name, preset in PRESETS.items()}
    for field in [f for f in dataclasses.fields(Config) if f.name not in varied]:
        kind = {"type": field.type, "choices": field.metadata["choices"]}
        if field.type is str:
            kind["type"] = lambda text: PUBLISHED_VALUES.get(text, text)
        if field.type is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        (_, paper), *others = [(name, values[field.name]) for name, values in presets.items()]
        differ = ", ".join(f"{name} {value}" for name, value in others if value != paper)
        text = f"{field.metadata['help']} ({paper}{differ and '; '}{differ})".replace("%", "%%")
        names = spellings(field.name)
        group.add_argument(*names, dest=field.name, default=argparse.SUPPRESS, help=text, **kind)


def make_parser() -> Parser:
    """The parser of all verbs; "corpus join" is the verb ``join`` of ``corpus``."""
    parser = Parser(prog="accentlib", description="Learn accents from speech.", example="predict my.wav")
    parser.add_argument("--version", action="version", version=f"accentlib {accentlib.__version__}")
    subparsers = {"": parser.add_subparsers(required=True, metavar="VERB")}
    for name, verb in VERBS.items():
        parent, _, own = name.rpartition(" ")
        note, varied = verb.get("note", ""), verb.get("varied")
        texts = {"help": verb["text"], "description": verb["text"] + (note and f"; {note}")}
        usage = None if varied is None else f"accentlib {name} [options]"
        sub = subparsers[parent].add_parser(own, usage=usage, example=f"{name} {verb['example']}", **texts)
        sub.set_defaults(verb=name, method=verb.get("method", name), note=note)
        add_flags(sub, verb["flags"])
        if varied is not None:
            add_config_flags(sub, varied)
        if name in ("corpus", "phones"):
            subparsers[name] = sub.add_subparsers(required=name == "corpus", metavar="KIND")
    return parser
