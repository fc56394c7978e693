"""Assign speakers to train, validation and test: nobody is in two splits, and as few texts as possible."""

import hashlib
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping

import pandas as pd

from ..config import SPLITS, InputError, counted

VALIDATION_PART = 8  # cross-validation validates on one in 8 of the speakers that a fold does not test
DRAWN = {"train": (0.0, 0.6), "validation": (0.6, 0.8), "test": (0.8, 1.0)}  # the draws of each split
TEXTS = ("text", "sentence", "transcript")  # columns that may name what is read in a clip
ABSENT = 1000  # a split without an accent counts as this many misplaced speakers


def _draw(seed: int, speaker: str) -> float:
    """A number in [0, 1) that depends only on the seed and the speaker's name."""
    return int.from_bytes(hashlib.sha256(f"{seed}\n{speaker}".encode()).digest()[:8]) / 2**64


def split_by_speaker(table: pd.DataFrame, *, seed: int = 1234, name: str = "table",
                     assigned: Mapping[str, str] | None = None) -> pd.Series:  # fmt: skip
    """Assign each speaker to train, validation or test: about 60, 20 and 20 % of the speakers of each accent.

    Validation and test each get 12 to 28 % of an accent's speakers and at least one; failing that, at least
    one. The split of a speaker is drawn from the seed and the name alone, so it stays when others are added;
    only a few move to satisfy this rule, unless ``assigned`` (speaker to split) names their split. Returns
    the split of each row. Raises InputError if an accent has fewer than three speakers, or no split is found.
    """
    accents = table.groupby("accent")["speaker"].unique().map(set).to_dict()
    accents_of = table.groupby("speaker")["accent"].unique().to_dict()
    sizes = table.groupby("accent")["speaker"].nunique()
    if (sizes < 3).any():
        few = f"accent {sizes.idxmin()!r} has {counted(sizes.min(), 'speaker')}"
        advice = "at least 3 of each accent (merge accents, leave it out, or give a split column)"
        raise InputError(f"{name}: {few}; a speaker-disjoint split needs {advice}")
    kept = {speaker: split for speaker, split in (assigned or {}).items() if speaker in accents_of}
    best: tuple[float, dict[str, str]] = (float("inf"), {})
    for attempt in range(20):  # the first succeeds unless speakers have several accents
        if best[0] > 0:
            best = min(best, _assign(accents, accents_of, seed + 1000 * attempt, kept), key=lambda of: of[0])
    if best[0] >= ABSENT:
        raise InputError(f"{name}: found no split with every accent in each part; give a split column")
    return table["speaker"].map(best[-1])


def _off(counts: Counter[str]) -> int:
    """Number of misplaced speakers of an accent, plus ABSENT for each split that has none of them."""
    speakers = counts.total()
    low, high = max(1, -(-speakers * 12 // 100)), max(1, speakers * 28 // 100)
    off = sum(max(low - counts[split], counts[split] - high, 0) for split in ("validation", "test"))
    return off + ABSENT * sum(not counts[split] for split in SPLITS)


def _assign(accents: dict, accents_of: dict, seed: int, kept: dict) -> tuple[int, dict[str, str]]:
    """Draw each speaker's split, then move speakers while this reduces the sum of :func:`_off`; both."""
    draws = {speaker: _draw(seed, speaker) for speaker in accents_of}
    splits = {s: next(split for split in SPLITS if x < DRAWN[split][1]) for s, x in draws.items()} | kept
    counts = {accent: Counter(splits[s] for s in speakers) for accent, speakers in accents.items()}

    def after(accent: str, speaker: str, split: str) -> Counter[str]:
        return counts[accent] - Counter([splits[speaker]]) + Counter([split])

    def moves(accent: str) -> Iterator[tuple[int, float, str, str]]:
        for speaker, split in itertools.product(accents[accent] - kept.keys(), SPLITS):
            change = sum(_off(after(a, speaker, split)) - _off(counts[a]) for a in accents_of[speaker])
            if change < 0:
                low, high = DRAWN[split]
                yield change, max(low - draws[speaker], draws[speaker] - high), speaker, split

    smallest_first = sorted(accents, key=lambda accent: (len(accents[accent]), accent))
    while True:
        wrong = (accent for accent in smallest_first if _off(counts[accent]))
        if not (best := next(filter(None, (min(moves(accent), default=None) for accent in wrong)), None)):
            return sum(map(_off, counts.values())), splits
        *_, speaker, split = best
        counts |= {accent: after(accent, speaker, split) for accent in accents_of[speaker]}
        splits[speaker] = split


def few_speakers(table: pd.DataFrame) -> str:
    """A warning if the tested rows have fewer than 10 speakers, or fewer than 3 of an accent; or ""."""
    speakers, total = table.groupby("accent")["speaker"].nunique(), table["speaker"].nunique()
    fewest = speakers.min()
    if total >= 10 and fewest >= 3:
        return ""
    of = "each accent" if fewest == speakers.max() else repr(speakers.idxmin())
    return f"shows single people, not accents: {counted(total, 'test speaker')}, {fewest} of {of}"


def assign_folds(table: pd.DataFrame, folds: int) -> pd.Series:
    """The fold (from 0) of each row, always the same: a speaker is in one, an accent evenly in all."""
    from sklearn.model_selection import StratifiedKFold

    if folds < 2:
        raise InputError(f"cross-validation needs at least 2 folds, not {folds}")
    accent_of = table.drop_duplicates("speaker").set_index("speaker")["accent"]  # the first of several
    accent, fewest = min(accent_of.value_counts().items(), key=lambda item: item[1])
    needed = 4 if folds == 2 else folds  # one of two folds tests two of three speakers, and leaves only one
    if fewest < needed:
        own = " of its own" if fewest < table["speaker"][table["accent"] == accent].nunique() else ""
        works = f"--folds {fewest} is the largest number that works"
        advice = works if fewest >= 3 else "merge accents, or leave it out"
        has = f"accent {accent!r} has {counted(fewest, 'speaker')}{own}"
        raise InputError(f"{has}; {folds} folds need at least {needed} of each accent ({advice})")
    parts = enumerate(StratifiedKFold(folds, shuffle=True, random_state=0).split(accent_of, accent_of))
    fold_of = {speaker: fold for fold, (_, tested) in parts for speaker in accent_of.index[tested]}
    return table["speaker"].map(fold_of)


def validation_rows(table: pd.DataFrame, seed: int = 0) -> pd.Series:
    """Which rows to validate on: those of one in eight speakers of each accent, and of at least one."""
    accent_of = table.drop_duplicates("speaker").set_index("speaker")["accent"]  # the first of several
    few = accent_of.value_counts().loc[lambda counts: counts < VALIDATION_PART].index
    chosen = {min(accent_of.index[accent_of == accent], key=lambda s: _draw(seed, s)) for accent in few}
    many = table[~table["speaker"].map(accent_of).isin(few)]
    if len(many):
        chosen |= set(many["speaker"][assign_folds(many, VALIDATION_PART) == 0])
    return table["speaker"].isin(chosen)


def fold_splits(table: pd.DataFrame, fold: int, folds: int) -> pd.DataFrame:
    """Split a corpus for one fold: test its speakers, validate on one in eight of the others."""
    tested = assign_folds(table, folds) == fold
    if not tested.any():
        raise InputError(f"there is no fold {fold}; {folds} folds are numbered from 0 to {folds - 1}")
    validated = validation_rows(table[~tested], seed=fold).reindex(table.index, fill_value=False)
    split = pd.Series("train", table.index).mask(tested, "test").mask(validated, "validation")
    for part in SPLITS:
        if absent := sorted(set(table["accent"]) - set(table["accent"][split == part])):
            why = "because speakers have several accents; try another number of folds, or leave it out"
            raise InputError(f"fold {fold}: no speaker of accent {absent[0]!r} is in the {part} split, {why}")
    return unseen_texts(table.assign(split=split))


def text_column(table: pd.DataFrame) -> str:
    """The column that names the text of each clip; empty if there is none."""
    return next((name for name in TEXTS if name in table), "")


def known_texts(table: pd.DataFrame) -> pd.Series | None:
    """Whether each clip's text is in the training split; None if the corpus does not name its texts."""
    column = text_column(table)
    return table[column].isin(set(table.loc[table["split"] == "train", column])) if column else None


def shared_texts(table: pd.DataFrame, split: str = "test") -> float | None:
    """The share of a split's clips whose text is in the training split; None if texts are not named."""
    known = known_texts(table)
    return None if known is None else float(known[table["split"] == split].mean())


def unseen_texts(table: pd.DataFrame) -> pd.DataFrame:
    """Leave out of training and validation the clips whose text is in the test split, unless this leaves less
    than half of the training clips, or of the speakers of an accent in a split."""
    if not (column := text_column(table)):
        return table
    tested = table["split"] == "test"
    kept = table[tested | (table[column] == "") | ~table[column].isin(set(table.loc[tested, column]))]
    before, after = (of.groupby(["split", "accent"])["speaker"].nunique() for of in (table, kept))
    clips = (kept["split"] == "train").sum() >= 0.5 * (table["split"] == "train").sum()
    return kept if clips and (after.reindex(before.index, fill_value=0) >= 0.5 * before).all() else table


def two_texts(table: pd.DataFrame) -> pd.Series:
    """A group, ``1`` or ``2``, for each clip of a corpus that names its texts: half of the texts in each."""
    texts = sorted(set(table[text_column(table)]), key=lambda text: _draw(0, text))
    return table[text_column(table)].map({text: "12"[i % 2] for i, text in enumerate(texts)})
