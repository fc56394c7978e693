"""A run made by version 0.1 (commit 49626a5), whose options and weights had other names."""

import shutil

import pandas as pd
from helpers import ROOT, TINY, as_flags, write_corpus

from accentlib.cli import main
from accentlib.config import Config
from accentlib.network.checkpoint import load_model, read_checkpoint
from accentlib.published.pickles import read_pickle

RUN = ROOT / "tests" / "golden" / "run_0_1"


def test_a_run_of_version_0_1_loads_and_resumes(tmp_path, capsys):
    out = tmp_path / "run"
    shutil.copytree(RUN, out)
    corpus = write_corpus(tmp_path / "corpus")
    paths, accents = pd.read_csv(corpus / "manifest.csv")[["path", "accent"]].to_numpy().T
    lines = [f"{p},0.0,0.25,a{a[0]},0\n{p},0.25,0.48,b,1\n" for p, a in zip(paths, accents, strict=True)]
    (corpus / "sounds.csv").write_text("path,start,end,sound,position\n" + "".join(lines))
    model = load_model(out / "last.pt")
    assert model.config.channels == 16 and model.phones == ["ah", "al", "am", "b"]
    assert model.phone_layer.weight.any() and model.calibration.temperature == 1
    noted = read_pickle(out / "config.pkl")
    fields = {name: value for name, value in noted.items() if name not in ("data", "labels")}
    assert {"kernel_size", "sound_weight"} <= fields.keys() and Config.from_dict(fields) == model.config
    flags = as_flags(TINY | {"max_epochs": 3, "num_workers": 0, "sound_weight": 1.0, "weight_averaging": 0.9})
    assert main(["train", "--data", str(corpus), "--out_dir", str(out), "--resume", *flags]) == 0
    assert "goes on at epoch 3, update 6, with its weights and optimizer" in capsys.readouterr().err
    assert read_checkpoint(out / "last.pt")["training"]["counters"] | {"seconds": 0, "best": 0} == {
        "step": 9, "epoch": 3, "batch": 0, "stale": 2, "best": 0, "seconds": 0,
    }  # fmt: skip
