"""Who is trained on and who is tested on: speakers are dealt into splits, and nobody is in two."""

import hashlib
import math
from collections.abc import Iterator, Mapping

import pandas as pd

from .config import InputError

SPLITS = ("train", "validation", "test")
VALIDATION_PART = 8  # one in so many of the speakers that a fold does not test
SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}  # of the speakers


def _draw(seed: int, speaker: str) -> float:
    """A number in [0, 1) that follows from the seed and the speaker's name alone."""
    digest = hashlib.sha256(f"{seed}\n{speaker}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def split_by_speaker(
    table: pd.DataFrame, *, seed: int = 1234, name: str = "table", dealt: Mapping[str, str] | None = None
) -> pd.Series:
    """Deal speakers into train (60 %), validation and test (20 % each), each accent in about these shares.

    A speaker's side is drawn from the seed and the speaker's name alone, so it stays when clips or
    speakers are added. Only where an accent is missing in a part, or a part is off its share by more than
    three tenths, speakers drawn near the border are moved; with more speakers of such an accent these few
    can move back, unless ``dealt`` says who is where already.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns accent and speaker.
    seed : int
        Another one deals otherwise.
    name : str
        What an error message calls the table.
    dealt : mapping of speaker to split, optional
        Speakers that keep their sides.

    Returns
    -------
    pandas.Series
        train, validation or test for each row.

    Raises InputError if an accent has fewer than three speakers, or no such deal is found.
    """
    groups = table.groupby("accent")["speaker"].unique().map(set)
    fewest = groups.map(len)
    if fewest.min() < 3:
        raise InputError(
            f"{name}: accent {fewest.idxmin()!r} has {fewest.min()} speakers; a speaker-disjoint"
            " split needs at least 3 of each accent (merge accents, leave it out, or give a split column)"
        )
    everyone = sorted(set(table["speaker"]))
    kept = {speaker: side for speaker, side in (dealt or {}).items() if speaker in everyone}
    for attempt in range(20):  # where few speakers have several accents each, a deal may not work out
        draws = {speaker: _draw(seed + 1000 * attempt, speaker) for speaker in everyone}
        sides = {speaker: _side(x) for speaker, x in draws.items()} | kept
        for _, speakers in sorted(groups.items(), key=lambda item: (len(item[1]), item[0])):
            _even_out(speakers, sides, draws, draws.keys() - kept.keys(), groups)
        if all(set(SPLITS) == {sides[speaker] for speaker in speakers} for speakers in groups):
            return table["speaker"].map(sides)
    raise InputError(
        f"{name}: no way was found to have every accent in each split and nobody in two; give a split column"
    )


def _side(x: float) -> str:
    """The split that a draw falls into: train, then validation, then test."""
    if x < SHARES["train"]:
        return "train"
    return "validation" if x < SHARES["train"] + SHARES["validation"] else "test"


def _even_out(
    speakers: set[str], sides: dict[str, str], draws: dict[str, float], movable: set[str], groups: pd.Series
) -> None:
    """Move speakers of an accent, each at most once, until no part is far off its share."""
    moved: set[str] = set()
    while True:
        counts = {split: sum(sides[s] == split for s in speakers) for split in SPLITS}
        shares = {split: SHARES[split] * len(speakers) for split in SPLITS}
        least = {split: max(1, int(0.7 * share)) for split, share in shares.items()}
        if all(least[s] <= counts[s] <= math.ceil(1.3 * shares[s]) for s in SPLITS):
            return
        emptiest, *others = sorted(SPLITS, key=lambda s: counts[s] / shares[s])
        low = {"train": 0.0, "validation": SHARES["train"], "test": 1 - SHARES["test"]}[emptiest]
        near = sorted(
            speakers & movable - moved,
            key=lambda s: (max(low - draws[s], draws[s] - low - SHARES[emptiest]), s),
        )
        # whoever speaks other accents too must not be the last of one in the part that is left
        free = [
            s for s in near
            if all(any(sides[x] == sides[s] for x in of - {s}) for of in groups if s in of)
        ]  # fmt: skip
        full = (split for split in reversed(others) if counts[split] > least[split])
        speaker = next((s for split in full for s in free if sides[s] == split), None)
        if speaker is None:
            return
        sides[speaker] = emptiest
        moved.add(speaker)


def deal_folds(table: pd.DataFrame, folds: int) -> pd.Series:
    """The fold (from 0) of each row, a speaker's rows together, each accent spread evenly; always the same.

    Raises InputError if an accent has fewer speakers than there are folds.
    """
    from sklearn.model_selection import StratifiedKFold

    speakers = table.drop_duplicates("speaker").reset_index(drop=True)
    counts = speakers["accent"].value_counts()
    if counts.min() < folds:
        raise InputError(f"accent {counts.idxmin()!r} has {counts.min()} speakers, too few for {folds} folds")
    dealt = {}
    parts = StratifiedKFold(folds, shuffle=True, random_state=0).split(speakers, speakers["accent"])
    for fold, (_, held_out) in enumerate(parts):
        dealt |= dict.fromkeys(speakers["speaker"].iloc[held_out], fold)
    return table["speaker"].map(dealt)


def fold_splits(table: pd.DataFrame, fold: int, folds: int) -> pd.DataFrame:
    """The corpus with the split of one fold: its speakers are tested, one in eight of the others validated on."""
    tested = deal_folds(table, folds) == fold
    rest = table[~tested]
    validated = deal_folds(rest, VALIDATION_PART) == 0
    split = pd.Series("test", table.index)
    split[rest.index] = validated.map({True: "validation", False: "train"})
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
