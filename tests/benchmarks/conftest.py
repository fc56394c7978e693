"""What the benchmarks share: real clips as WAV files of 3.2 s, and how two ways are told apart."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from accentlib.corpora.table import read_corpus

BUNDLED = Path(__file__).parents[2] / "data" / "accents_mini"
SECONDS = 3.2


@pytest.fixture(scope="session")
def clips(tmp_path_factory) -> pd.DataFrame:
    """2,016 clips of the bundled corpus, each cut or repeated to 3.2 s, 16 kHz WAV."""
    folder = tmp_path_factory.mktemp("clips")
    table = read_corpus(BUNDLED)
    for i, path in enumerate(table["path"]):
        wave, rate = sf.read(path)
        sf.write(folder / f"{i}.wav", np.resize(wave, round(SECONDS * rate)), rate)
    table = table.drop(columns="id")  # it names the bundled file
    return table.assign(path=[str(folder / f"{i}.wav") for i in range(len(table))])


@pytest.fixture
def cores(request):
    """Let this process, and what it starts, use so many cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[: request.param])
    yield request.param
    os.sched_setaffinity(0, before)
