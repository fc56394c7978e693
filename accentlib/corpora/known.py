"""Well-known accent corpora: home, licence, download, and what their accent label means (``known.json``)."""

import json
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import InputError

if TYPE_CHECKING:  # `accentlib --help` does not wait for pandas
    import pandas as pd


@dataclass(frozen=True)
class KnownCorpus:
    """What to know about a corpus before you use it."""

    title: str
    home: str
    licence: str
    accent: str  # what its label means
    how_to_get: str
    layout: str  # what its folder holds
    accent_of: dict[str, str] = field(default_factory=dict)  # speaker or region: accent
    archives: dict[str, str | None] = field(default_factory=dict)  # URL: sha256, None if none is published

    @property
    def note(self) -> str:
        """One line for ``NOTE.txt``, printed with every figure on the corpus."""
        return f"{self.title}: the accent is {self.accent}. {self.licence}; {self.home}"


_TABLE = json.loads(files(__package__).joinpath("known.json").read_text(encoding="utf-8"))
KNOWN = {name: KnownCorpus(**facts) for name, facts in _TABLE.items()}


def read_known(name: str, folder: str | Path | None = None, **columns: str) -> "pd.DataFrame":
    """List the clips of a corpus in ``KNOWN``, as :func:`accentlib.from_folder` does. Without ``folder`` it
    is downloaded, if that needs no account. ``accent_column`` is one of ``columns`` if a corpus has several
    accent labels. Raises InputError if the corpus is not available."""
    import pandas as pd

    from . import download, layouts

    if name not in KNOWN:
        raise InputError(f"no known corpus {name!r}; known are {', '.join(KNOWN)}")
    corpus = KNOWN[name]
    if folder is None and not corpus.archives:
        how = f"get it {corpus.how_to_get}; licence: {corpus.licence}; then give its folder"
        raise InputError(f"{corpus.title} cannot be downloaded from here: {how}")
    if folder is None:
        folder = download.fetch(name, corpus.archives, about=corpus.note)
    if not Path(folder).is_dir():
        raise InputError(f"{folder}: no such folder")
    listing = pd.DataFrame(getattr(layouts, name.replace("-", "_"))(Path(folder), **columns))
    if not len(listing):
        raise InputError(f"{folder}: no clips of {corpus.title} in it; it should hold {corpus.layout}")
    return listing
