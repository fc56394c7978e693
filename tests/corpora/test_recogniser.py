"""Phones found by pocketsphinx: with a text and without, in any order, interrupted and resumed."""

import random

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from helpers import ROOT

from accentlib.cli import main
from accentlib.config import InputError
from accentlib.corpora import recogniser
from accentlib.corpora.phones import read_phones
from accentlib.corpora.recogniser import align, find_phones, known_words, pcm, recognise, words_of
from accentlib.corpora.table import read_corpus
from accentlib.experiments.native_ear import can_hear

pytest.importorskip("pocketsphinx")
NEURAL = ROOT / "data" / "neural_voices"
FARMER = "The farmer cannot park his car after dark in the yard."


@pytest.fixture(scope="module")
def voices() -> pd.DataFrame:
    """The same sentence in six accents."""
    table = read_corpus(NEURAL, split=False)
    return table[table["sentence"] == "s00"].groupby("accent").head(1).iloc[:6].reset_index(drop=True)


def test_the_same_file_gives_the_same_phones_whatever_came_before(voices):
    waves = {path: pcm(path) for path in voices["path"]}
    first = {path: (recognise(wave), align(wave, words_of(FARMER))) for path, wave in waves.items()}
    order = list(waves) * 2
    random.Random(0).shuffle(order)
    for path in order:
        assert recognise(waves[path]) == first[path][0]
        assert align(waves[path], words_of(FARMER)) == first[path][1]


def test_a_known_text_gives_its_phones_in_order_within_the_recording(voices, tmp_path):
    phones, problems = find_phones(voices, tmp_path / "phones.csv", text=FARMER, progress=False)
    assert not problems and set(phones["source"]) == {"aligned"}
    for path, own in phones.groupby("path"):
        assert (own["start"].to_numpy()[1:] >= own["end"].to_numpy()[:-1] - 1e-6).all()
        spoken = own[own["phone"] != "SIL"]
        assert " ".join(spoken["phone"].iloc[:2]) in ("DH AH", "DH IY")
        assert " ".join(spoken["phone"].iloc[-4:]) == "Y AA R D"
        length = len(recogniser.load_audio(path, 16_000)) / 16_000
        assert own["end"].max() <= length + recogniser.LEAD
        assert list(spoken["word"].drop_duplicates()) == list(dict.fromkeys(words_of(FARMER)))
        assert set(own.loc[own["phone"] == "SIL", "word"]) <= {"sil"}


def test_without_a_text_most_of_the_sound_is_named_as_with_it(voices, tmp_path):
    """Two ways that know nothing of each other agree far more often than by chance."""
    with_text, _ = find_phones(voices, tmp_path / "a.csv", text=FARMER, progress=False)
    without, _ = find_phones(voices, tmp_path / "b.csv", progress=False)
    assert set(without["source"]) == {"recognised"}
    agreed, chance = [], []
    for path, own in with_text.groupby("path"):
        other = without[without["path"] == path]
        times = [t / 100 for t in range(10, 250)]
        named = [
            [part.loc[(part["start"] <= t) & (t < part["end"]), "phone"].max() for t in times]
            for part in (own, other)
        ]
        agreed += [a == b for a, b in zip(*named, strict=True)]
        chance += [a == b for a, b in zip(named[0], named[1][60:] + named[1][:60], strict=True)]
    assert sum(agreed) > 0.4 * len(agreed) > 2 * sum(chance)


def test_a_recording_without_its_text_is_recognised(voices, tmp_path):
    texts = [FARMER, f"{FARMER} {FARMER} Thirty thick feathers.", "Zxqwv the farmer", "", FARMER, FARMER]
    table = voices.assign(text=texts)
    phones, _ = find_phones(table, tmp_path / "phones.csv", transcripts="text", progress=False)
    source = phones.groupby("path")["source"].agg(["first", "nunique"]).loc[table["path"]]
    assert source["nunique"].eq(1).all()
    assert source["first"].tolist() == ["aligned", *["recognised"] * 3, "aligned", "aligned"]


def test_a_text_of_which_little_is_said_is_not_taken_for_what_is_said(voices, tmp_path):
    """Everything else was called a pause."""
    clips = [recogniser.load_audio(path, 16_000) for path in voices["path"][:3]]
    sf.write(tmp_path / "long.wav", np.concatenate(clips), 16_000)
    table = pd.DataFrame({"path": [str(tmp_path / "long.wav")], "accent": "us", "speaker": "s"})
    for text, how in {"The farmer.": "recognised", " ".join([FARMER] * 3): "aligned"}.items():
        phones, _ = find_phones(table, tmp_path / "phones.csv", text=text, progress=False)
        assert set(phones["source"]) == {how}


def test_words_that_the_dictionary_lacks_are_named_and_counted(voices, tmp_path, capsys):
    find_phones(voices[:2], tmp_path / "phones.csv", text="The Zxqwv, the 7th Zxqwv!", progress=False)
    assert (
        "words that the dictionary lacks: zxqwv (4), 7th (2); 2 clips recognised" in capsys.readouterr().err
    )
    assert words_of("Don\u2019t 'stop' the o'clock--\u201cnow\u201d") == [
        "don't",
        "stop",
        "the",
        "o'clock",
        "now",
    ]
    assert set(words_of(FARMER)) <= known_words("")


def test_a_search_that_was_stopped_goes_on_where_it_was(voices, tmp_path, monkeypatch):
    whole, _ = find_phones(voices, tmp_path / "whole.csv", progress=False)
    done, output = [], tmp_path / "phones.csv"

    def in_order(work, paths, progress):
        for path in paths:
            if len(done) == 2:
                raise KeyboardInterrupt
            done.append(path)
            yield work(path)

    monkeypatch.setattr(recogniser, "in_processes", in_order)
    with pytest.raises(KeyboardInterrupt):
        find_phones(voices, output, progress=False)
    assert not output.exists()  # a part of the phones is never taken for all
    (part,) = tmp_path.glob("phones.csv.*.part")
    part.write_text(part.read_text() + '\n["cut off in mid-l')
    done.clear()
    found, _ = find_phones(voices[::-1].iloc[::-1], output, progress=False)
    assert len(done) < 3  # the first three were there
    pd.testing.assert_frame_equal(found, whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["phones.csv", "whole.csv"]


def test_files_that_cannot_be_read_are_named(voices, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF")
    table = pd.concat([voices[:1], voices[1:2].assign(path=str(broken), id="b")], ignore_index=True)
    phones, problems = find_phones(table, tmp_path / "phones.csv", progress=False)
    assert list(problems) == ["b"] and "broken.wav" in problems["b"] and len(phones)
    with pytest.raises(InputError, match="no clip has phones: .*broken.wav"):
        find_phones(table[1:], tmp_path / "none.csv", progress=False)


def test_other_languages_get_no_english_phones(voices, tmp_path, capsys):
    with pytest.raises(
        InputError, match="those of English, and no clip is in English; give --acoustic-model"
    ):
        find_phones(voices.assign(language="French"), tmp_path / "phones.csv")
    with pytest.raises(InputError, match="needs the text"):
        find_phones(voices, tmp_path / "phones.csv", acoustic_model=tmp_path)
    with pytest.raises(InputError, match="no acoustic model of pocketsphinx"):
        find_phones(voices, tmp_path / "phones.csv", acoustic_model=tmp_path, text=FARMER)
    with pytest.raises(InputError, match="no column 'words'; it has path"):
        find_phones(voices, tmp_path / "phones.csv", transcripts="words")
    assert not list(tmp_path.iterdir())
    some = voices[:2].assign(locale=["de", "en-US"])  # as Common Voice declares it
    phones, problems = find_phones(some, tmp_path / "phones.csv", progress=False)
    assert set(phones["path"]) == {some["path"][1]} and not problems
    assert "no phones: 1 clip in other languages" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["English", "en", "", "en-US", "en_GB", "English (India)", "US English"])
def test_english_has_many_names(voices, name):
    assert recogniser.in_english(voices.assign(language=name)).all()
    assert can_hear(voices.assign(speech="people", language=name))
    for other in (
        voices,
        voices.assign(speech="people", language="fr"),
        voices.assign(speech="people", language=["de", *[name] * 5]),
    ):
        assert not can_hear(other)  # synthetic speech, or not English throughout


def test_the_command_line_finds_phones(voices, tmp_path, capsys, monkeypatch):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    voices[:3].drop(columns="id").to_csv(corpus / "manifest.csv", index=False)
    (tmp_path / "text.txt").write_text(FARMER)
    argv = ["phones", "--data", str(corpus), "--output", str(corpus / "phones.csv")]
    assert main([*argv, "--text", str(tmp_path / "text.txt")]) == 0
    err = capsys.readouterr().err
    assert "finding the phones of 3 clips: about 1 min" in err and "3 clips aligned" in err
    assert set(read_phones(corpus)["path"]) == set(voices["path"][:3])
    assert main([*argv, "--text", str(tmp_path / "none.txt")]) == 2
    assert "none.txt: no text that can be read (No such file" in capsys.readouterr().err
    (tmp_path / "empty.txt").write_text(" \n")
    assert main([*argv, "--text", str(tmp_path / "empty.txt")]) == 2
    assert "empty.txt: there is no text in it" in capsys.readouterr().err
    assert main([*argv, "--text", voices["path"][0]]) == 2
    assert "it is not in UTF-8" in capsys.readouterr().err
    assert main([*argv, "--text", str(tmp_path / "text.txt"), "--transcripts", "sentence"]) == 2
    assert "give --text or --transcripts, not both" in capsys.readouterr().err
    monkeypatch.setattr(recogniser, "find_spec", lambda name: None)
    assert main(argv) == 2
    assert capsys.readouterr().err == "accentlib: phones need pocketsphinx: pip install 'accentlib[phones]'\n"
