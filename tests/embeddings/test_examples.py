"""The examples of embeddings/README.md run as they stand there."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path

import pandas as pd
import pytest
from helpers import ROOT

TEXT = (ROOT / "accentlib/embeddings/README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", TEXT, re.S)
SHORT = ROOT / "data/accents_mini/clips/scottish/spk06_s14.ogg"
COMMAND = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}  # where accentlib lies


def block(kind, place=0):
    return [text for of, text in BLOCKS if of == kind][place]


def test_the_web_service_answers_and_refuses(capsys):
    names: dict = {"__name__": "service"}
    exec(block("python"), names)
    server = names["ThreadingHTTPServer"](("localhost", 0), names["Service"])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://localhost:{server.server_port}"
    (answer,) = json.load(urllib.request.urlopen(address, SHORT.read_bytes()))
    assert {"accent", "probability", "nearest", "p:english"} <= answer.keys()
    with pytest.raises(urllib.error.HTTPError, match="400") as refused:
        urllib.request.urlopen(address, b"no audio")
    assert "not readable as audio" in json.load(refused.value)["error"]
    server.shutdown()


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", COMMAND["PATH"])
    Path("recordings").mkdir()
    shutil.copy(SHORT, "recordings")
    return tmp_path


def test_praat_reads_the_table(work):
    import parselmouth

    _, said = parselmouth.praat.run(block("praat"), capture_output=True)
    nearest = pd.read_csv("answers.csv")["nearest"][0]
    assert said.strip().endswith(f"spk06_s14.ogg: {nearest}")


@pytest.mark.skipif(shutil.which("Rscript") is None, reason="R is not installed")
def test_r_reads_the_tables(work):
    shutil.copy(ROOT / "data/accents_mini/clips/scottish/spk06_s14.ogg", "interview.wav")
    few = pd.read_csv(ROOT / "data/accents_mini/manifest.csv")[::200]
    few["path"] = [str(ROOT / "data/accents_mini" / path) for path in few["path"]]
    Path("CORPUS").mkdir()
    few.to_csv("CORPUS/manifest.csv", index=False)
    Path("example.R").write_text(block("r"), encoding="utf-8")
    done = subprocess.run(["Rscript", "example.R"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "Importance of components" in done.stdout, done.stderr


def test_scikit_learn_validates_by_speaker(work, capsys):
    few = pd.read_csv(ROOT / "data/accents_mini/manifest.csv")
    few = few[few["speaker"].isin(["spk06", "spk07", "spk14"]) & few["accent"].isin(["french", "hindi"])]
    few["path"] = [str(ROOT / "data/accents_mini" / path) for path in few["path"]]
    Path("CORPUS").mkdir()
    few.to_csv("CORPUS/manifest.csv", index=False)
    exec(block("python", 1), {})
    assert capsys.readouterr().out.startswith("[")
