"""Own recordings: listing folders and tables, the report, and what is written."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from helpers import RATE, TINY, as_flags, tone, write_corpus

from accentlib.cli import main
from accentlib.config import InputError
from accentlib.corpora.make import join_corpora, make_corpus
from accentlib.corpora.sources import from_folder, from_table
from accentlib.corpora.survey import examine, report_table
from accentlib.corpora.table import read_corpus
from accentlib.features.audio import AUDIO_SUFFIXES, load_audio
from accentlib.features.log_mel import file_log_mel

ACCENTS = {"Indian": 150, "Scottish": 420, "Welsh": 900}


def write_folder(folder: Path, *, speakers: int = 4, clips: int = 2) -> Path:
    """``accent/speaker/*.wav``, clean, with different audio in every file."""
    for accent, pitch in ACCENTS.items():
        for s in range(speakers):
            (folder / accent / f"{accent.lower()}_{s}").mkdir(parents=True)
            for c in range(clips):
                path = folder / accent / f"{accent.lower()}_{s}" / f"{c}.wav"
                sf.write(path, tone(pitch + 9 * s, 0.5 + 0.1 * c, seed=10 * s + c), RATE)
    return folder


def reasons(report: dict) -> dict[str, list[str]]:
    """Why files are left out: file names only."""
    return {why: [Path(path).name for path in paths] for why, paths in report["left_out_because"].items()}


def test_a_clean_folder_becomes_a_corpus_that_is_read(tmp_path):
    folder = write_folder(tmp_path / "in")
    table, report = make_corpus(from_folder(folder), tmp_path / "out")
    assert report["kept"] == len(table) == 24 and report["left_out"] == 0 and report["speakers"] == 12
    assert report["accents"]["Welsh"]["clips"] == 8 and report["sample_rates"] == {"16000": 24}
    assert report["accents"]["Welsh"]["minutes"] == pytest.approx(4 * 1.1 / 60, abs=0.01)
    read = read_corpus(tmp_path / "out")
    assert set(read["split"]) == {"train", "validation", "test"}
    assert list(read["path"]) == list(table["path"])
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())
    amounts = report_table(report)
    assert amounts.loc["Indian", ("all", "speakers")] == 4
    assert amounts["train"]["clips"].sum() == (table["split"] == "train").sum()


def dirty_folder(folder: Path) -> Path:
    """A folder with every problem that users' folders have."""
    write_folder(folder)
    anna = folder / "Indian" / "indian_0"
    wave = tone(333, 0.8, seed=99)
    sf.write(anna / "stereo.wav", np.stack([wave, wave / 2], 1), RATE)
    sf.write(anna / "studio.wav", tone(333, 0.8, rate=48_000, seed=98), 48_000)
    sf.write(anna / "eight.wav", tone(333, 0.8, seed=97), RATE, subtype="PCM_U8")
    sf.write(anna / "float.WAV", tone(333, 0.8, seed=96), RATE, subtype="FLOAT", format="WAV")
    sf.write(anna / "whole.wav", tone(333, 0.8, seed=95) * 32768, RATE, subtype="FLOAT")
    sf.write(anna / "music.mp3", tone(333, 0.8, seed=94), RATE)
    sf.write(anna / "clipped.wav", np.clip(20 * tone(333, 0.8, seed=93), -1, 1), RATE)
    sf.write(anna / "quiet.wav", 0.004 * tone(333, 0.8, seed=92), RATE)
    (anna / "empty.wav").write_bytes(b"")
    (anna / "text.wav").write_text("These are no samples.\n" * 30)
    (anna / "notes.txt").write_text("recorded on Tuesday")
    (anna / "phone.m4a").write_bytes(b"\0\0\0\x20ftypM4A ")
    (anna / ".hidden.wav").write_bytes(b"")
    sf.write(anna / "silent.wav", np.full(8000, 0.3), RATE)  # with an offset
    sf.write(anna / "short.wav", tone(333, 0.1), RATE)
    sf.write(folder / "stray.wav", tone(77, 0.5), RATE)
    cut = (anna / "1.wav").read_bytes()
    (anna / "cut.wav").write_bytes(cut[: len(cut) // 2])
    shutil.copy(anna / "0.wav", anna / "again.wav")
    shutil.copy(folder / "Welsh" / "welsh_1" / "0.wav", folder / "Scottish" / "scottish_1" / "welsh.wav")
    variant = folder / "indian "
    variant.mkdir() if not variant.exists() else None
    shutil.move(folder / "Indian" / "indian_3", variant / "indian_3")
    both = folder / "Welsh" / "scottish_2"  # a speaker with two accents
    both.mkdir()
    sf.write(both / "0.wav", tone(610, 0.6, seed=50), RATE)
    return folder


def test_a_dirty_folder_gives_a_true_report(tmp_path, capsys):
    folder = dirty_folder(tmp_path / "in")
    table, report = make_corpus(from_folder(folder), tmp_path / "out")
    assert reasons(report) == {
        "empty file": ["empty.wav"],
        "not readable as audio, or damaged (Format not recognised)": ["text.wav"],
        "not an audio file (.txt)": ["notes.txt"],
        ".m4a files are not read; convert it to .wav or .flac": ["phone.m4a"],
        "silent (it swings by less than 0.0001)": ["silent.wav"],
        "too short (less than 0.2 s)": ["short.wav"],
        "not in the folder of an accent": ["stray.wav"],
        "truncated (the end of the file is missing)": ["cut.wav"],
        "a copy of the same audio": ["again.wav"],
        "the same audio has another accent elsewhere; the right one is unknown": ["welsh.wav", "0.wav"],
    }
    assert report["files"] == report["kept"] + report["left_out"] == 24 + 8 + 5 + 2 + 3 + 1
    assert {why: [Path(p).name for p in of] for why, of in report["remarks"].items()} == {
        "beyond full scale": ["whole.wav"], "clipped": ["clipped.wav"], "quiet": ["quiet.wav"],
    }  # fmt: skip
    assert report["spellings"] == {"accent": {"Indian": ["indian "]}}
    assert report["several_accents"] == {"scottish_2": ["Scottish", "Welsh"]}
    assert report["channels"]["2"] == 1 and report["sample_rates"]["48000"] == 1
    assert {"WAV PCM_U8", "WAV FLOAT", "MP3 MPEG_LAYER_III"} <= report["encodings"].keys()
    assert set(table["accent"]) == set(ACCENTS)
    assert table[table["speaker"] == "scottish_2"]["split"].nunique() == 1
    said = capsys.readouterr().err
    for text in (
        "43 files: 32 kept", "'indian '", "scottish_2 (Scottish, Welsh)", "empty.wav", "kept, clipped: 1",
        "the right one is unknown: 2: ", "split: speakers assigned by seed 1234",
    ):  # fmt: skip
        assert text in said


def test_a_dirty_folder_trains_and_is_tested_from_the_command_line(tmp_path, capsys):
    folder = dirty_folder(tmp_path / "in")
    assert main(["corpus", "from-folder", str(folder), "--output", str(tmp_path / "out")]) == 1
    run = ["run", "--data", str(tmp_path / "out"), "--out_dir", str(tmp_path / "run"), *as_flags(TINY)]
    assert main(run) == 0  # what could not be used is left out already
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["problems"] == {}
    assert "Traceback" not in capsys.readouterr().err


def test_speakers_are_unknown_in_flat_folders_and_that_is_said(tmp_path, capsys):
    for accent, pitch in ACCENTS.items():
        (tmp_path / "in" / accent).mkdir(parents=True)
        for i in range(4):
            sf.write(tmp_path / "in" / accent / f"{i}.wav", tone(pitch, 0.4, seed=i), RATE)
    table, report = make_corpus(from_folder(tmp_path / "in"), tmp_path / "out")
    assert table["speaker"].nunique() == report["speakers_unknown"] == 12
    assert "speaker unknown (12 files)" in capsys.readouterr().err


def test_audio_folder_metadata_and_folders_named_by_split(tmp_path):
    for split in ("train", "validation", "test"):
        folder = tmp_path / split
        folder.mkdir()
        rows = ["file_name,label,speaker_id,text"]
        for i, (accent, pitch) in enumerate(ACCENTS.items()):
            sf.write(folder / f"{i}.wav", tone(pitch, 0.4, seed=len(split) + i), RATE)
            rows.append(f"{i}.wav,{accent},{split}{i},hello")
        (folder / "metadata.csv").write_text("\n".join([*rows, "gone.wav,Welsh,x,hello"]) + "\n")
    sf.write(tmp_path / "test" / "extra.wav", tone(99, 0.4), RATE)
    table, report = make_corpus(from_folder(tmp_path), tmp_path / "out")
    assert report["split"] == "the corpus's own" and set(table["text"]) == {"hello"}
    assert [Path(path).parent.name for path in table["path"]] == list(table["split"])
    assert reasons(report) == {"no such file": ["gone.wav"] * 3, "not listed in metadata.csv": ["extra.wav"]}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_with_columns_of_its_own(tmp_path, separator):
    write_folder(tmp_path)
    rows = [["clip", "Dialect", "who", "said"]]
    for path in sorted(tmp_path.rglob("*.wav")):
        rows.append([str(path.relative_to(tmp_path)), path.parts[-3], path.parts[-2], 'a "word" or two'])
    rows.append(["Welsh/none.wav", "Welsh", "welsh_0", "x"])
    rows.append([rows[1][0], "", "indian_0", "x"])
    rows.append([rows[2][0], "Indian ", "indian_0", "x"])
    sf.write(tmp_path / "both.wav", tone(555), RATE)
    rows += [["both.wav", "Welsh", "who", "x"], ["both.wav", "Scottish", "who", "x"]]
    text = "\n".join(separator.join(cells) for cells in rows)
    (tmp_path / "t.csv").write_text(text + "\n", encoding="utf-8-sig")
    listing = from_table(
        tmp_path / "t.csv", path_column="clip", accent_column="Dialect", speaker_column="who"
    )
    table, report = make_corpus(listing, tmp_path / "out")
    assert len(table) == 24 and table["said"].iloc[0].startswith("a ")
    assert reasons(report) == {"no such file": ["none.wav"], "no accent in t.csv": ["0.wav"],
        "listed twice": ["1.wav"], "listed twice, with different accents": ["both.wav"] * 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: from_folder(p / "none"), "no such folder"),
        (lambda p: from_folder(p), "no audio files in it"),
        (lambda p: from_folder(p / "meta"), "no column 'file_name' .* from-table"),
        (lambda p: from_table(p / "none.csv"), "no such file"),
        (
            lambda p: from_table(p / "t.csv"),
            "no column 'path' for the path; it has a, b .accentlib corpus from-table has --path-column",
        ),
        (
            lambda p: from_table(p / "t.csv", path_column="a", accent_column="b", speaker_column=""),
            "has no rows",
        ),
        (lambda p: from_table(p / "latin.csv"), "not in UTF-8"),
    ],
)
def test_what_cannot_be_listed_gets_one_line(tmp_path, make, message):
    (tmp_path / "t.csv").write_text("a,b\n")
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta" / "metadata.csv").write_text("file,accent\n0.wav,Welsh\n")
    (tmp_path / "latin.csv").write_bytes("path,accent,speaker\na.wav,català,x\n".encode("latin-1"))
    with pytest.raises(InputError, match=message) as error:
        make(tmp_path)
    assert "\n" not in str(error.value)


def test_made_again_with_more_recordings_speakers_keep_their_splits(tmp_path):
    folder = write_folder(tmp_path / "in")
    before, _ = make_corpus(from_folder(folder), tmp_path / "out", seed=3)
    for s in range(3):
        (folder / "Welsh" / f"new_{s}").mkdir()
        sf.write(folder / "Welsh" / f"new_{s}" / "0.wav", tone(777 + s, 0.5, seed=s), RATE)
    after, report = make_corpus(from_folder(folder), tmp_path / "out", seed=4)
    splits = dict(zip(after["speaker"], after["split"], strict=True))
    assert all(splits[s] == split for s, split in zip(before["speaker"], before["split"], strict=True))
    assert "12 of them keep their earlier splits" in report["split"] and after["speaker"].nunique() == 15
    manifest = tmp_path / "out" / "manifest.csv"
    manifest.write_text(manifest.read_text().replace(",test,", ",dev,"))  # by hand
    _, report = make_corpus(from_folder(folder), tmp_path / "out", seed=4)
    assert 0 < int(report["split"].split("; ")[1].split()[0]) < 15
    manifest.write_text("path,accent\n")
    assert "keep" not in make_corpus(from_folder(folder), tmp_path / "out")[1]["split"]


def test_a_manifest_from_elsewhere_is_not_overwritten(tmp_path):
    folder = write_folder(tmp_path / "in")
    (folder / "manifest.csv").write_text("mine")
    with pytest.raises(InputError, match="was not made by this command"):
        make_corpus(from_folder(folder), folder)
    assert (folder / "manifest.csv").read_text() == "mine"


def test_a_corpus_made_in_its_own_folder_has_relative_paths_and_can_be_moved(tmp_path):
    folder = write_folder(tmp_path / "in")
    make_corpus(from_folder(folder), folder)
    make_corpus(from_folder(folder), folder)  # its own files are not taken for recordings
    moved = folder.rename(tmp_path / "elsewhere")
    assert all(Path(path).is_file() for path in read_corpus(moved)["path"])


def test_few_speakers_are_kept_out_of_training_and_named(tmp_path, capsys):
    folder = write_folder(tmp_path / "in")
    shutil.rmtree(folder / "Welsh" / "welsh_0")
    shutil.rmtree(folder / "Welsh" / "welsh_1")
    out = ["--output", str(tmp_path / "out")]
    assert main(["corpus", "from-folder", str(folder), *out]) == 0
    said = capsys.readouterr().err
    assert "accent 'Welsh' has 2 speakers" in said and "cannot be trained on" in said
    assert main(["run", "--data", str(tmp_path / "out"), "--out_dir", str(tmp_path / "run")]) == 2
    assert main(["corpus", "from-folder", str(folder), *out, "--min-speakers", "3"]) == 1
    assert "left out, accent of fewer than 3 speakers: 4: " in capsys.readouterr().err
    assert set(read_corpus(tmp_path / "out")["accent"]) == {"Indian", "Scottish"}


def test_one_accent_is_refused_with_its_report_written(tmp_path):
    folder = write_folder(tmp_path / "in")
    for accent in ("Welsh", "Indian"):
        shutil.rmtree(folder / accent)
    with pytest.raises(InputError, match="only one accent, 'Scottish'"):
        make_corpus(from_folder(folder), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "report.json").read_text())["kept"] == 8


def test_names_for_labels_merge_them_and_leave_out_the_others(tmp_path, capsys):
    folder = write_folder(tmp_path / "in")
    (tmp_path / "names.csv").write_text("accent,name\nindian ,asian\nScottish,british\nWELSH,british\n")
    argv = ["corpus", "from-folder", str(folder), "--output", str(tmp_path / "out")]
    assert main([*argv, "--accent-names", str(tmp_path / "names.csv")]) == 0
    assert read_corpus(tmp_path / "out")["accent"].value_counts().to_dict() == {"british": 16, "asian": 8}
    (tmp_path / "names.csv").write_text("accent,name\nIndian,asian\nScottish,british\nWelsh,\n")
    assert main([*argv, "--accent-names", str(tmp_path / "names.csv")]) == 1
    assert "its accent is not in the table of names: 8: " in capsys.readouterr().err


def test_a_corpus_split_with_a_speaker_in_two_splits_is_not_used(tmp_path):
    write_folder(tmp_path)
    paths = sorted(tmp_path.rglob("*.wav"))
    lines = [f"{p},{p.parts[-3]},{p.parts[-2]},{'train' if p.stem == '0' else 'test'}" for p in paths]
    (tmp_path / "t.csv").write_text("path,accent,speaker,split\n" + "\n".join(lines) + "\n")
    table, report = make_corpus(from_table(tmp_path / "t.csv"), tmp_path / "out")
    assert report["split"].startswith("the corpus's own split has a speaker in two splits, so it is not used")
    assert table.groupby("speaker")["split"].nunique().max() == 1


def test_a_split_without_validation_takes_it_from_training_speakers(tmp_path):
    write_folder(tmp_path, speakers=6)
    paths = sorted(tmp_path.rglob("*.wav"))
    lines = [
        f"{p},{p.parts[-3]},{p.parts[-2]},{'test' if p.parts[-2][-1] in '45' else 'train'}" for p in paths
    ]
    (tmp_path / "t.csv").write_text("path,accent,speaker,split\n" + "\n".join(lines) + "\n")
    table, report = make_corpus(from_table(tmp_path / "t.csv"), tmp_path / "out")
    assert report["split"].startswith("the corpus's own; validation from its training split")
    test = table[table["split"] == "test"]
    assert set(test["speaker"].str[-1]) == {"4", "5"} and len(test) == 12
    assert pd.crosstab(table["accent"], table["split"]).to_numpy().min() > 0


def test_a_manifest_made_by_hand_is_not_overwritten(tmp_path, capsys):
    home, away = write_corpus(tmp_path / "home", clips=1), write_corpus(tmp_path / "away", clips=1)
    mine = (home / "manifest.csv").read_bytes()
    assert main(["corpus", "join", "--data", str(home), str(away), "--output", str(home)]) == 2
    assert "home/manifest.csv is there already" in capsys.readouterr().err
    assert (home / "manifest.csv").read_bytes() == mine


def test_my_report_and_my_note_in_the_output_folder_stay(tmp_path, capsys):
    folder = write_folder(tmp_path / "in")
    mine = folder / "report.json"
    mine.write_text('{"chapter": 1}')
    argv = ["corpus", "from-folder", str(folder), "--output"]
    assert main([*argv, str(folder)]) == 2
    assert "report.json was not made by this command" in capsys.readouterr().err
    assert mine.read_text() == '{"chapter": 1}' and not (folder / "manifest.csv").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "NOTE.txt").write_text("Recorded in a car.")
    make_corpus(from_folder(folder), tmp_path / "out", note="Read speech.", progress=False)
    assert (tmp_path / "out" / "NOTE.txt").read_text() == "Recorded in a car."


def test_linked_folders_are_entered_once_and_files_beside_splits_are_named(tmp_path):
    folder = write_folder(tmp_path / "in")
    (folder / "Welsh" / "welsh_0").rename(tmp_path / "welsh_0")
    (folder / "Welsh" / "welsh_0").symlink_to(tmp_path / "welsh_0")
    (folder / "Welsh" / "welsh_1" / "loop").symlink_to(folder)
    listing = from_folder(folder)
    assert len(listing) == 24 and listing["path"].str.contains("welsh_0").sum() == 2
    for split in ("train", "test"):
        shutil.copytree(
            folder, tmp_path / "parted" / split, symlinks=True, ignore=shutil.ignore_patterns("loop")
        )
    sf.write(tmp_path / "parted" / "beside.wav", tone(99), RATE)
    listing = from_folder(tmp_path / "parted")
    assert list(listing.loc[listing["problem"] != "", "path"]) == [str(tmp_path / "parted" / "beside.wav")]
    assert set(listing["split"].dropna()) == {"train", "test"}


def test_nothing_usable_is_refused_and_the_report_says_why(tmp_path, capsys):
    (tmp_path / "in" / "a").mkdir(parents=True)
    (tmp_path / "in" / "a" / "x.wav").write_bytes(b"")
    assert main(["corpus", "from-folder", str(tmp_path / "in"), "--output", str(tmp_path / "out")]) == 2
    assert "no file can be used" in capsys.readouterr().err
    assert reasons(json.loads((tmp_path / "out" / "report.json").read_text())) == {"empty file": ["x.wav"]}


def test_long_recordings_are_read_in_pieces_to_the_same_result(tmp_path, monkeypatch, tiny):
    wave = np.concatenate([tone(200 + 50 * k, 1.0, seed=k) for k in range(5)])
    sf.write(tmp_path / "long.flac", np.stack([wave, 0.5 * wave], 1), RATE)
    whole = examine(str(tmp_path / "long.flac")), load_audio(tmp_path / "long.flac", 8000)
    features = file_log_mel(tmp_path / "long.flac", tiny)
    monkeypatch.setattr("accentlib.features.audio.BLOCK", 7001)
    monkeypatch.setattr("accentlib.features.log_mel.AT_ONCE", 64)
    assert examine(str(tmp_path / "long.flac")) == whole[0]
    np.testing.assert_array_equal(load_audio(tmp_path / "long.flac", 8000), whole[1])
    np.testing.assert_allclose(file_log_mel(tmp_path / "long.flac", tiny), features, atol=1e-5)


def test_odd_encodings_are_read_and_damaged_headers_cost_nothing(tmp_path):
    for kind in ("PCM_24", "ULAW", "GSM610", "IMA_ADPCM", "DOUBLE"):  # GSM cannot be sought in
        sf.write(tmp_path / f"{kind}.wav", tone(300, 0.6, 8000), 8000, subtype=kind)
        assert examine(str(tmp_path / f"{kind}.wav"))["seconds"] == pytest.approx(0.6, abs=0.05)
    formats = {".aif": "AIFF", ".aifc": "AIFF", ".oga": "OGG", ".opus": "OGG", ".sph": "NIST"}
    for suffix in AUDIO_SUFFIXES:
        kind = formats.get(suffix, suffix[1:].upper())
        sf.write(tmp_path / f"a{suffix}", tone(300, 0.6), RATE, format=kind)
        assert examine(str(tmp_path / f"a{suffix}"))["seconds"] == pytest.approx(0.6, abs=0.05), suffix
    for wrong in ("a.flac", "a.wav", "a.mp3"):  # a name of another format is no damage
        shutil.copy(tmp_path / wrong, tmp_path / "named.ogg")
        assert "seconds" in examine(str(tmp_path / "named.ogg")), wrong
    content = (tmp_path / "PCM_24.wav").read_bytes()
    rate = content.index(b"fmt ") + 12
    (tmp_path / "slow.wav").write_bytes(content[:rate] + (1).to_bytes(4, "little") + content[rate + 4 :])
    assert examine(str(tmp_path / "slow.wav")) == {
        "problem": "its header says 1 samples a second, which is not speech"
    }
    (tmp_path / "zeros.mp3").write_bytes(bytes(3000))
    assert "Format not recognised" in examine(str(tmp_path / "zeros.mp3"))["problem"]


def test_the_fingerprint_is_of_the_audio_and_not_of_the_file(tmp_path):
    wave = (32767 * tone(200)).astype(np.int16)
    for name in ("a.wav", "a.flac"):
        sf.write(tmp_path / name, wave, RATE)
    sf.write(tmp_path / "b.wav", wave // 2, RATE)
    same = {name: examine(str(tmp_path / name))["content"] for name in ("a.wav", "a.flac", "b.wav")}
    assert same["a.wav"] == same["a.flac"] != same["b.wav"]


def test_corpora_are_joined(tmp_path, capsys):
    for name, pitch in {"home": 0, "away": 7}.items():
        folder = write_folder(tmp_path / name / "in")
        for path in folder.rglob("*.wav"):
            wave, _ = sf.read(path)
            sf.write(path, wave * (1 - 0.1 * pitch), RATE)
        make_corpus(from_folder(folder), tmp_path / name, progress=False)
    both = [str(tmp_path / "home"), str(tmp_path / "away" / "manifest.csv")]
    assert main(["corpus", "join", "--data", *both, "--output", str(tmp_path / "both")]) == 0
    joined = read_corpus(tmp_path / "both")
    assert joined["corpus"].value_counts().to_dict() == {"home": 24, "away": 24}
    assert joined["speaker"].nunique() == 24 and all(Path(path).is_file() for path in joined["path"])
    assert main(["corpus", "join", "--data", both[0], both[0], "--output", str(tmp_path / "x")]) == 2
    assert "two corpora are called 'home'" in capsys.readouterr().err


def test_ids_of_a_table_are_kept_and_the_same_file_may_have_two(tmp_path):
    folder = write_folder(tmp_path / "in")
    paths = sorted(folder.rglob("*.wav"))
    rows = [(f"clip {i}", p, p.parts[-3], p.parts[-2]) for i, p in enumerate([*paths, paths[0]])]
    listing = pd.DataFrame(rows, columns=["id", "path", "accent", "speaker"])
    pd.concat([listing, listing.tail(1), listing.tail(1).assign(id="")]).to_csv(
        tmp_path / "t.csv", index=False
    )
    table, report = make_corpus(from_table(tmp_path / "t.csv"), tmp_path / "out", progress=False)
    assert list(table["id"]) == list(listing["id"]) and len(table) == 25
    assert reasons(report) == {"its id is listed twice": ["0.wav"], "no id": ["0.wav"]}
    assert list(read_corpus(tmp_path / "out")["id"]) == list(listing["id"])
    plain = write_folder(tmp_path / "plain")
    make_corpus(from_folder(plain), plain, progress=False)
    assert "id" not in pd.read_csv(plain / "manifest.csv")
    joined = join_corpora([tmp_path / "out", plain], tmp_path / "both")
    assert list(joined["id"][:25]) == [f"out/clip {i}" for i in range(25)]
    assert list(joined["id"][25:]) == list(joined["path"][25:]) == list(read_corpus(plain)["id"])
    assert "id" not in join_corpora([plain], tmp_path / "alone")
    assert list(read_corpus(tmp_path / "both")["id"]) == list(joined["id"])
