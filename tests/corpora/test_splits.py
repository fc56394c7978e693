"""Each speaker is in one split: also when clips are added, and when a text or a corpus is left out."""

import numpy as np
import pandas as pd
import pytest

from accentlib.config import InputError
from accentlib.corpora.splits import (
    shared_texts,
    split_by_speaker,
    two_texts,
    unseen_texts,
)


def people(**speakers: int) -> pd.DataFrame:
    """Two clips of each speaker; the arguments are the numbers of speakers by accent."""
    rows = [(a, f"{a}{i}", clip) for a, n in speakers.items() for i in range(n) for clip in range(2)]
    return pd.DataFrame(rows, columns=["accent", "speaker", "clip"])


def splits_of(table: pd.DataFrame, **kinds) -> dict[str, str]:
    return dict(zip(table["speaker"], split_by_speaker(table, **kinds), strict=True))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("counts", [{"x": 3, "y": 3}, {"x": 3, "y": 40}, {"x": 7, "y": 5, "z": 4}])
def test_every_accent_is_in_every_part_and_nobody_in_two(counts, seed):
    table = people(**counts)
    table["split"] = split_by_speaker(table, seed=seed)
    assert table.groupby("speaker")["split"].nunique().max() == 1
    parts = pd.crosstab(table["accent"], table["split"])
    assert parts.shape[1] == 3 and parts.to_numpy().min() > 0


def test_accents_of_three_to_seven_speakers_train_with_all_but_two():
    for speakers in range(3, 8):
        for seed in range(20):
            table = people(x=speakers, y=speakers, z=40)
            counts = pd.crosstab(table["accent"], split_by_speaker(table, seed=seed)) / 2
            expected = {"train": speakers - 2, "validation": 1, "test": 1}
            assert counts.loc["x"].to_dict() == counts.loc["y"].to_dict() == expected, (speakers, seed)


@pytest.mark.parametrize("shared", [False, True])
def test_the_rule_holds_for_a_thousand_random_corpora(shared):
    """Validation and test get 12 to 28 % of each accent (at least one speaker), training gets the most."""
    for k in range(500):
        rng = np.random.default_rng(k)
        accents, sizes = rng.integers(2, 9), rng.integers(3, 41, 8)
        rows = [(a, f"{a}_{i}") for a in range(accents) for i in range(sizes[a])]
        if shared:  # up to half of the speakers also speak another accent
            also = rng.permutation(len(rows))[: rng.integers(len(rows) // 2)]
            rows += [(int(rng.integers(accents)), rows[i][1]) for i in also]
        table = pd.DataFrame(rows, columns=["accent", "speaker"]).drop_duplicates()
        split = split_by_speaker(table, seed=int(rng.integers(10_000)))
        assert len(set(zip(table["speaker"], split, strict=True))) == table["speaker"].nunique()
        for accent, of in split.groupby(table["accent"]):
            counts = [int((of == part).sum()) for part in ("train", "validation", "test")]
            least, most = max(1, 0.12 * len(of)), max(1, 0.28 * len(of))
            assert all(least <= count <= most for count in counts[1:]), (k, accent, counts)
            assert counts[0] == max(counts), (k, accent, counts)


def test_shares_are_three_one_one_in_the_long_run():
    shares = split_by_speaker(people(x=2000, y=2000)).value_counts(normalize=True)
    assert shares.to_dict() == pytest.approx({"train": 0.6, "validation": 0.2, "test": 0.2}, abs=0.02)


@pytest.mark.parametrize("seed", range(10))
def test_each_accent_is_in_about_these_shares(seed):
    table = people(x=46, y=20, z=12)
    counts = pd.crosstab(table["accent"], split_by_speaker(table, seed=seed)) / 2
    for accent, speakers in {"x": 46, "y": 20, "z": 12}.items():
        for part, share in {"train": 0.6, "validation": 0.2, "test": 0.2}.items():
            assert 0.7 * share * speakers - 1 < counts.loc[accent, part] < 1.3 * share * speakers + 1


def test_a_speaker_keeps_the_split_when_clips_and_speakers_are_added():
    few, many = people(x=30, y=25), people(x=45, y=25, z=12)
    changed = 0
    for seed in range(10):
        before = splits_of(few, seed=seed)
        clips = pd.concat([few, few.head(41), few.tail(7)]).sample(frac=1, random_state=1)
        assert splits_of(clips, seed=seed) == before
        after = splits_of(pd.concat([many, few]), seed=seed)
        changed += sum(after[speaker] != split for speaker, split in before.items())
        after = splits_of(many, seed=seed, assigned=before)
        assert all(after[speaker] == split for speaker, split in before.items())
    assert changed < 0.03 * 10 * 55  # without `assigned`, at most the few who were drawn near a border
    assert splits_of(few, seed=2) != splits_of(few, seed=3)


def test_assigned_splits_are_kept_where_the_draw_would_move_a_speaker():
    table = people(x=3, y=3)
    assigned = {"x0": "test", "x1": "test", "y2": "validation", "gone": "train"}
    for seed in range(20):
        try:
            got = splits_of(table, seed=seed, assigned=assigned)
        except InputError as error:
            assert "found no split with every accent" in str(error)  # one speaker of x is left for two splits
            continue
        raise AssertionError(got)
    table = people(x=4, y=3)
    for seed in range(20):
        got = splits_of(table, seed=seed, assigned=assigned)
        assert {s: got[s] for s in ("x0", "x1", "y2")} == {s: assigned[s] for s in ("x0", "x1", "y2")}


def test_training_has_the_most_also_when_speakers_are_added_one_by_one():
    for seed in range(5):
        assigned: dict[str, str] = {}
        for speakers in range(3, 41):
            table = people(x=speakers, y=3 + speakers // 4)
            now = splits_of(table, seed=seed, assigned=assigned)
            assert now | assigned == now
            counts = pd.crosstab(table["accent"], table["speaker"].map(now)) / 2
            assert counts.shape == (2, 3) and counts.to_numpy().min() > 0
            assert (counts["train"] == counts.max(axis=1)).all(), (seed, speakers, counts)
            assigned = now


def test_voices_with_every_accent_are_in_one_split():
    voices = pd.DataFrame([(a, f"v{i}") for a in "abcd" for i in range(6)], columns=["accent", "speaker"])
    for seed in range(20):
        voices["split"] = split_by_speaker(voices, seed=seed)
        assert voices.groupby("speaker")["split"].nunique().max() == 1
        assert set(voices["split"]) == {"train", "validation", "test"}


def test_moving_speakers_with_several_accents_leaves_every_accent_in_every_split():
    found = 0
    for k in range(100):
        rng = np.random.default_rng(k)
        size = int(rng.integers(5, 12))
        of = {a: rng.choice(size, int(rng.integers(3, size)), replace=False) for a in "abcd"}
        rows = [(a, f"v{v}") for a, speakers in of.items() for v in speakers]
        table = pd.DataFrame(rows, columns=["accent", "speaker"])
        try:
            table["split"] = split_by_speaker(table, seed=k)
        except InputError:
            continue  # some of these have no such split
        assert table.groupby("accent")["split"].nunique().min() == 3
        found += 1
    assert found >= 95


def test_too_few_speakers_are_refused_by_name():
    with pytest.raises(InputError, match="here: accent 'y' has 2 speakers; .* at least 3 of each"):
        split_by_speaker(people(x=5, y=2), name="here")


def read_by(readers: dict[str, str]) -> pd.DataFrame:
    """A corpus of texts and who reads them; speakers are named by accent, split and number: xt0."""
    rows = [(text, who) for text, speakers in readers.items() for who in speakers.split()]
    table = pd.DataFrame(rows, columns=["sentence", "speaker"])
    names = {"t": "train", "v": "validation", "e": "test"}
    return table.assign(accent=table["speaker"].str[0], split=table["speaker"].str[1].map(names))


def test_clips_whose_text_is_tested_are_not_trained_on():
    table = read_by({"a": "xt0 yt0 xv0", "b": "xe0 ye0 yt0 yv0", "c": "xt0 yt0 yv0", "": "xt0 xe0 ye0 yt0"})
    kept = unseen_texts(table)
    assert sorted(kept["sentence"]) == ["", "", "", "", "a", "a", "a", "b", "b", "c", "c", "c"]
    assert set(kept.loc[kept["sentence"] == "b", "split"]) == {"test"}
    assert shared_texts(kept[kept["sentence"] != ""]) == 0
    assert shared_texts(table) == 1 and shared_texts(kept) == 0.5  # two of four texts are not known
    assert shared_texts(table.drop(columns="sentence")) is None


def test_texts_stay_shared_where_too_little_would_be_left():
    one = read_by({"a": "xt0 yt0 xv0 yv0 xe0 ye0"})
    pd.testing.assert_frame_equal(unseen_texts(one), one)
    alone = read_by({"a": "xt0 xt1 xv0 xv1 yv0 yt1", "b": "yt0 xe0 ye0"})  # without b, yt0 would go: half
    assert len(unseen_texts(alone)) == len(alone) - 1
    rare = read_by({"a": "xt0 xt1 xv0 yv0 xv1 yt9", "b": "yt0 yt1 xe0 ye0"})  # two of three
    pd.testing.assert_frame_equal(unseen_texts(rare), rare)
    most = read_by({"a": "xt0 yt0 xv0 yv0", "b": "xt0 xt0 yt0 yt0 xe0 ye0"})  # every speaker stays, few clips
    pd.testing.assert_frame_equal(unseen_texts(most), most)
    unnamed = one.drop(columns="sentence")
    assert unseen_texts(unnamed) is unnamed


def test_half_of_the_texts_are_in_each_group():
    table = read_by({str(i): "xt0 ye0" for i in range(9)})
    groups = two_texts(table)
    assert groups.groupby(table["sentence"]).nunique().max() == 1
    assert sorted(groups.groupby(table["sentence"]).first().value_counts()) == [4, 5]
