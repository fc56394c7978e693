"""Who is trained on and who is tested on: speakers are dealt into splits, and nobody is in two."""

import hashlib
import itertools
import math
from collections import Counter
from collections.abc import Iterator, Mapping

import pandas as pd

from ..config import InputError, counted

SPLITS = ("train", "validation", "test")
VALIDATION_PART = 8  # one in so many of the speakers that a fold does not test
DRAWN = {"train": (0.0, 0.6), "validation": (0.6, 0.8), "test": (0.8, 1.0)}  # the draws of each split
ABSENT = 1000  # a split without an accent counts as this many misplaced speakers


def _draw(seed: int, speaker: str) -> float:
    """A number in [0, 1) that follows from the seed and the speaker's name alone."""
    digest = hashlib.sha256(f"{seed}\n{speaker}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def split_by_speaker(
    table: pd.DataFrame, *, seed: int = 1234, name: str = "table", dealt: Mapping[str, str] | None = None
) -> pd.Series:
    """Assign each speaker to train, validation or test, about 60, 20 and 20 % of the speakers of each accent.

    The rule: of the speakers of each accent, validation and test get between 12 and 28 % each, and at least
    one; training gets the rest, which is never fewer. With three to seven speakers, validation and test get
    one each.

    A speaker's split is drawn from the seed and the speaker's name alone, so it stays the same when clips or
    speakers are added. Speakers are moved to another split only where the rule demands it, those drawn
    nearest to that split first. When an accent grows, these few can move back, unless ``dealt`` names their
    splits. Where no way is found to keep the rule, because of ``dealt`` or of speakers with several accents,
    each split still has at least one speaker of each accent.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns accent and speaker.
    seed : int
        Another seed gives another split.
    name : str
        What an error message calls the table.
    dealt : mapping of speaker to split, optional
        Speakers that keep their splits.

    Returns
    -------
    pandas.Series
        train, validation or test for each row.

    Raises InputError if an accent has fewer than three speakers, or no such split is found.
    """
    accents = table.groupby("accent")["speaker"].unique().map(set).to_dict()
    few = {accent: len(speakers) for accent, speakers in accents.items() if len(speakers) < 3}
    if few:
        fewest = min(few, key=few.get)
        raise InputError(
            f"{name}: accent {fewest!r} has {counted(few[fewest], 'speaker')}; a speaker-disjoint"
            " split needs at least 3 of each accent (merge accents, leave it out, or give a split column)"
        )
    everyone = set(table["speaker"])
    kept = {speaker: split for speaker, split in (dealt or {}).items() if speaker in everyone}
    least, best = math.inf, {}
    for attempt in range(20):  # one is enough unless speakers have several accents
        splits = _assign(accents, seed + 1000 * attempt, kept)
        off = sum(_off(Counter(splits[s] for s in speakers)) for speakers in accents.values())
        if off < least:
            least, best = off, splits
        if not off:
            break
    if least >= ABSENT:
        raise InputError(
            f"{name}: no way was found to have every accent in each split and nobody in two;"
            " give a split column"
        )
    return table["speaker"].map(best)


def _off(counts: Counter[str]) -> int:
    """By how many speakers an accent breaks the rule; ABSENT more for each split without a speaker of it."""
    speakers = counts.total()
    low, high = max(1, math.ceil(speakers * 12 / 100)), max(1, speakers * 28 // 100)
    off = sum(max(low - counts[split], counts[split] - high, 0) for split in ("validation", "test"))
    return off + ABSENT * sum(not counts[split] for split in SPLITS)


def _assign(accents: dict[str, set[str]], seed: int, kept: dict[str, str]) -> dict[str, str]:
    """The split of each speaker: as drawn, then moved one by one while a move brings the accents nearer the rule."""
    accents_of: dict[str, list[str]] = {}
    for accent, speakers in accents.items():
        for speaker in speakers:
            accents_of.setdefault(speaker, []).append(accent)
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
        best = next(filter(None, (min(moves(accent), default=None) for accent in wrong)), None)
        if best is None:
            return splits
        *_, speaker, split = best
        counts |= {accent: after(accent, speaker, split) for accent in accents_of[speaker]}
        splits[speaker] = split


def few_speakers(table: pd.DataFrame) -> str:
    """A warning if figures on these rows, which are tested, are those of single people; else nothing.

    Enough are 10 speakers in all and 3 of each accent.
    """
    speakers, total = table.groupby("accent")["speaker"].nunique(), table["speaker"].nunique()
    fewest = speakers.min()
    if total >= 10 and fewest >= 3:
        return ""
    of = "each accent" if fewest == speakers.max() else repr(speakers.idxmin())
    return f"shows single people, not accents: {counted(total, 'test speaker')}, {fewest} of {of}"


def deal_folds(table: pd.DataFrame, folds: int) -> pd.Series:
    """The fold (from 0) of each row, a speaker's rows together, each accent spread evenly; always the same.

    A speaker with several accents counts for the first.

    Raises InputError if an accent has too few speakers to test, validate and train on one in every fold.
    """
    from sklearn.model_selection import StratifiedKFold

    if folds < 2:
        raise InputError(f"cross-validation needs at least 2 folds, not {folds}")
    accent_of = _accent_of(table)
    counts = accent_of.value_counts()
    accent, fewest = counts.idxmin(), int(counts.min())
    needed = 4 if folds == 2 else folds  # one of two folds tests two speakers of three, which leaves one
    if fewest < needed:
        own = " of its own" if fewest < table["speaker"][table["accent"] == accent].nunique() else ""
        works = f"--folds {fewest} is the largest number that works"
        advice = works if fewest >= 3 else "merge accents, or leave it out"
        raise InputError(
            f"accent {accent!r} has {counted(fewest, 'speaker')}{own};"
            f" {folds} folds need at least {needed} of each accent ({advice})"
        )
    dealt = {}
    parts = StratifiedKFold(folds, shuffle=True, random_state=0).split(accent_of, accent_of)
    for fold, (_, held_out) in enumerate(parts):
        dealt |= dict.fromkeys(accent_of.index[held_out], fold)
    return table["speaker"].map(dealt)


def _accent_of(table: pd.DataFrame) -> pd.Series:
    """The accent of each speaker; the first of several."""
    return table.drop_duplicates("speaker").set_index("speaker")["accent"]


def validation_rows(table: pd.DataFrame, seed: int = 0) -> pd.Series:
    """Which rows to validate on: those of one in eight speakers of each accent, and of at least one."""
    accent_of = _accent_of(table)
    few = accent_of.value_counts().loc[lambda counts: counts < VALIDATION_PART].index
    chosen = {min(accent_of.index[accent_of == accent], key=lambda s: _draw(seed, s)) for accent in few}
    many = table[~table["speaker"].map(accent_of).isin(few)]
    if len(many):
        chosen |= set(many["speaker"][deal_folds(many, VALIDATION_PART) == 0])
    return table["speaker"].isin(chosen)


def fold_splits(table: pd.DataFrame, fold: int, folds: int) -> pd.DataFrame:
    """The corpus with the split of one fold: its speakers are tested, one in eight of the others validated on.

    Raises InputError if there are too few speakers for so many folds, or no such fold, or speakers with several
    accents leave an accent without a speaker in one of the splits.
    """
    tested = deal_folds(table, folds) == fold
    if not tested.any():
        raise InputError(f"there is no fold {fold}; {folds} folds are numbered from 0 to {folds - 1}")
    validated = validation_rows(table[~tested], seed=fold)
    split = pd.Series("test", table.index)
    split[validated.index] = validated.map({True: "validation", False: "train"})
    for part in SPLITS:
        absent = sorted(set(table["accent"]) - set(table["accent"][split == part]))
        if absent:
            raise InputError(
                f"fold {fold}: no speaker of accent {absent[0]!r} is in the {part} split, because speakers have"
                " several accents; try another number of folds, or leave the accent out"
            )
    return table.assign(split=split)


def leave_one_group_out(
    table: pd.DataFrame, column: str, *, seed: int = 1234
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Honest tests of generalisation: each group (a corpus, a text) is tested on once, and never trained on.

    Speakers of the group who are in no other (as when groups are corpora) are all tested on. Where the
    same speakers are in several groups (as when groups are texts), they keep the sides that ``split`` or
    the seed gives them: a text is tested on test speakers, and the others train on the other texts.

    Parameters
    ----------
    table : pandas.DataFrame
        A corpus; ``split`` is made (:func:`split_by_speaker`) where it is not there.
    column : str
        The column that names the group of each row.
    seed : int
        Of the speakers' sides.

    Yields
    ------
    group : str
    table : pandas.DataFrame
        The rows that are used, with their split; what is in no split is left out.

    Raises InputError if there is no such column, or fewer than two groups.
    """
    if column not in table:
        raise InputError(f"the corpus has no column {column!r}; it has {', '.join(table.columns)}")
    groups = sorted(set(table[column]))
    if len(groups) < 2:
        raise InputError(f"column {column!r} has one value only, {groups[0]!r}: nothing to leave out")
    homes = table.groupby("speaker")[column].nunique()
    at_home = table["speaker"].map(homes) == 1
    sides = table["split"] if "split" in table else split_by_speaker(table, seed=seed)
    for group in groups:
        held_out = table[column] == group
        # who is in this group alone is tested; who is in another group alone has no test to be kept for
        split = sides.where(held_out | ~at_home, sides.replace("test", "train"))
        split = split.mask(held_out & at_home, "test")
        used = held_out == (split == "test")
        yield group, table[used].assign(split=split[used]).reset_index(drop=True)
