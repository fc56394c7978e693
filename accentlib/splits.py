"""Who is trained on and who is tested on: speakers are dealt into splits, and nobody is in two."""

import hashlib
from collections.abc import Iterator, Mapping

import pandas as pd

from .config import InputError

SPLITS = ("train", "validation", "test")
SHARES = {"train": 0.6, "validation": 0.2, "test": 0.2}  # of the speakers


def _draw(seed: int, speaker: str) -> float:
    """A number in [0, 1) that follows from the seed and the speaker's name alone."""
    digest = hashlib.sha256(f"{seed}\n{speaker}".encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64


def split_by_speaker(
    table: pd.DataFrame, *, seed: int = 1234, name: str = "table", dealt: Mapping[str, str] | None = None
) -> pd.Series:
    """Deal speakers into train (60 %), validation and test (20 % each), every accent in each.

    A speaker's side is drawn from the seed and the speaker's name alone, so it stays when clips or
    speakers are added. Only where an accent would be missing in a part is a speaker moved there, the one
    drawn nearest to it; that can change when such a rare accent gets more speakers, unless ``dealt``
    says who is where already.

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
    draws = {speaker: _draw(seed, speaker) for speaker in sorted(set(table["speaker"]))}
    dealt = {speaker: side for speaker, side in (dealt or {}).items() if speaker in draws}
    sides = {speaker: _side(x) for speaker, x in draws.items()} | dealt
    for accent in sorted(groups.index, key=lambda accent: (fewest[accent], accent)):
        for split in SPLITS:
            if not any(sides[speaker] == split for speaker in groups[accent]):
                _move_one(split, groups[accent] - dealt.keys(), sides, draws, groups)
    lacking = [(a, s) for a, of in groups.items() for s in SPLITS if s not in {sides[x] for x in of}]
    if lacking:
        accent, split = lacking[0]
        raise InputError(
            f"{name}: no speaker of {accent!r} is left for {split}, so that no one is in two splits;"
            " try another --seed, or give a split column"
        )
    return table["speaker"].map(sides)


def _side(x: float) -> str:
    """The split that a draw falls into: train, then validation, then test."""
    if x < SHARES["train"]:
        return "train"
    return "validation" if x < SHARES["train"] + SHARES["validation"] else "test"


def _move_one(
    split: str, candidates: set[str], sides: dict[str, str], draws: dict[str, float], groups: pd.Series
) -> None:
    """Move the candidate drawn nearest to ``split`` there, if no accent then lacks the part it leaves."""
    low = {"train": 0.0, "validation": SHARES["train"], "test": 1 - SHARES["test"]}[split]
    high = low + SHARES[split]
    nearest = sorted(candidates, key=lambda s: (max(low - draws[s], draws[s] - high, 0), s))
    for speaker in nearest:
        left = [of for of in groups if speaker in of]
        if all(any(sides[s] == sides[speaker] for s in of - {speaker}) for of in left):
            sides[speaker] = split
            return


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
