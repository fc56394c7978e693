"""Recordings of one text, cut in two at the same word."""

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from accentlib.corpora.halves import halve
from accentlib.corpora.phones import read_phones

RATE = 16_000
STARTS = {"a": [0.1, 0.4, 1.1, 1.5], "b": [0.3, 0.7, 0.95, 1.7], "cut": [0.2, 0.9]}
WORDS = ["please", "call", "stella", "please"]


@pytest.fixture
def spoken(tmp_path):
    """Three recordings of 2 s, one of them cut off in mid-text, and their phones: two a word."""
    rng = np.random.default_rng(0)
    rows = []
    for name, starts in STARTS.items():
        sf.write(tmp_path / f"{name}.wav", rng.uniform(-0.5, 0.5, 2 * RATE), RATE)
        rows.append((f"{name}.wav", 0.0, starts[0], "SIL", "sil"))
        for start, word in zip(starts, WORDS, strict=False):
            rows += [(f"{name}.wav", start, start + 0.1, "L", word)]
            rows += [(f"{name}.wav", start + 0.1, start + 0.2, "AH", word)]
    phones = pd.DataFrame(rows, columns=["path", "start", "end", "phone", "word"])
    phones.to_csv(tmp_path / "phones.csv", index=False)
    paths = [str(tmp_path / f"{name}.wav") for name in STARTS]
    return pd.DataFrame({"path": paths, "accent": "x", "speaker": list(STARTS)})


def test_all_are_cut_at_the_same_word_and_who_lacks_words_is_left_out(spoken, tmp_path):
    halves, phones, problems = halve(spoken, tmp_path / "halves", read_phones(tmp_path / "phones.csv"))
    assert problems == [f"{tmp_path / 'cut.wav'}: does not hold the words of most others"]
    assert halves["speaker"].tolist() == ["a", "a", "b", "b"] and halves["text"].tolist() == ["1", "2"] * 2
    for name, (first, second) in {"a": halves["path"][:2], "b": halves["path"][2:]}.items():
        parts = [sf.read(path)[0] for path in (first, second)]
        assert len(parts[0]) / RATE == pytest.approx(STARTS[name][2])
        whole = sf.read(tmp_path / f"{name}.wav")[0]
        np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-4)
        own = phones[phones["id"] == second]
        assert own["word"].tolist() == ["stella", "stella", "please", "please"]
        np.testing.assert_allclose(own["start"].iloc[::2], np.array(STARTS[name][2:]) - STARTS[name][2])
        assert phones.loc[phones["id"] == first, "word"].tolist() == [
            "sil",
            "please",
            "please",
            "call",
            "call",
        ]
    again, *_ = halve(spoken, tmp_path / "halves", read_phones(tmp_path / "phones.csv"))
    pd.testing.assert_frame_equal(again, halves)


def test_without_words_the_middle_is_the_cut(spoken, tmp_path):
    phones = read_phones(tmp_path / "phones.csv").drop(columns="word")
    halves, moved, problems = halve(spoken, tmp_path / "halves", phones)
    assert not problems and len(halves) == 6
    assert {sf.info(path).frames for path in halves["path"]} == {RATE}
    assert len(moved) == len(phones) + 1 and moved["end"].max() <= 1.0  # a phone of b spans it
    nothing, none, _ = halve(spoken, tmp_path / "other")
    assert len(nothing) == 6 and none is None
