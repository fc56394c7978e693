"""The recipe for a corpus: the settings that fit what its manifest declares, and what it has."""

import math
import sys
from pathlib import Path

import pandas as pd

from ..config import Config, InputError, counted
from ..corpora.phones import phones_file, read_phones
from ..corpora.recogniser import find_phones, in_english, lacking
from ..corpora.table import read_corpus, synthetic
from ..features.store import clip_ids
from ..training.processes import world_size

DRAWS, MOST_EPOCHS = 70_000, 200  # clips that a network for people learns from, if none were kept for tests


def choose(data: str | Path, *, phones: str | Path | None = None, max_epochs: int = 0) -> tuple[Config, str]:
    """The settings for a corpus, and a line that says why. A column ``speech`` with ``synthetic`` throughout
    declares synthetic speech, ``language`` or ``locale`` what is spoken: by default people, and English."""
    table = read_corpus(data, split=False)
    if synthetic(table):
        return Config.laptop(), "synthetic speech: preset laptop"
    epochs = max_epochs or min(MOST_EPOCHS, math.ceil(DRAWS / len(table)))
    changes: dict = {"max_epochs": epochs}
    file = Path(phones or phones_file(data))
    if phones or file.is_file():
        why = f"learns the phones of {file}"
    elif problem := lacking(table):
        changes |= {"phone_weight": 0.0, "pooling_method": "Statistics"}
        why = f"without phones, which makes it much worse ({problem})"
    else:
        why = "learns phones, which it finds first"
    people = f"{counted(len(table), 'clip')} of {counted(table['speaker'].nunique(), 'speaker')}"
    return Config.real_speech(**changes), f"{people}: preset real_speech, {epochs} epochs; {why}"


def phones_for(table: pd.DataFrame, data: str | Path, config: Config, out_dir: str | Path,
               phones: str | Path | None = None) -> pd.DataFrame | None:  # fmt: skip
    """The phones that a configuration needs: of ``phones``, or else of the file beside the manifest, or else
    those found in the clips of ``table`` and kept in ``out_dir``; None if ``phone_weight`` is 0."""
    if not config.phone_weight:
        return None
    file, own = Path(phones or phones_file(data)), Path(out_dir, "phones.csv")
    if phones or file.is_file():
        return read_phones(file)
    if own.is_file():
        known = read_phones(own)
        wanted = pd.Index(clip_ids(table[in_english(table)]))
        if wanted.isin(known["id"]).mean() >= 0.9:  # else of an earlier run on other clips
            return known
    if world_size() > 1:
        raise InputError(f"several processes train: make {own} first, by accentlib phones")
    for problem in find_phones(table, own)[1].values():
        print(f"no phones: {problem}", file=sys.stderr)
    return read_phones(own)
