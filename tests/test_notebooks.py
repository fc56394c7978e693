"""The notebooks' code as readers change it: their own folder, another configuration, another place to start from."""

import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import pandas as pd
import pytest
import soundfile as sf
from helpers import ROOT, tone

import accentlib
from accentlib.experiments.grid import check_budget

NAMES = [path.stem[:2] for path in sorted((ROOT / "notebooks").glob("*.ipynb"))]
READS = re.compile(r"read_corpus\(|read_csv\(|clip_or\(")


@pytest.fixture(autouse=True)
def _beside_the_notebooks(monkeypatch):
    monkeypatch.chdir(ROOT / "notebooks")
    monkeypatch.setattr("matplotlib.pyplot.show", lambda: None)
    yield
    plt.close("all")


def code_of(name: str) -> list[str]:
    """The code cells of the notebook whose name begins so."""
    notebook = nbformat.read(next((ROOT / "notebooks").glob(f"{name}*.ipynb")), 4)
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def as_it_was(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Everything below a folder: when it changed, and what is in it."""
    return {p: (p.stat().st_mtime_ns, p.read_bytes() if p.is_file() else b"") for p in folder.rglob("*")}


@pytest.mark.parametrize("name", NAMES)
def test_started_from_another_folder_it_finds_its_data_and_writes_nothing_there(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cells = code_of(name)
    first = next(i for i, code in enumerate(cells) if READS.search(code))
    scope: dict[str, Any] = {}
    for code in cells[: first + 1]:
        exec(code, scope)
    assert not list(tmp_path.iterdir())
    rest = "\n".join(cells[first + 1 :]).replace('src="runs/', "")  # which a page takes from its own folder
    assert not re.search(r"""(?<!root / )["'](\.\./|runs/)""", rest)


def titles() -> list[str]:
    """What stands above the pictures."""
    axes = [ax for number in plt.get_fignums() for ax in plt.figure(number).axes]
    return [ax.get_title() for ax in axes if ax.get_title()]


@pytest.mark.parametrize("name", ["01", "02"])
@pytest.mark.parametrize("changed", ["n_mels=40", "heads=4", "n_mels=20, heads=2, channels=32"])
def test_i_change_the_configuration(name, changed, capsys):
    slow = re.compile(r"attention_by_phone|explain\(|label_phones")
    code = "\n\n".join(cell for cell in code_of(name) if not slow.search(cell))
    scope: dict[str, Any] = {}
    exec(code.replace("Config.laptop(", f"Config.laptop({changed}, "), scope)
    said, mels = capsys.readouterr().out, scope["config"].n_mels
    assert "False" not in said.replace("all at once: False", "")
    if name == "01":
        assert f"(257, {mels})" in said and any(f"{mels} mel" in title for title in titles())
    else:
        assert f"(1, 1, 100, {mels})" in said


def test_i_change_the_configuration_of_the_small_comparison(monkeypatch):
    rows = pd.read_csv(ROOT / "data" / "comparisons" / "accents_mini.csv")

    def compare(data: Any, config: accentlib.Config, out_dir: Any, **options: Any):
        Path(out_dir).mkdir(parents=True, exist_ok=True)
        check_budget(Path(out_dir) / "budget.json", data, config)
        return rows

    monkeypatch.setattr(accentlib, "compare", compare)
    for changed in ("", "heads=4, "):
        exec("\n\n".join(code_of("05")).replace("Config.laptop(", f"Config.laptop({changed}"), {})


@pytest.mark.parametrize("name", ["03", "06"])
def test_i_run_the_cell_that_trains_a_second_time(name, tmp_path, corpus_dir, tiny):
    line = re.search(r"^model, history = .*$", "\n".join(code_of(name)), flags=re.M)[0]
    table = accentlib.read_corpus(corpus_dir)
    scope = {"accentlib": accentlib, "table": table, "corpus": table, "config": tiny.replace(max_epochs=1)}
    for _ in range(2):
        exec(line, scope | {"out_dir": tmp_path, "work": tmp_path})


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
        small = {"channels": 16, "heads": 4, "embedding_size": 12, "max_epochs": 1}
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
