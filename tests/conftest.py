"""Fixtures: small corpora and configurations that the tests share."""

from pathlib import Path

import pandas as pd
import pytest
from helpers import BUNDLED, NUMBERS, RATE, TINY, write_corpus

from accentlib.config import Config


@pytest.fixture
def tiny() -> Config:
    """A network of a few thousand weights, at 16 kHz."""
    return Config.laptop(sample_rate=RATE, **TINY)


@pytest.fixture(scope="session")
def corpus_dir(tmp_path_factory) -> Path:
    """A folder with a manifest and 45 short clips."""
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def bundled() -> pd.DataFrame:
    """The bundled corpus."""
    from accentlib.corpora.table import read_corpus

    return read_corpus(BUNDLED)


@pytest.fixture(scope="session")
def lists(tmp_path_factory) -> Path:
    """A folder as a user of the published trainer has it, features extracted: 45 files of 15 voices."""
    folder = tmp_path_factory.mktemp("published")
    table = pd.read_csv(write_corpus(folder / "audio") / "manifest.csv")
    names = table["path"].str.removesuffix(".wav")
    (folder / "files.lst").write_text("\n".join(f"{folder}/audio/{name}" for name in names) + "\n")
    for split, rows in table.groupby("split"):
        lines = [f"{names[i]} {NUMBERS[rows['accent'][i]]} -1\n" for i in rows.index]
        (folder / f"{split}.lst").write_text("".join(lines))
    (folder / "clients.ndx").write_text("low_0_0 low_0_1\nhigh_0_0 high_0_1\n")
    (folder / "impostors.ndx").write_text("low_0_0 high_0_1\nmiddle_0_0 high_0_1\n")
    from accentlib.cli import main

    assert main(["features", "-i", str(folder / "files.lst")]) == 0
    return folder
