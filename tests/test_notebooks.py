"""The notebooks' code as readers change it: their own folder, another configuration, another place to start from."""

import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import nbformat
import pytest
import soundfile as sf
from helpers import ROOT, tone

import accentlib

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


@pytest.mark.parametrize(
    "name, right, wrong",
    [
        ("01", "x[1:] - 0.97 * x[:-1]", "x[1:] - 0.95 * x[:-1]"),
        ("01", "s - s.mean(axis=0)", "s - s.mean()"),
        ("02", "b.conv1.bias, padding=1", "None, padding=1"),
        ("02", "np.sqrt(len(u))", "np.sqrt(h.shape[-1])"),  # the paper's root, not the code's
        ("02", "softmax(c @ v, axis=0) @ c", "c.mean(0)"),
        ("02", "F.relu(net.fc2(", "(net.fc2("),
        ("03", "] -= s * m", "] -= m"),
        ("04", "speaker[:, None] == speaker", "accent[:, None] == accent"),
        ("05", "size=len(accents))", "size=len(accents) // 4)"),
    ],
)
def test_a_mistake_in_what_the_reader_builds_is_noticed(name, right, wrong):
    """The notebooks' assertions are the student's checks: each idea, wrong in one place."""
    scope: dict[str, Any] = {}
    cells = [code.replace("baselines(store", "dict(a=0.5) or (store") for code in code_of(name)]  # slow
    changed = next(i for i, code in enumerate(cells) if right in code)
    for code in cells[:changed]:
        exec(code, scope)
    with pytest.raises(AssertionError):
        exec(cells[changed].replace(right, wrong), scope)


def test_i_run_the_cell_that_trains_a_second_time(tmp_path, corpus_dir, tiny):
    line = re.search(r"^model, history = .*$", "\n".join(code_of("06")), flags=re.M)[0]
    table = accentlib.read_corpus(corpus_dir)
    scope = {"accentlib": accentlib, "table": table, "corpus": table, "config": tiny.replace(max_epochs=1)}
    for _ in range(2):
        exec(line, scope | {"work": tmp_path})


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

    train = accentlib.train

    def train_a_little(table, config, out_dir, **options: Any):
        small = {"channels": 16, "heads": 4, "embedding_size": 12, "max_epochs": 1}
        return train(table, config.replace(**small), out_dir, **options)

    monkeypatch.setattr(accentlib, "train", train_a_little)
    code, replaced = re.subn(
        r"^folder = .*$", f"folder = Path({str(folder)!r})", "\n\n".join(code_of("06")), flags=re.M
    )
    assert replaced == 1
    scope: dict[str, Any] = {}
    exec(code, scope)
    assert as_it_was(tmp_path) == before
    assert set(scope["report"]["accents"]) == {"high", "low"} and scope["model"].labels == ["high", "low"]
