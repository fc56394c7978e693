"""What the flags of a call mean: its configuration, its folder, and the checkpoint that it goes on from."""

import dataclasses
import sys
from argparse import Namespace
from itertools import count
from pathlib import Path
from typing import Any

import accentlib

from ..config import FEATURE_FIELDS, FINETUNING, MODEL_FIELDS, PRESETS, Config, InputError


def log(text: str) -> None:
    """Print to stderr: stdout is for results."""
    print(text, file=sys.stderr)


class Settings(Namespace):
    """One call of the command line, with its arguments as attributes."""

    resume = paths = train_labels_path = valid_clients = None  # type: Any  # of verbs without these flags

    def picked(self, *names: str) -> dict:
        """The arguments of these names that are given or have a default."""
        return {name: x for name in names if (x := vars(self).get(name)) is not None}

    def check_source(self, *sources: object) -> None:
        """Raise InputError unless exactly one source of clips is given."""
        if sum(map(bool, sources)) != 1:
            raise InputError(f"{self.verb} {self.note}")

    def data_name(self) -> str:
        """The name of the folder with the data."""
        path = Path(self.data or self.train_labels_path or self.paths).absolute()
        return path.parent.name if path.is_file() else path.name

    def checkpoint_to_resume(self) -> Path | None:
        """The checkpoint that --resume or --requeue continues from, if any."""
        if not self.resume:
            return None
        if not self.out_dir:
            raise InputError("--resume needs the --out_dir of the run to continue")
        last = Path(self.out_dir, "last.pt")
        if self.resume == "resume" or last.exists():
            return last
        newest = max(last.parent.glob("*.chkpt"), key=lambda path: path.stat().st_mtime_ns, default=None)
        if newest and self.data:
            way_out = "give --train_labels_path, or take its weights by accentlib finetune --checkpoint"
            raise InputError(f"{newest}: its accents have numbers, not names as in --data; {way_out}")
        return newest

    def start(self) -> Config:
        """The settings to start from: of the preset, or else those that fit the corpus."""
        if self.preset or not self.data or self.verb == "finetune":
            return PRESETS[self.preset or "paper"]()
        from ..experiments.recipe import choose

        config, why = choose(self.data, **self.picked("phones", "max_epochs"))
        log(why if self.verb != "features" else why.partition(";")[0])
        return config

    def settings(self) -> tuple[Config, Path, Path | None]:
        """The configuration, the output folder, and the checkpoint to resume from, if any."""
        lists = self.train_labels_path or self.paths
        self.check_source(self.data, lists)
        pairs_alone = self.valid_clients and not self.valid_labels_path  # as the published speaker version
        values: dict[str, Any] = {"criterion": "eer"} if pairs_alone else {}
        if last := self.checkpoint_to_resume():
            from ..network.checkpoint import read_training

            values |= read_training(last)["config"]
        else:
            values = self.start().to_dict() | values
        if self.verb == "finetune" and not last:
            if not self.checkpoint:
                raise InputError(f"finetune {self.note}")
            own, preset = accentlib.load_model(self.checkpoint).config.to_dict(), self.preset or ""
            if preset or not self.data:  # else all of its settings
                own = {name: own[name] for name in (*FEATURE_FIELDS, "normalization", *MODEL_FIELDS)}
            values |= own
            if preset or self.data:
                values |= FINETUNING.get(preset, {})
        values |= self.picked(*(field.name for field in dataclasses.fields(Config)))
        names = (f"{self.data_name()}-{i}" if i > 1 else self.data_name() for i in count(1))
        free = (folder for name in names if not ((folder := Path("runs", name)) / "last.pt").exists())
        return Config.from_dict(values), Path(self.out_dir or next(free)), last

    def phone_names(self, config: Config) -> list[str]:
        """The phones of the model to resume or to start from, if it pools by them: they are its own."""
        start = self.checkpoint_to_resume() or (self.checkpoint if self.verb == "finetune" else None)
        return accentlib.load_model(start).phones if start and config.pooling_method == "Phones" else []
