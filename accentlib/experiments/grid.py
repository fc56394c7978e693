"""A resumable grid of trainings under one budget, for `compare` and `cross_validate`."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from ..config import Config, InputError, current_names
from ..files import replacing, write_table
from ..training.loop import Trainer


class Grid:
    """A folder of results of one corpus and configuration (``budget.json``); none is computed twice."""

    def __init__(self, out_dir: str | Path, data: str | Path, config: Config, progress: bool, **more: int):
        self.out_dir, self.progress = Path(out_dir), progress
        self.out_dir.mkdir(parents=True, exist_ok=True)
        check_budget(self.out_dir / "budget.json", data, config, **more)

    def cell(self, file: Path, key: dict, compute: Callable[..., pd.DataFrame], *inputs) -> pd.DataFrame:
        """The table in ``file``. If no row has this key, compute the missing rows and add them at once."""
        known = read_results(file) if file.is_file() else pd.DataFrame()
        if len(known) and (known[[*key]] == [*key.values()]).all(axis=1).any():
            return known
        file.parent.mkdir(parents=True, exist_ok=True)
        write_table(file, pd.concat([known, compute(*inputs)]))
        return read_results(file)

    def train(self, table: pd.DataFrame, config: Config, folder: Path, phones) -> Trainer:
        """Train in ``folder``, from its last checkpoint if there is one; all trainings share features."""
        if self.progress:
            print(f"training in {folder}", file=sys.stderr)
        shared = self.out_dir / "features"
        trainer = Trainer(table, config, folder, phones=phones, progress=self.progress, features_dir=shared)
        if (folder / "last.pt").is_file():
            trainer.resume(folder / "last.pt")
        trainer.train()
        return trainer


def check_budget(path: Path, data: str | Path, config: Config, **more: int) -> None:
    """Note corpus and configuration (but pooling and seed). Raises InputError if ``path`` notes others."""
    vary = {"pooling_method": "", "seed": ""}
    budget = {"data": str(Path(data).absolute()), **config.to_dict(), **vary, **more}
    if not path.is_file():
        with replacing(path) as temporary:
            temporary.write_text(json.dumps(budget, indent=1), encoding="utf-8")
    noted = Config().to_dict() | current_names(json.loads(path.read_text(encoding="utf-8")))  # newer options
    for name, value in budget.items():
        if noted.get(name) != value:
            made = f"these results were made with {name} {noted.get(name)!r}, not {value!r}"
            raise InputError(f"{path}: {made}; name another --out_dir")


def read_results(file: str | Path) -> pd.DataFrame:
    """Read a table of results; "None" and "NA" may be names, so only empty values are missing."""
    return pd.read_csv(file, dtype={"speaker": str, "id": str}, keep_default_na=False, na_values=[""])
