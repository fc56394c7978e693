"""Segments of recordings as clips."""

import json

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from helpers import RATE, tone

from accentlib.cli import main
from accentlib.config import InputError
from accentlib.corpora.table import read_corpus
from accentlib.embeddings.inference import infer
from accentlib.features.audio import load_audio
from accentlib.files import fingerprint
from accentlib.network.accent_net import AccentNet
from accentlib.network.checkpoint import save_checkpoint
from accentlib.training.loop import train


@pytest.fixture
def interviews(tmp_path):
    """Two recordings of 30 s, in which six people take turns of 1.5 s, each accent at its own pitch."""
    rows = []
    for number in range(2):
        parts = []
        for turn in range(20):
            accent, speaker = ("high", "low", "middle")[turn % 3], f"{number}-{turn % 6}"
            parts.append(
                tone({"high": 900, "low": 150, "middle": 400}[accent] + turn, 1.5, seed=turn + 50 * number)
            )
            row = {"path": f"interview {number}.wav", "start": turn * 1.5, "end": turn * 1.5 + 1.5}
            rows.append(row | {"accent": accent, "speaker": speaker})
        sf.write(tmp_path / f"interview {number}.wav", np.concatenate(parts), RATE)
    pd.DataFrame(rows).to_csv(tmp_path / "turns.csv", index=False)
    return tmp_path


def test_a_segment_is_the_samples_between_its_times(interviews):
    path = str(interviews / "interview 0.wav")
    whole = load_audio(path, 0)
    np.testing.assert_array_equal(load_audio(f"{path}#t=1.500,3.0", 0), whole[round(1.5 * RATE) : 3 * RATE])
    assert fingerprint(path) != fingerprint(f"{path}#t=0,1") != fingerprint(f"{path}#t=1,2")
    for times, message in (("29,31", "ends after the recording"), ("2,2", "ends before it starts")):
        with pytest.raises(InputError, match=message):
            load_audio(f"{path}#t={times}", 0)


def test_a_table_of_segments_is_a_corpus_for_every_step(interviews, tiny, tmp_path):
    assert (
        main(["corpus", "from-table", str(interviews / "turns.csv"), "--output", str(tmp_path / "corpus")])
        == 0
    )
    table = read_corpus(tmp_path / "corpus")
    written = pd.read_csv(tmp_path / "corpus/manifest.csv")
    assert len(table) == len(written) == 40 and set(written["path"].str[-4:]) == {".wav"}
    assert written["seconds"].tolist() == [1.5] * 40
    direct = read_corpus(interviews / "turns.csv", split=False)  # the table itself
    assert sorted(direct["id"]) == sorted(table["id"])
    model, _ = train(table, tiny.replace(max_epochs=1), tmp_path / "run", progress=False)
    answers = infer(model, table)
    assert answers.problems == {} and len(set(map(tuple, answers.embeddings))) == 40
    page = ["map", "--checkpoint", str(tmp_path / "run/best.pt"), "--data", str(tmp_path / "corpus")]
    assert main([*page, "--output", str(tmp_path / "linked.html"), "--megabytes", "0"]) == 0
    assert "interview%200.wav#t=1.5,3.0" in (tmp_path / "linked.html").read_text()


def test_a_segments_features_are_those_of_a_file_with_its_samples(interviews, tiny, tmp_path):
    model = AccentNet(tiny.replace(sample_rate=RATE), ["a", "b"]).eval()
    path = str(interviews / "interview 1.wav")
    sf.write(tmp_path / "cut.wav", load_audio(path, 0)[3 * RATE : 5 * RATE], RATE, subtype="PCM_16")
    a, b = infer(model, [f"{path}#t=3,5", str(tmp_path / "cut.wav")]).embeddings
    np.testing.assert_array_equal(a, b)


def test_faulty_segments_are_left_out_each_with_its_reason(interviews, tmp_path, capsys):
    turns = pd.read_csv(interviews / "turns.csv", dtype=str)
    turns.loc[0, ["start", "end"]] = ["1", "1"]
    turns.loc[1, "end"] = "400"
    turns.loc[2, "start"] = "soon"
    turns["start"] = turns["start"].str.replace(".", ",")  # as a German Excel exports it
    turns["end"] = turns["end"].str.replace(".", ",")
    turns.to_csv(interviews / "turns.csv", index=False, sep=";", encoding="utf-8-sig")
    assert (
        main(["corpus", "from-table", str(interviews / "turns.csv"), "--output", str(tmp_path / "corpus")])
        == 1
    )
    report = json.loads((tmp_path / "corpus/report.json").read_text())
    reasons = {reason: len(of) for reason, of in report["left_out_because"].items()}
    assert report["kept"] == 37 and sum(reasons.values()) == 3
    assert any("not the times" in reason for reason in reasons) and any(
        "after the recording" in r for r in reasons
    )
    turns.to_csv(interviews / "manifest.csv", index=False)
    with pytest.raises(InputError, match="line 2: start and end"):
        read_corpus(interviews)


def test_columns_of_any_name_and_rows_without_times(interviews, tmp_path, capsys):
    turns = pd.read_csv(interviews / "turns.csv").rename(columns={"start": "from", "end": "to"})
    turns.to_csv(interviews / "turns.csv", index=False)
    command = ["corpus", "from-table", str(interviews / "turns.csv"), "--output", str(tmp_path / "corpus")]
    assert main(command) == 2  # two recordings, each by several speakers: nobody may have a whole one
    report = json.loads((tmp_path / "corpus/report.json").read_text())
    assert [*report["left_out_because"]] == ["listed twice, with different accents"]
    assert main([*command, "--start_column", "from", "--end_column", "to"]) == 0
    assert pd.read_csv(tmp_path / "corpus/manifest.csv")["start"].nunique() == 20
    assert main([*command, "--start_column", "begin", "--end_column", "to"]) == 2
    assert "no column 'begin' for the start" in capsys.readouterr().err
    turns.assign(accent="one").to_csv(interviews / "turns.csv", index=False)
    assert main([*command[:-1], str(tmp_path / "other")]) == 2
    report = json.loads((tmp_path / "other/report.json").read_text())
    assert [*report["left_out_because"]] == ["listed twice, with different speakers: which part is whose?"]


def test_the_segments_of_a_corpus_can_be_predicted(interviews, tmp_path, tiny, capsys):
    save_checkpoint(tmp_path / "m.pt", AccentNet(tiny.replace(sample_rate=RATE), ["a", "b"]))
    main(["corpus", "from-table", str(interviews / "turns.csv"), "--output", str(tmp_path / "corpus")])
    capsys.readouterr()
    assert main(["predict", "--checkpoint", str(tmp_path / "m.pt"), "--data", str(tmp_path / "corpus")]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 41 and "#t=0.000,1.500" in printed[1]


def test_paths_that_name_their_segments_stay_segments(interviews, tmp_path):
    """Without columns of times they were written as whole recordings."""
    turns = pd.read_csv(interviews / "turns.csv")
    turns["path"] += "#t=" + turns["start"].map(str) + "," + turns["end"].map(str)
    turns.drop(columns=["start", "end"]).to_csv(interviews / "turns.csv", index=False)
    command = ["corpus", "from-table", str(interviews / "turns.csv"), "--output", str(tmp_path / "corpus")]
    assert main(command) == 0
    written = pd.read_csv(tmp_path / "corpus/manifest.csv")
    assert (written["end"] - written["start"] == 1.5).all() and set(written["path"].str[-4:]) == {".wav"}
    assert len(read_corpus(tmp_path / "corpus", split=False)) == 40
