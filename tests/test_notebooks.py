"""The notebooks' code as readers change it: their own folder, another configuration, another place to start from."""

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
import soundfile as sf

import accentlib
from conftest import ROOT, tone


@pytest.fixture(autouse=True)
def _beside_the_notebooks(monkeypatch):
    monkeypatch.chdir(ROOT / "notebooks")
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)


def code_of(name: str) -> list[str]:
    """The code cells of the notebook whose name begins so."""
    notebook = nbformat.read(next((ROOT / "notebooks").glob(f"{name}*.ipynb")), 4)
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def as_it_was(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Everything below a folder: when it changed, and what is in it."""
    return {p: (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in folder.rglob("*")}


def test_my_own_folder_in_notebook_06_stays_as_it_is(tmp_path, monkeypatch):
    folder = tmp_path / "annahome" / "recordings"
    for a, accent in enumerate(("high", "low")):
        for s in range(4):
            (folder / accent / f"spk0{4 * a + s}").mkdir(parents=True)
            for c in range(3):
                path = folder / accent / f"spk0{4 * a + s}" / f"{c}.wav"
                sf.write(path, tone((900, 150)[a] + 9 * s, 0.5 + 0.1 * c, seed=10 * s + c), 16_000)
    (tmp_path / "annahome" / "thesis.txt").write_text("Chapter 1")
    before = as_it_was(tmp_path)

    read, train = accentlib.read_corpus, accentlib.train

    def read_a_part(data: Any, **options: Any):
        table = read(data, **options)
        return table[::30].reset_index(drop=True) if len(table) == 912 else table  # the neural voices

    def train_a_little(table, config, out_dir, **options: Any):
        small = {"kernel_size": 16, "heads_number": 4, "embedding_size": 12, "max_epochs": 1}
        return train(table, config.replace(**small), out_dir, **options)

    monkeypatch.setattr(accentlib, "read_corpus", read_a_part)
    monkeypatch.setattr(accentlib, "train", train_a_little)
    code, replaced = re.subn(
        r"^folder = .*$", f"folder = Path({str(folder)!r})", "\n\n".join(code_of("06")), flags=re.M
    )
    assert replaced == 1
    scope: dict[str, Any] = {}
    exec(code, scope)
    assert as_it_was(tmp_path) == before
    assert set(scope["report"]["accents"]) == {"high", "low"} and scope["model"].labels == ["high", "low"]
