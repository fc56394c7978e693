"""Known corpora: each in a miniature of its true layout, and the real ones where they are available."""

import dataclasses
import http.server
import io
import os
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import soundfile as sf
from helpers import RATE, ROOT, tone

from accentlib.cli import main
from accentlib.config import InputError
from accentlib.corpora import download, layouts
from accentlib.corpora.known import KNOWN, read_known
from accentlib.corpora.make import make_corpus
from accentlib.corpora.sources import read_accent_names
from accentlib.corpora.survey import examine

REAL = Path(os.environ.get("ACCENTLIB_CORPORA", ROOT.parent / "shared" / "corpora"))


def clip(path: Path, **kinds) -> Path:
    """A short tone, another one for each path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    seed = sum(str(path.name).encode()) + 31 * sum(path.parent.name.encode())
    sf.write(path, tone(100 + seed % 700, 0.3, seed=seed), RATE, **kinds)
    return path


def good(listing: pd.DataFrame) -> pd.DataFrame:
    """The rows without a problem, with the file's name for its path."""
    rows = listing[listing["problem"] == ""]
    return rows.assign(path=[Path(path).name for path in rows["path"]]).reset_index(drop=True)


def problems(listing: pd.DataFrame) -> dict[str, str]:
    rows = listing[listing["problem"] != ""]
    return {Path(path).name: problem for path, problem in zip(rows["path"], rows["problem"], strict=True)}


@pytest.mark.parametrize("unpacked", ["recordings", "recordings/recordings"])
def test_speech_accent_archive(tmp_path, unpacked):
    (tmp_path / "speakers_all.csv").write_text(
        "age,age_onset,birthplace,filename,native_language,sex,speakerid,country,file_missing?,,,\n"
        '27,9,"virginia, south africa",afrikaans1,afrikaans,female,1,south africa,FALSE,,,\n'
        "40,5,taipei,nicaragua,spanish,male,2,nicaragua,TRUE,,,\n"
        "33,0,london,english7,english,male,3,uk,FALSE,,,\n"
    )
    clip(tmp_path / unpacked / "afrikaans1.mp3")
    listing = read_known("speech-accent-archive", tmp_path)
    assert good(listing)[["path", "accent", "speaker", "sex"]].to_numpy().tolist() == [
        ["afrikaans1.mp3", "afrikaans", "afrikaans1", "female"]
    ]
    assert problems(listing) == {
        "nicaragua.mp3": "missing, as its table says",
        "english7.mp3": "listed, but the file is missing",
    }
    assert (
        good(read_known("speech-accent-archive", tmp_path, accent_column="country"))["accent"][0]
        == "south africa"
    )


HEAD = "client_id\tpath\tsentence_id\tsentence\tsentence_domain\tup_votes\tdown_votes\tage\tgender\t"


def test_common_voice_with_the_catalan_dialects(tmp_path):
    labels = ["Central", "valencià", "Nord-Occidental", "balear", "Septentrional", "", "del poble"]
    for split in ("train", "dev", "test", "validated"):
        rows = [HEAD + "accents\tvariant\tlocale\tsegment"]
        for i, label in enumerate(labels):
            name = f"common_voice_ca_{split}{i}.mp3"
            clip(tmp_path / "clips" / name)
            rows.append(f'{split}{i}\t{name}\tx\t"Hola, va dir.\t\t2\t0\ttwenties\t\t{label}\tca-x\tca\t')
        (tmp_path / f"{split}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    listing = read_known("common-voice", tmp_path)
    assert len(listing) == 21  # the three tables that are of different speakers
    assert set(problems(listing).values()) == {"its speaker gave no accents"}
    assert set(read_known("common-voice", tmp_path, accent_column="variant")["accent"]) == {"ca-x"}
    names = read_accent_names(ROOT / "data" / "accent_names" / "common_voice_catalan.csv")
    table, report = make_corpus(
        listing, tmp_path / "out", accent_names=names, note=KNOWN["common-voice"].note
    )
    assert set(table["accent"]) == {"central", "nord-occidental", "valencià", "balear", "septentrional"}
    assert report["split"] == "the corpus's own"
    assert {why: len(of) for why, of in report["left_out_because"].items()} == {
        "its speaker gave no accents": 3, "its accent is not in the table of names": 3,
    }  # fmt: skip
    assert "CC0" in (tmp_path / "out" / "NOTE.txt").read_text()
    (tmp_path / "dev.tsv").unlink()
    assert set(good(read_known("common-voice", tmp_path))["path"].str[16:25]) == {"validated"}


def test_the_tables_of_names_cover_what_the_sites_offer():
    english = read_accent_names(ROOT / "data" / "accent_names" / "common_voice_english.csv")
    assert english["United States English"] == english["us"] == "american"
    assert english["India and South Asia (India, Pakistan, Sri Lanka)"] == english["indian"] == "south asian"
    for file in (ROOT / "data" / "accent_names").glob("*.csv"):
        assert all(name for name in read_accent_names(file).values()), file


def test_vctk(tmp_path):
    root = tmp_path / "VCTK-Corpus-0.92"
    for name in (
        "p225/p225_001_mic1.flac",
        "p225/p225_001_mic2.flac",
        "s5/s5_002_mic1.flac",
        "p999/p999_001_mic1.flac",
    ):
        clip(root / "wav48_silence_trimmed" / name)
    (root / "speaker-info.txt").write_text(
        "ID  AGE  GENDER  ACCENTS  REGION COMMENTS \np225  23  F    English    Southern  England\n"
        "s5  22  M    British    (mic2 files unavailable)\n\np999 20\ns6  22  M    British\n"
    )
    rows = good(read_known("vctk", tmp_path))
    assert rows[["path", "accent", "speaker", "text"]].to_numpy().tolist() == [
        ["p225_001_mic1.flac", "English", "p225", "001"], ["s5_002_mic1.flac", "British", "s5", "002"],
    ]  # fmt: skip
    assert rows["region"][0] == "Southern  England"
    assert problems(read_known("vctk", tmp_path)) == {
        "p999_001_mic1.flac": "its speaker is not in speaker-info.txt"
    }
    old = tmp_path / "old"
    clip(old / "wav48" / "p226" / "p226_001.wav")
    (old / "speaker-info.txt").write_text(
        "ID  AGE  GENDER  ACCENTS  REGION\n226  22  M    English    Surrey\n"
    )
    assert good(read_known("vctk", old))["accent"].tolist() == ["English"]


@pytest.mark.parametrize("nested", ["", "ABA/"])
def test_l2_arctic(tmp_path, nested):
    clip(tmp_path / nested / "ABA" / "wav" / "arctic_a0001.wav")
    clip(tmp_path / "TLV" / "wav" / "arctic_b0002.wav")
    clip(tmp_path / "suitcase_corpus" / "wav" / "aba.wav")
    rows = good(read_known("l2-arctic", tmp_path))
    assert dict(zip(rows["speaker"], rows["accent"], strict=True)) == {"ABA": "arabic", "TLV": "vietnamese"}
    assert set(rows["text"]) == {"arctic_a0001", "arctic_b0002"}


def test_cmu_arctic(tmp_path):
    for voice in ("bdl", "ksp", "fem", "ahw"):
        clip(tmp_path / f"cmu_us_{voice}_arctic" / "wav" / "arctic_a0001.wav")
    readme = "US\nEnglish CMU ARCTIC database by {}, a {}.\n"
    said = {
        "ksp": readme.format("KSP", "male Indian English speaker"),
        "bdl": readme.format("BDL", "US male"),
    }
    said["fem"] = readme.format("FEM", "male Irish speaker")
    for voice, text in said.items():
        (tmp_path / f"cmu_us_{voice}_arctic" / "README").write_text(text)
    rows = good(read_known("cmu-arctic", tmp_path))
    found = dict(zip(rows["speaker"], rows["accent"], strict=True))
    assert found == {"bdl": "american", "ksp": "indian", "fem": "irish"}
    listing = read_known("cmu-arctic", tmp_path)
    assert (
        listing.loc[listing["speaker"] == "ahw", "problem"].item()
        == "neither its README nor known.json has the speaker's accent"
    )


def test_openslr83(tmp_path):
    clip(tmp_path / "scottish_english_male" / "scm_02484_00388340234.wav")
    clip(tmp_path / "welsh_english_female" / "wef_05223_00388340234.wav")
    (tmp_path / "scottish_english_male" / "line_index.csv").write_text("SCM, scm_02484_00388340234, Hello\n")
    rows = good(read_known("openslr83", tmp_path))
    assert rows[["accent", "speaker", "sex"]].to_numpy().tolist() == [
        ["scottish", "scm_02484", "male"], ["welsh", "wef_05223", "female"],
    ]  # fmt: skip


@pytest.mark.parametrize("lower", [False, True])
def test_timit(tmp_path, lower):
    for name in ("TRAIN/DR1/FCJF0/SA1", "TRAIN/DR8/MCXM0/SX1", "TEST/DR7/MDVC0/SI2"):
        name = name.lower() if lower else name
        clip(tmp_path / "TIMIT" / f"{name}.{'wav' if lower else 'WAV'}", format="NIST")
    if not lower:
        clip(tmp_path / "TIMIT" / "TRAIN/DR1/FCJF0/SA1.WAV.wav", format="WAV")
    listing = read_known("timit", tmp_path)
    rows = good(listing).set_index("speaker")
    assert rows["accent"].to_dict() == {"FCJF0": "new england", "MCXM0": "army brat", "MDVC0": "western"}
    assert rows["split"].to_dict() == {"FCJF0": "train", "MCXM0": "train", "MDVC0": "test"}
    assert rows.loc["FCJF0", "path"] == ("sa1.wav" if lower else "SA1.WAV.wav")  # one of the two
    assert rows.loc["FCJF0", "sex"] == "female" and rows.loc["MDVC0", "text"] == "SI2"
    assert "seconds" in examine(listing["path"].iloc[-1])


@pytest.mark.parametrize("name", KNOWN)
def test_another_folder_is_refused_in_a_line_that_says_what_is_expected(tmp_path, name, capsys):
    assert main(["corpus", name, str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert str(tmp_path) in said and said.count("\n") == 1
    assert main(["corpus", name, str(tmp_path / "none"), "--output", str(tmp_path / "out")]) == 2
    assert "no such folder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", [name for name, corpus in KNOWN.items() if not corpus.archives])
def test_what_cannot_be_downloaded_says_how_to_get_it(name, capsys, tmp_path):
    assert main(["corpus", name, "--output", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert KNOWN[name].how_to_get in said and KNOWN[name].licence in said


class Site(http.server.BaseHTTPRequestHandler):
    """A server that can go on in the middle of a file, and once breaks off."""

    files: dict[str, bytes] = {}
    asked: list[tuple[str, str]] = []
    break_off = 0

    def do_GET(self):
        content = self.files[self.path]
        first = int(self.headers["Range"].removeprefix("bytes=").removesuffix("-"))
        self.asked.append((self.path, self.headers["Range"]))
        if first >= len(content):
            self.send_response(416)
            self.end_headers()
            return
        self.send_response(206)
        self.send_header("Content-Length", str(len(content) - first))
        self.end_headers()
        end = len(content) - self.break_off
        type(self).break_off = 0
        self.wfile.write(content[first:end])

    def log_message(self, *_):
        pass


@pytest.fixture
def site(monkeypatch, tmp_path):
    """A corpus of two archives on a local server; downloads go to a folder of the test."""
    wave = clip(tmp_path / "made" / "7_george_12.wav").read_bytes() + os.urandom(200_000)
    tar, packed = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w:gz") as archive:
        info = tarfile.TarInfo("digits-1.0/recordings/7_george_12.wav")
        info.size = len(wave)
        archive.addfile(info, io.BytesIO(wave))
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("read.me", "hello")
    Site.files = {"/digits.tar.gz": tar.getvalue(), "/more.zip": packed.getvalue()}
    Site.asked, Site.break_off = [], 0
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(download.CACHE_VARIABLE, str(tmp_path / "cache"))
    url = f"http://127.0.0.1:{server.server_port}"

    yield lambda **hashes: {f"{url}{path}": hashes.get(path[1:5]) for path in Site.files}
    server.shutdown()


def test_a_download_is_unpacked_once_and_tells_its_licence(site, tmp_path, capsys):
    folder = download.fetch("digits", site(), about="licence: none")
    assert folder == tmp_path / "cache" / "digits"
    assert (folder / "digits" / "digits-1.0" / "recordings" / "7_george_12.wav").is_file()
    said = capsys.readouterr().err
    assert "licence: none" in said and "digits.tar.gz: no checksum is published; its sha256 is" in said
    assert len(Site.asked) == 2
    download.fetch("digits", site(), about="licence: none")
    assert len(Site.asked) == 2


def test_an_interrupted_download_is_resumed(site, tmp_path):
    Site.break_off = 100
    with pytest.raises(InputError, match="digits.tar.gz: download failed .* run it again to resume"):
        download.fetch("digits", site(), about="licence: none")
    came = (tmp_path / "cache" / "digits" / "digits.tar.gz.part").stat().st_size
    assert came >= 2 * 65536
    download.fetch("digits", site(), about="licence: none")
    assert Site.asked[1] == ("/digits.tar.gz", f"bytes={came}-")
    assert (tmp_path / "cache" / "digits" / "digits.tar.gz").read_bytes() == Site.files["/digits.tar.gz"]


@pytest.mark.parametrize("missing", ["pooch", "requests"])
def test_downloads_name_the_packages_that_they_need(site, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InputError, match=r"needs pooch and requests: pip install 'accentlib\[download\]'"):
        download.fetch("digits", site(), about="")
    assert not Site.asked


def test_the_table_of_known_corpora_is_complete():
    for name, corpus in KNOWN.items():
        assert hasattr(layouts, name.replace("-", "_")), name
        assert all([corpus.title, corpus.licence, corpus.accent, corpus.how_to_get, corpus.layout])
        assert corpus.home.startswith("http") and corpus.home in corpus.note
        for url, digest in corpus.archives.items():
            assert url.startswith("http") and (digest is None or len(bytes.fromhex(digest)) == 32), url
    assert [len(KNOWN[name].archives) for name in ("vctk", "cmu-arctic", "openslr83")] == [1, 18, 11]
    assert [len(KNOWN[name].accent_of) for name in ("l2-arctic", "cmu-arctic", "timit")] == [24, 15, 8]


def test_a_known_corpus_is_fetched_when_no_folder_is_given(site, tmp_path, monkeypatch, capsys):
    name = "cmu_us_awb_arctic"
    clip(tmp_path / "made" / name / "wav" / "arctic_a0001.wav")
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        archive.add(tmp_path / "made" / name, arcname=name)
    Site.files = {"/digits.tar.gz": packed.getvalue()}
    monkeypatch.setitem(KNOWN, "cmu-arctic", dataclasses.replace(KNOWN["cmu-arctic"], archives=site()))
    assert (
        main(["corpus", "cmu-arctic", "--output", str(tmp_path / "out")]) == 2
    )  # one accent, in this archive
    said = capsys.readouterr().err
    assert "BSD-like" in said and "only one accent, 'scottish'" in said
    assert good(read_known("cmu-arctic"))["speaker"].tolist() == ["awb"] and len(Site.asked) == 1


def test_a_file_that_is_not_the_published_one_is_refused_and_not_kept(site, tmp_path):
    with pytest.raises(InputError, match="not the file that was published"):
        download.fetch("digits", site(digi="0" * 64), about="")
    assert not [path for path in (tmp_path / "cache" / "digits").iterdir() if path.is_file()]


def real(name: str) -> Path:
    if not (REAL / name).is_dir():
        pytest.skip(f"{REAL / name} is not there (its licence keeps it out of this repository)")
    return REAL / name


def test_the_real_speech_accent_archive(tmp_path):
    folder = real("saa_kaggle_layout")
    table, report = make_corpus(read_known("speech-accent-archive", folder), tmp_path, progress=False)
    assert len(table) == 12 and table["accent"].value_counts().to_dict() == {
        "arabic": 4,
        "dutch": 4,
        "english": 4,
    }
    assert report["encodings"] == {"MP3 MPEG_LAYER_III": 12}
    assert report["left_out"] == 2126 and set(table["split"]) == {"train", "validation", "test"}


def test_edacc_gives_turns_of_conversations(tmp_path):
    root = tmp_path / "edacc_v1.0"
    accent = "How would you describe your accent in English? (e.g. Italian, Glaswegian)"
    rows = [("EDACC-C06-A", "Glaswegian"), ("EDACC-C06-B", "Italian"), ("EDACC-C30-A", "")]
    root.mkdir()
    pd.DataFrame(rows, columns=["PARTICIPANT_ID", accent]).to_csv(
        root / "linguistic_background.csv", index=False
    )
    for part, recording, turns in (("dev", "EDACC-C06", "AB"), ("test", "EDACC-C30", "A")):
        (root / part).mkdir()
        (root / "data").mkdir(exist_ok=True)
        sf.write(root / "data" / f"{recording}.wav", tone(300, 3.0), RATE)
        names = [f"{recording}-{i:09d}" for i in range(len(turns))]
        (root / part / "segments").write_text(
            "".join(f"{name} {recording} {i + 0.25} {i + 1.0}\n" for i, name in enumerate(names))
        )
        (root / part / "utt2spk").write_text(
            "".join(f"{name} {recording}-{who}\n" for name, who in zip(names, turns, strict=True))
        )
        (root / part / "text").write_text("".join(f"{name} WELL YES\n" for name in names[:1]))
    listing = read_known("edacc", tmp_path)
    assert listing["speaker"].tolist() == ["EDACC-C06-A", "EDACC-C06-B", "EDACC-C30-A"]
    assert listing["problem"].tolist() == ["", "", "its speaker described no accent"]
    assert listing["text"].tolist() == ["WELL YES", "", "WELL YES"]
    assert listing["path"][1].endswith("EDACC-C06.wav#t=1.250,2.000")
    table, _ = make_corpus(listing, tmp_path / "corpus", progress=False)
    assert table["accent"].tolist() == ["Glaswegian", "Italian"] and table["seconds"].tolist() == [0.75, 0.75]
    with pytest.raises(InputError, match="no column 'L1'"):
        read_known("edacc", tmp_path, accent_column="L1")
