"""The accent corpora that people use: where they are, under which licence, and what their accent label means."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import InputError

if TYPE_CHECKING:  # `accentlib --help` need not wait for pandas
    import pandas as pd

CMU_ARCTIC_SHA256 = {
    "aew": "645cb33c0f0b2ce41384fdd8d3db2c3f5fc15c1e688baeb74d2e08cab18ab406",
    "ahw": "024664adeb892809d646a3efd043625b46b5bfa3e6189b3500b2d0d59dfab06c",
    "aup": "2c55bc3050caa996758869126ad10cf42e1441212111db034b3a45189c18b6fc",
    "awb": "d74a950c9739a65f7bfc4dfa6187f2730fa03de5b8eb3f2da97a51b74df64d3c",
    "axb": "dd65c3d2907d1ee52f86e44f578319159e60f4bf722a9142be01161d84e330ff",
    "bdl": "26b91aaf48b2799b2956792b4632c2f926cd0542f402b5452d5adecb60942904",
    "clb": "3f16dc3f3b97955ea22623efb33b444341013fc660677b2e170efdcc959fa7c6",
    "eey": "8a0ee4e5acbd4b2f61a4fb947c1730ab3adcc9dc50b195981d99391d29928e8a",
    "fem": "3fcff629412b57233589cdb058f730594a62c4f3a75c20de14afe06621ef45e2",
    "gka": "dc82e7967cbd5eddbed33074b0699128dbd4482b41711916d58103707e38c67f",
    "jmk": "3a37c0e1dfc91e734fdbc88b562d9e2ebca621772402cdc693bbc9b09b211d73",
    "ksp": "8029cafce8296f9bed3022c44ef1e7953332b6bf6943c14b929f468122532717",
    "ljm": "b23993765cbf2b9e7bbc3c85b6c56eaf292ac81ee4bb887b638a24d104f921a0",
    "lnh": "4faf34d71aa7112813252fb20c5433e2fdd9a9de55a00701ffcbf05f24a5991a",
    "rms": "c6dc11235629c58441c071a7ba8a2d067903dfefbaabc4056d87da35b72ecda4",
    "rxr": "1fa4271c393e5998d200e56c102ff46fcfea169aaa2148ad9e9469616fbfdd9b",
    "slp": "54345ed55e45c23d419e9a823eef427f1cc93c83a710735ec667d068c916abf1",
    "slt": "7c173297916acf3cc7fcab2713be4c60b27312316765a90934651d367226b4ea",
}
OPENSLR83_ARCHIVES = (
    "irish_english_male", "midlands_english_female", "midlands_english_male", "northern_english_female",
    "northern_english_male", "scottish_english_female", "scottish_english_male",
    "southern_english_female", "southern_english_male", "welsh_english_female", "welsh_english_male",
)  # fmt: skip


@dataclass(frozen=True)
class KnownCorpus:
    """What should be known of a corpus before it is used."""

    title: str
    home: str
    licence: str
    accent: str  # what its label means
    how_to_get: str
    archives: dict[str, str | None] = field(default_factory=dict)  # URL: sha256, where one is published

    @property
    def note(self) -> str:
        """One line for ``NOTE.txt``, printed with every figure on the corpus."""
        return f"{self.title}: the accent is {self.accent}. {self.licence}; {self.home}"


KNOWN = {
    "speech-accent-archive": KnownCorpus(
        "Speech Accent Archive",
        home="https://accent.gmu.edu",
        licence="CC BY-NC-SA 2.0 (non-commercial, with credit)",
        accent="the reader's first language, not a judgement of how they sound",
        how_to_get="from Kaggle, with an account: https://www.kaggle.com/datasets/rtatman/speech-accent-archive",
    ),
    "common-voice": KnownCorpus(
        "Common Voice",
        home="https://commonvoice.mozilla.org",
        licence="CC0 1.0 (do not try to find out who speaks)",
        accent="what speakers wrote of themselves, often nothing",
        how_to_get="with an account, one language at a time: https://commonvoice.mozilla.org/datasets",
    ),
    "vctk": KnownCorpus(
        "VCTK",
        home="https://datashare.ed.ac.uk/handle/10283/3443",
        licence="CC BY 4.0",
        accent="the country or region that the speaker named",
        how_to_get="no account is needed (11 GB)",
        archives={
            "https://datashare.is.ed.ac.uk/bitstream/handle/10283/3443/VCTK-Corpus-0.92.zip":
            "f96258be9fdc2cbff6559541aae7ea4f59df3fcaf5cf963aae5ca647357e359c",
        },
    ),
    "l2-arctic": KnownCorpus(
        "L2-ARCTIC",
        home="https://psi.engr.tamu.edu/l2-arctic-corpus/",
        licence="CC BY-NC 4.0 (non-commercial)",
        accent="the first language of a learner of English",
        how_to_get="by a form on its home page; unpack each speaker's zip into one folder",
    ),
    "cmu-arctic": KnownCorpus(
        "CMU ARCTIC",
        home="http://www.festvox.org/cmu_arctic/",
        licence="free for any use (its own BSD-like terms)",
        accent="how the archive's README calls the speaker's English",
        how_to_get="no account is needed (1.5 GB)",
        archives={
            f"http://festvox.org/cmu_arctic/packed/cmu_us_{speaker}_arctic.tar.bz2": digest
            for speaker, digest in CMU_ARCTIC_SHA256.items()
        },
    ),
    "openslr83": KnownCorpus(
        "OpenSLR 83, English accents of Great Britain and Ireland",
        home="https://www.openslr.org/83/",
        licence="CC BY-SA 4.0",
        accent="the dialect region that the volunteer named",
        how_to_get="no account is needed (7 GB)",
        archives={f"https://www.openslr.org/resources/83/{name}.zip": None for name in OPENSLR83_ARCHIVES},
    ),
    "timit": KnownCorpus(
        "TIMIT",
        home="https://catalog.ldc.upenn.edu/LDC93S1",
        licence="sold by the LDC; not to be passed on",
        accent="the dialect region of the USA where the speaker grew up (army brat: several)",
        how_to_get="from the LDC, for members or a fee",
    ),
}  # fmt: skip


def read_known(name: str, folder: str | Path | None = None, **columns: str) -> "pd.DataFrame":
    """List a known corpus.

    Parameters
    ----------
    name : str
        One of ``accentlib.corpora.known.KNOWN``.
    folder : str or Path, optional
        Where it lies, unpacked; without it, what can be downloaded without an account is.
    **columns
        ``accent_column``, of the corpora whose tables have several.

    Returns
    -------
    pandas.DataFrame
        A listing, as :func:`accentlib.from_folder` gives it.

    Raises InputError if the name is not known, the folder does not look like this corpus, or it cannot be
    downloaded (what to do is said).
    """
    if name not in KNOWN:
        raise InputError(f"no known corpus {name!r}; known are {', '.join(KNOWN)}")
    corpus = KNOWN[name]
    if folder is None:
        if not corpus.archives:
            raise InputError(
                f"{corpus.title} cannot be downloaded from here: get it {corpus.how_to_get};"
                f" licence: {corpus.licence}; then give its folder"
            )
        from .download import fetch

        about = f"{corpus.title}, {corpus.home}\nlicence: {corpus.licence}"
        folder = fetch(name, corpus.archives, about=about)
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    from . import layouts

    return getattr(layouts, name.replace("-", "_"))(folder, **columns)
