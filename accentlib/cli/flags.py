"""The command line's verbs and flags; those of the configuration follow from its fields."""

import argparse
import dataclasses
import sys
from typing import NoReturn

from ..config import ALIASES, PRESETS, PUBLISHED_VALUES, SHORTEST_CLIP, Config
from ..corpora.known import KNOWN

EXAMPLES = {
    "accentlib": "accentlib predict my.wav",
    "corpus": "accentlib corpus from-folder recordings --output corpus",
    "from-folder": "accentlib corpus from-folder recordings --output corpus",
    "from-table": "accentlib corpus from-table clips.csv --accent-column dialect --speaker-column who --output corpus",
    "join": "accentlib corpus join --data corpus_a corpus_b --output both",
    **{name: f"accentlib corpus {name} unpacked/{name} --output corpus" for name in KNOWN},
    "align": "accentlib align --data corpus --readings data/readings --output corpus/phones.csv",
    "run": "accentlib run --data corpus --out_dir runs/first",
    "features": "accentlib features --data corpus --out_dir runs/first",
    "train": "accentlib train --data corpus --out_dir runs/first --max_epochs 30",
    "finetune": "accentlib finetune --checkpoint runs/first/best.pt --data other --out_dir runs/other --freeze_epochs 5",
    "compare": "accentlib compare --data corpus --out_dir runs/poolings --seeds 1 2 3",
    "crossvalidate": "accentlib crossvalidate --data corpus --out_dir runs/folds --folds 5",
    "evaluate": "accentlib evaluate --checkpoint runs/first/best.pt --data corpus",
    "embed": "accentlib embed --checkpoint runs/first/best.pt --output vectors.npz a.wav b.mp3",
    "predict": "accentlib predict --checkpoint runs/first/best.pt recordings",
    "score": "accentlib score --checkpoint runs/first/best.pt --clients clients.ndx --impostors impostors.ndx",
    "map": "accentlib map --checkpoint runs/first/best.pt --data corpus --output map.html",
}


class Parser(argparse.ArgumentParser):
    """A parser whose help ends with an example, and whose errors are one line without the usage of all options."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs, formatter_class=argparse.RawDescriptionHelpFormatter)
        self.epilog = f"example:\n  {EXAMPLES[self.prog.split()[-1]]}"

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the call, and leave."""
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def spellings(name: str) -> list[str]:
    """The flags of an option: with underscores, with hyphens, and the published trainer's spelling."""
    names = [name, *(theirs for theirs, ours in ALIASES.items() if ours == name)]
    return [f"--{text}" for text in dict.fromkeys(x for n in names for x in (n, n.replace("_", "-")))]


def add_config_flags(parser: argparse.ArgumentParser, without: tuple[str, ...] = ()) -> None:
    """A flag for each field of :class:`Config`."""
    group = parser.add_argument_group("configuration, with the defaults of the presets")
    presets = {name: preset().to_dict() for name, preset in PRESETS.items()}
    for field in dataclasses.fields(Config):
        if field.name in without:
            continue
        kind: dict = {"type": field.type, "choices": field.metadata["choices"]}
        if field.type is str:
            kind["type"] = lambda text: PUBLISHED_VALUES.get(text, text)
        if field.type is bool:
            kind = {"action": argparse.BooleanOptionalAction}
        defaults = ", ".join(f"{name} {values[field.name]}" for name, values in presets.items())
        text = f"{field.metadata['help']} ({defaults})".replace("%", "%%")
        names = spellings(field.name)
        group.add_argument(*names, dest=field.name, default=argparse.SUPPRESS, help=text, **kind)


class WithoutMeaning(argparse.Action):
    """An option of the published scripts that is accepted, and about which a line is printed."""

    def __call__(self, parser, namespace, values, option_string=None):
        print(f"accentlib: {option_string} has no meaning here: {self.help}", file=sys.stderr)


WITHOUT_MEANING = {
    "data_mode": "training always draws random windows of --crop_seconds",
    "data_mode_dev": "validation takes whole recordings, or windows of --evaluation_window",
    "padding": "short recordings are padded where a batch needs it, and the padding is masked",
    "features": "the label files and --train_data_dir say where the features are",
    "model_name": "checkpoints are best.pt and last.pt in --out_dir",
    "modelConfig": "the checkpoint holds its settings",
}


def add_without_meaning(parser: argparse.ArgumentParser, *names: str) -> None:
    """Flags of the published scripts that have no meaning here; each may have a value."""
    group = parser.add_argument_group("of the published scripts, without meaning here")
    for name in names:
        text = WITHOUT_MEANING[name]
        group.add_argument(*spellings(name), nargs="?", metavar="X", action=WithoutMeaning, help=text)


def add_paths(parser: argparse.ArgumentParser, paths: dict[str, str]) -> None:
    """A flag for each path, with underscores or hyphens."""
    for name, text in paths.items():
        parser.add_argument(*spellings(name), help=text)


NOT_FLAGS = {"compare": ("pooling_method", "seed"), "crossvalidate": ("seed",)}  # what these verbs vary


def add_readings(parser: argparse.ArgumentParser, required: bool = False) -> None:
    """The flags that say which text is read where."""
    text = "folder with recordings of the texts and their phones.csv, say data/readings; or a recording in it"
    parser.add_argument("--readings", required=required, help=text)
    text = "column of the corpus that names the reading of each clip, where there are several (sentence)"
    parser.add_argument(*spellings("text_column"), default="sentence", help=text)


CORPUS = "folder with a manifest.csv (accentlib corpus makes one), or that file"
LISTS = {
    "train_labels_path": "label file: path without extension, label 0..N-1, -1",
    "valid_labels_path": "the same for validation",
    "train_data_dir": "folder before each path of the first",
    "valid_data_dir": "folder before each path of the second, and of the pairs",
    "label_names": "CSV table (label, name) that names labels; those of one name are merged",
    "valid_clients": "pairs of paths that belong together, to validate EER on",
    "valid_impostors": "pairs of paths that do not",
}


def add_corpus_verbs(parser: argparse.ArgumentParser) -> None:
    """The kinds of ``accentlib corpus``: own recordings, known corpora, and what is made of a corpus."""
    kinds = parser.add_subparsers(dest="kind", required=True, metavar="KIND")
    for kind, text in {
        "from-folder": "recordings in folders: accent/speaker/*.wav, accent/*.wav, or with a metadata.csv",
        "from-table": "recordings that a CSV or TSV table names",
        **{name: f"{corpus.title}: {corpus.accent}. {corpus.licence}" for name, corpus in KNOWN.items()},
        "join": "one corpus of several, with a column corpus",
    }.items():
        sub = kinds.add_parser(kind, help=text, description=text)
        sub.add_argument("--output", required=True, help="folder that receives manifest.csv and report.json")
        sub.add_argument("--seed", type=int, default=1234, help="deals speakers into splits (1234)")
        if kind == "join":
            sub.add_argument("--data", required=True, nargs="+", help=CORPUS)
            continue
        if kind == "from-table":
            sub.add_argument("source", metavar="FILE", help="the table")
            columns = {"path": "path", "accent": "accent", "speaker": "speaker", "split": "split"}
            add_paths(sub, {"audio_dir": "where its paths begin (beside the table)"})
        elif kind == "from-folder":
            sub.add_argument("source", metavar="DIR", help="the folder")
            columns = {"accent": "", "speaker": ""}  # of a metadata.csv
        else:
            get = KNOWN[kind].how_to_get
            sub.add_argument("source", metavar="DIR", nargs="?", help=f"where it lies, unpacked; {get}")
            columns = {"accent": ""} if kind in ("common-voice", "speech-accent-archive") else {}
        for name, default in columns.items():
            of = "of metadata.csv " if kind == "from-folder" else ""
            text = f"column {of}that holds the {name}" + (f" ({default})" if default else "")
            sub.add_argument(*spellings(f"{name}_column"), default=default, help=text)
        text = f"shorter clips are left out ({SHORTEST_CLIP:g})"
        sub.add_argument(*spellings("min_seconds"), type=float, default=SHORTEST_CLIP, help=text)
        text = "accents of fewer speakers are left out (1)"
        sub.add_argument(*spellings("min_speakers"), type=int, default=1, help=text)
        add_paths(
            sub, {"accent_names": "CSV table (accent, name): labels get these names, others are left out"}
        )


def add_scheduler(parser: argparse.ArgumentParser) -> None:
    """The address of a cluster."""
    text = "let the workers of this Dask scheduler do it, tcp://HOST:8786"
    parser.add_argument("--scheduler", default="", help=text)


def make_parser() -> argparse.ArgumentParser:
    """The parser of all verbs."""
    parser = Parser(prog="accentlib", description="Learn accents from speech.")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    text = "make a corpus of recordings, with a report of what is in it"
    add_corpus_verbs(verbs.add_parser("corpus", help=text, description=text))
    text = "find when each phone of a known text is spoken in each recording of a corpus"
    sub = verbs.add_parser("align", help=text, description=text)
    sub.add_argument("--data", required=True, help=CORPUS)
    add_readings(sub, required=True)
    sub.add_argument(
        "--output", required=True, help="the CSV table to write: path, start, end, phone, position"
    )
    sub.add_argument("--seed", type=int, default=1234, help="of the split, where the corpus has none (1234)")
    for verb, text in {
        "run": "features, training, evaluation, embeddings and pictures of a corpus",
        "features": "compute the log-mels of a corpus, or of the audio files of a list",
        "train": "train on a corpus, or on label files",
        "finetune": "train from a checkpoint on, on other accents",
        "compare": "train every pooling with several seeds; macro F1 and EER on unseen speakers",
        "crossvalidate": "train and test fold by fold: figures with intervals, baselines and calibration",
    }.items():
        usage = f"accentlib {verb} [options]"
        sub = verbs.add_parser(verb, help=text, description=text, usage=usage)
        sub.add_argument("--data", help=CORPUS)
        sub.add_argument(*spellings("out_dir"), help="where everything is written; default runs/NAME")
        presets = "default: laptop; for label files: paper"
        sub.add_argument("--preset", choices=list(PRESETS), help=presets)
        if verb == "features":
            names = ("-i", "--list", "--audioFilesList")
            sub.add_argument(*names, dest="list", help="audio paths; features are written beside them")
            add_scheduler(sub)
        if verb == "compare":
            sub.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="default: 1 2 3")
        if verb == "finetune":
            sub.add_argument(*spellings("checkpoint"), help="the model to begin with")
        if verb in ("train", "finetune"):
            add_paths(sub.add_argument_group("label files, instead of --data"), LISTS)
            text = "number of accents, which is checked; labels 0..N-1 that do not occur stay classes"
            sub.add_argument(*spellings("num_accents"), type=int, metavar="N", help=text)
            add_without_meaning(sub, "data_mode", "data_mode_dev", "padding", "features", "model_name")
        if verb == "crossvalidate":
            sub.add_argument("--seeds", type=int, nargs="+", default=[1], help="a training each (1)")
            sub.add_argument(
                "--folds", type=int, default=5, help="parts that the speakers are dealt into (5)"
            )
            text = "folds that are tested, from 0 (all); choose settings on one that is not"
            sub.add_argument("--tested", type=int, nargs="+", help=text)
            text = "then train the model to use on everyone but one in eight: out_dir/final/model.pt"
            sub.add_argument("--final", action="store_true", help=text)
            add_readings(sub)
        if verb in ("run", "train", "finetune"):
            text = "table of the corpus's phones, for --phone_weight (phones.csv beside its manifest)"
            sub.add_argument("--phones", help=text)
            sub.add_argument("--resume", action="store_true", help="go on from last.pt in out_dir")
            sub.add_argument("--requeue", action="store_true", help="the same; where there is none, begin")
        add_config_flags(sub, without=NOT_FLAGS.get(verb, ()))
    for verb, text in {
        "evaluate": "figures of a checkpoint on a split or a label file, as JSON",
        "embed": "embeddings of audio files, as an .npz file",
        "predict": "accent and probability of audio files, as CSV",
        "score": "cosine scores of pairs, EER and minDCF, as JSON",
        "map": "a web page of a corpus's clips: see them, hear them, see what the network attends to",
    }.items():
        sub = verbs.add_parser(verb, help=text, description=text)
        text = "a .pt of a run, a published .chkpt, or accents_mini, the bundled voices' (real_speech)"
        sub.add_argument(*spellings("checkpoint"), help=text)
        sub.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
        sub.add_argument("--n_fft", "--n-fft", type=int, help="for a published .chkpt, if not 512")
        text = "for a published .chkpt: resample to so many Hz (as each file is)"
        sub.add_argument(*spellings("sample_rate"), type=int, help=text)
        text = (
            "hear windows of this length and average them, s; 0: recordings whole (as the model was trained)"
        )
        sub.add_argument(*spellings("evaluation_window"), type=float, help=text)
        if verb == "evaluate":
            sub.add_argument("--data", help=CORPUS)
            labels = {"labels_path": "a label file, instead", "data_dir": "folder before each path of it"}
            add_paths(sub, labels | {"label_names": LISTS["label_names"]})
            sub.add_argument("--split", default="test", help="train, validation or test (default)")
        if verb == "score":
            for name in ("clients", "impostors"):
                sub.add_argument(f"--{name}", required=True, help="text file, two paths a line")
            sub.add_argument(*spellings("data_dir"), help="folder before each path")
            sub.add_argument("--output", help="CSV file to write: a, b, client, score")
        if verb == "embed":
            text = "the .npz file to write: paths, embeddings (without: print a line a file)"
            sub.add_argument("--output", help=text)
            sub.add_argument("--data", help=f"{CORPUS}, instead of files")
            add_scheduler(sub)
            sub.add_argument("--audioPath", metavar="FILE", help="the same as FILE")
            add_without_meaning(sub, "modelConfig")
        if verb == "map":
            sub.add_argument("--data", required=True, help=CORPUS)
            sub.add_argument("--output", required=True, help="the .html file to write")
            sub.add_argument("--split", nargs="+", help="train, validation, test, or some of them (all)")
            text = "size of the page, MB (25); phones for which there is no room are played from their files"
            sub.add_argument("--megabytes", type=float, default=25.0, help=text)
        if verb in ("embed", "predict"):
            text = "audio that soundfile reads, a folder of it, or a .pickle"
            sub.add_argument("files", nargs="*" if verb == "embed" else "+", metavar="FILE", help=text)
    return parser
