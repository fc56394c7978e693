"""TextGrids in and out."""

import shutil

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from helpers import RATE, ROOT, tone
from praatio.data_classes.interval_tier import IntervalTier
from praatio.data_classes.textgrid import Textgrid
from praatio.utilities.constants import Interval

from accentlib.cli import main
from accentlib.config import InputError
from accentlib.corpora.phones import read_phones
from accentlib.corpora.table import read_corpus
from accentlib.corpora.textgrids import from_textgrids, phones_from_textgrids, phones_to_textgrids


def write_grid(file, tiers, length=6.0):
    grid = Textgrid(0, length)
    for name, entries in tiers.items():
        grid.addTier(IntervalTier(name, [Interval(*entry) for entry in entries], 0, length))
    file.parent.mkdir(parents=True, exist_ok=True)
    grid.save(str(file), "long_textgrid", includeBlankSpaces=True)


@pytest.fixture
def interviews(tmp_path):
    for accent in ("high", "low", "middle"):
        for number in range(3):
            file = tmp_path / "interviews" / accent / f"{number}.TextGrid"
            turns = [(0.5, 2.0, "what did you say"), (3.0, 4.5, "nothing")]
            write_grid(file, {f"{accent} {number}": turns, "notes": [(0.0, 6.0, "door")]})
            pitch = {"high": 900, "low": 150, "middle": 400}[accent]
            sf.write(file.with_suffix(".wav"), tone(pitch + number, 6.0, seed=number + pitch), RATE)
    return tmp_path / "interviews"


def test_intervals_become_segments_of_their_speakers(interviews, tmp_path, capsys):
    tiers = [f"{accent} {number}" for accent in ("high", "low", "middle") for number in range(3)]
    listing = from_textgrids(interviews)
    assert len(listing) == 27 and set(listing["speaker"]) == {*tiers, "notes"}
    for file in interviews.rglob("*.TextGrid"):
        own = f"{file.parent.name} {file.stem}"
        write_grid(file, {own: [(0.5, 2.0, "what did you say"), (3.0, 4.5, "nothing")]})
    assert main(["corpus", "from-textgrid", str(interviews), "--output", str(tmp_path / "corpus")]) == 0
    table = read_corpus(tmp_path / "corpus", split=False)
    assert (
        len(table) == 18
        and set(table["speaker"]) == set(tiers)
        and set(table["text"]) == {"what did you say", "nothing"}
    )
    assert table["path"].str.contains("#t=0.500,2.000").sum() == 9


def test_faulty_grids_are_named_and_the_rest_goes_on(interviews):
    (interviews / "high" / "0.TextGrid").write_text("no grid")
    (interviews / "high" / "1.wav").unlink()
    (interviews / "low" / "0.TextGrid").write_bytes(
        (interviews / "low" / "0.TextGrid").read_text().encode("utf-16")
    )
    problems = from_textgrids(interviews, ["notes"])["problem"].tolist()
    assert len(problems) == 9 and problems.count("") == 7  # the one in UTF-16 is read
    assert "no recording beside it" in problems and any("no TextGrid that can be read" in x for x in problems)
    problems = from_textgrids(interviews, ["nobody"])["problem"]
    assert problems.str.startswith("no tier 'nobody'; it has ").sum() == 7
    with pytest.raises(InputError, match=r"no \*.TextGrid"):
        from_textgrids(interviews.parent / "nowhere")


def test_phones_go_to_textgrids_and_come_back(tmp_path, capsys):
    table = read_corpus(ROOT / "data/accents_mini", split=False)[:3]
    names = {clip: f"ID {i}" for i, clip in enumerate(table["id"])}
    table["id"] = table["id"].map(names)
    rows = [(i, path, 0.1 * k, 0.1 * k + 0.1, phone) for i, path in zip(table["id"], table["path"], strict=True)
            for k, phone in enumerate(["SIL", "DH", "AH", "IY", "ZH"])]  # fmt: skip
    phones = pd.DataFrame(rows, columns=["id", "path", "start", "end", "phone"]).round(3)
    assert phones_to_textgrids(table, phones, tmp_path / "grids") == 3
    back, problems = phones_from_textgrids(table, tmp_path / "grids", tmp_path / "back.csv")
    assert problems == {}
    pd.testing.assert_frame_equal(back, phones)
    pd.testing.assert_frame_equal(read_phones(tmp_path / "back.csv")[back.columns], back)
    with pytest.raises(InputError, match="perhaps corrected"):
        phones_to_textgrids(table, phones, tmp_path / "grids")


def test_labels_in_ipa_and_with_stress_are_known_and_strange_ones_counted(tmp_path, capsys):
    table = read_corpus(ROOT / "data/accents_mini", split=False)[:2]
    stem = table["path"].iloc[0].rpartition("/")[2].removesuffix(".ogg")
    labels = ["AA1", "θ", "ah0", "sp", "ɹ", "ə", "iː", "pʰ", "t͡ʃ", "ˈæ", "??", "??", "ʘ"]
    other = table["path"].iloc[1].rpartition("/")[2].removesuffix(".ogg")
    write_grid(
        tmp_path / f"{stem}.TextGrid", {"phone": [(0.1 * k, 0.1 * k + 0.1, x) for k, x in enumerate(labels)]}
    )
    write_grid(tmp_path / f"{other}.TextGrid", {"phone": [(0.0, 0.1, "??")], "phones": []})
    phones, problems = phones_from_textgrids(table, tmp_path, tmp_path / "p.csv", "phone")
    assert (
        phones["phone"].tolist() == ["AA", "TH", "AH", "SIL", "R", "AH", "IY", "P", "CH", "AE"]
        and problems == {}
    )
    assert "?? (3), ʘ (1)" in capsys.readouterr().err
    with pytest.raises(InputError, match="no tier 'words'"):
        phones_from_textgrids(table, tmp_path, tmp_path / "q.csv", "words")
    with pytest.raises(InputError, match="none known"):
        phones_from_textgrids(table[1:], tmp_path, tmp_path / "q.csv", "phone")
    assert not (tmp_path / "q.csv").exists()


def test_the_verbs_write_only_where_they_are_told(tmp_path, capsys):
    data = tmp_path / "corpus"
    data.mkdir()
    rows = read_corpus(ROOT / "data/accents_mini", split=False)[::700]
    rows["path"] = [shutil.copy(path, data / f"{i}.ogg") for i, path in enumerate(rows["path"])]
    rows["path"] = [path.name for path in rows["path"]]
    rows.drop(columns="id").to_csv(data / "manifest.csv", index=False)
    pd.DataFrame({"path": rows["path"], "start": 0.0, "end": 0.5, "phone": "AA"}).to_csv(
        data / "phones.csv", index=False
    )
    before = {path: path.read_bytes() for path in data.iterdir()}
    common = ["--data", str(data)]
    assert (
        main(
            [
                "phones",
                "to-textgrid",
                *common,
                "--phones",
                str(data / "phones.csv"),
                "--output",
                str(tmp_path / "g"),
            ]
        )
        == 0
    )
    assert (
        main(["phones", "from-textgrid", str(tmp_path / "g"), *common, "--output", str(tmp_path / "b.csv")])
        == 0
    )
    assert sorted(x.name for x in (tmp_path / "g").iterdir()) == [f"{i}.TextGrid" for i in range(len(rows))]
    assert {path: path.read_bytes() for path in data.iterdir()} == before
    np.testing.assert_array_equal(read_phones(tmp_path / "b.csv")["end"], 0.5)
    assert main(["phones", *common]) == 2 and "give --data and --output" in capsys.readouterr().err


def test_the_grids_of_l2_arctic_are_found_in_their_folder(tmp_path):
    rows = []
    for speaker in ("ABA", "BWC"):
        (tmp_path / speaker / "wav").mkdir(parents=True)
        rows.append(
            shutil.copy(
                ROOT / "data/accents_mini/clips/french/spk06_s14.ogg",
                tmp_path / speaker / "wav/arctic_a0001.wav",
            )
        )
        write_grid(tmp_path / speaker / "textgrid/arctic_a0001.TextGrid", {"phones": [(0.1, 0.2, "AH1")]})
    table = pd.DataFrame({"path": [str(path) for path in rows]})
    phones, problems = phones_from_textgrids(table, tmp_path, tmp_path / "p.csv")
    assert phones["phone"].tolist() == ["AH", "AH"] and problems == {}


def test_timits_phones_lie_beside_its_recordings(tmp_path, capsys):
    wav = shutil.copy(ROOT / "data/accents_mini/clips/french/spk06_s14.ogg", tmp_path / "SA1.WAV")
    (tmp_path / "SA1.PHN").write_text("0 1600 h#\n1600 3200 tcl\n3200 4800 t\n4800 8000 axr\n8000 9600 dx\n")
    phones, _ = phones_from_textgrids(pd.DataFrame({"path": [str(wav)]}), tmp_path, tmp_path / "p.csv")
    assert phones["phone"].tolist() == ["SIL", "SIL", "T", "ER"]
    assert phones["end"].tolist() == [0.1, 0.2, 0.3, 0.5] and "dx (1)" in capsys.readouterr().err
