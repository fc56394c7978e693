"""The rooms: which may import which, and how large a module or a function may be."""

import ast
from pathlib import Path

import pytest
from helpers import ROOT

PACKAGE = ROOT / "accentlib"
# Lower rooms first. Notebooks visit them in another order: training comes before embeddings there, but it
# validates with the figures of embeddings.
FLOORS = (
    "config", "files", "device", "features", "corpora", "network", "embeddings", "plots", "diagrams",
    "training", "published", "experiments", "interactive", "cli",
)  # fmt: skip
# Files of the published trainer are met in the midst of ours; their readers are imported when one is.
DOORS = {
    ("features.log_mel", "published.pickles"), ("features.store", "published.pickles"),
    ("network.checkpoint", "published.weights"),
}  # fmt: skip
MODULES = [p for p in sorted(PACKAGE.rglob("*.py")) if p.parent != PACKAGE or not p.name.startswith("__")]


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> list[tuple[str, bool]]:
    """Modules of the package that a module imports, and whether at its top (not within a function)."""
    tree = ast.parse(path.read_text())
    here = ["accentlib", *path.relative_to(PACKAGE).parts[:-1]]
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [a.name.split(".") for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = here[: len(here) + 1 - node.level] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            names = [base] if node.module else [[*base, a.name] for a in node.names]
        found += [(".".join(n[1:]), node in tree.body) for n in names if n[0] == "accentlib" and len(n) > 1]
    return found


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_imports_go_down(path):
    here = name_of(path)
    floor = FLOORS.index(here.split(".")[0])
    for there, at_top in imports(path):
        up = FLOORS.index(there.split(".")[0]) > floor
        assert not up or ((here, there) in DOORS and not at_top), f"{here} imports {there}"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_modules_and_functions_stay_small(path):
    source = path.read_text()
    assert len(source.splitlines()) <= 300
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 60, node.name
    assert max(map(len, source.splitlines())) <= 110


def test_the_package_stays_small():
    assert sum(len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")) <= 7_945


@pytest.mark.parametrize(
    "room", [p for p in PACKAGE.iterdir() if (p / "__init__.py").is_file()], ids=lambda p: p.name
)
def test_a_room_says_what_it_is_for_and_has_its_tests(room):
    said = ast.get_docstring(ast.parse((room / "__init__.py").read_text()))
    assert said and (ROOT / "tests" / room.name).is_dir()
    if room.name not in ("published", "cli"):
        assert "notebook 0" in said and "In: " in said and "Out: " in said
