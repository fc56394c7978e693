"""The project's own files: versions, the bundled corpus, the notebooks."""

import ast
import hashlib
import importlib
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution

import nbformat
import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from helpers import BUNDLED, ROOT
from nbconvert import SlidesExporter
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import accentlib
from accentlib.corpora.table import read_corpus

KINDS = ("Predict.", "Write a function.", "Break it.")  # of exercises, in each notebook
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MANIFEST_SHA256 = "32664e01aa8d0aa4202b0272d001cdc4b94e7e4fe16604eb6602ac0c28a1e2ec"
# sha256 of espeak-ng's own int16 samples of one native and one learner's clip, before resampling
SPOKEN_SHA256 = {
    ("american", 5, 13): "e77d64ce042f03f01c797cca69c8932c0bd81d37839956382580466a401f60ee",
    ("hindi", 6, 22): "78ec602a5fa4d79bbf8c26f216fa778d9b666e3e2decd607f1df476db1645cb0",
}


def constraints() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def test_environment_and_constraints_agree_and_cover_the_dependencies():
    conda_names = {"pytorch": "torch", "pysoundfile": "soundfile", "soxr-python": "soxr"}
    text = (ROOT / "environment.yml").read_text()
    pins = dict(re.findall(r"^\s+- ([\w-]+)={1,2}([\d.]+)\s+#", text, flags=re.M))
    assert pins.pop("python") in (ROOT / "pyproject.toml").read_text()
    pins = {conda_names.get(name, name): version for name, version in pins.items()}
    exact = constraints()
    assert {name: exact[name] for name in pins} == pins
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + sum(project["optional-dependencies"].values(), [])
    names = {re.match(r"[\w-]+", w)[0] for w in wanted} - {"accentlib", "ruff"}
    assert names == pins.keys()
    for requirement in wanted:
        if ">=" in requirement:
            name, low = re.match(r"([\w-]+)>=([\d.]+)", requirement).groups()
            assert [int(x) for x in low.split(".")] <= [int(x) for x in exact[name].split(".")]


def test_all_that_an_install_brings_is_pinned_and_runs_on_the_oldest_python():
    exact = {canonicalize_name(name): version for name, version in constraints().items()}
    if distribution("numpy").version != exact["numpy"]:
        pytest.skip("not the environment of constraints.txt (make test-oldest)")
    wanted, seen = [Requirement("accentlib[test]")], set()
    while wanted:
        package = wanted.pop()
        if (key := (canonicalize_name(package.name), *sorted(package.extras))) in seen:
            continue
        seen.add(key)
        found = distribution(package.name)
        for requirement in map(Requirement, found.requires or []):
            extras = [{"extra": extra} for extra in package.extras or [""]]
            if not requirement.marker or any(map(requirement.marker.evaluate, extras)):
                wanted.append(requirement)
        if key[0] != "accentlib":
            assert key[0] in exact, f"{key[0]} is not in constraints.txt"
            asked = SpecifierSet(found.metadata.get("Requires-Python") or "")
            assert found.version != exact[key[0]] or "3.11.0" in asked, f"{key[0]} wants Python {asked}"


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == accentlib.__version__
    assert f"\nversion: {accentlib.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f"\n## {accentlib.__version__}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_the_readme_is_one_page_and_its_links_lead_somewhere():
    page = (ROOT / "README.md").read_text()
    assert len(page.split()) <= 900
    for readme in [ROOT / "README.md", *ROOT.glob("*/README.md"), *ROOT.glob("*/*/README.md")]:
        for link in re.findall(r"\]\(([^)#]+)[^)]*\)|src=\"([^\"]+)\"", readme.read_text()):
            target = link[0] or link[1]
            assert target.startswith("http") or (readme.parent / target).exists(), f"{readme}: {target}"


def test_the_manifest_is_the_one_that_was_made():
    assert hashlib.sha256((BUNDLED / "manifest.csv").read_bytes()).hexdigest() == MANIFEST_SHA256


def test_every_clip_is_the_one_that_was_made():
    table = pd.read_csv(BUNDLED / "manifest.csv")
    lines = (BUNDLED / "clips.sha256").read_text().splitlines()
    sums = {path: digest for digest, path in (line.split("  ") for line in lines)}
    assert list(sums) == list(table["path"])
    for path, digest in sums.items():
        assert hashlib.sha256((BUNDLED / path).read_bytes()).hexdigest() == digest, path
    assert sum((BUNDLED / path).stat().st_size for path in sums) < 20e6
    assert len(set(sums.values())) == len(sums)  # an unknown voice would silently repeat another


def test_neither_voice_nor_sentence_gives_the_accent_away_and_splits_share_neither():
    table = pd.read_csv(BUNDLED / "manifest.csv")
    for key in ("speaker", "sentence"):
        assert (pd.crosstab(table[key], table["accent"]).nunique(axis=1) == 1).all()
        assert table.groupby(key)["split"].nunique().max() == 1
    assert table.groupby("split")["speaker"].nunique().to_dict() == {"test": 12, "train": 30, "validation": 6}
    info = sf.info(BUNDLED / table["path"][0])
    assert (info.samplerate, info.channels, info.format, info.subtype) == (16_000, 1, "OGG", "OPUS")


def test_neural_voices_hold_voices_and_sentences_apart():
    folder = ROOT / "data" / "neural_voices"
    table = read_corpus(folder)
    assert len(table) == 912 and {str(p) for p in folder.rglob("*.ogg")} == set(table["path"])
    assert table.groupby("split")["speaker"].nunique().to_dict() == {"test": 5, "train": 11, "validation": 3}
    for key in ("speaker", "sentence"):
        assert (pd.crosstab(table[key], table["accent"]).nunique(axis=1) == 1).all()
        assert table.groupby(key)["split"].nunique().max() == 1
    wave, rate = sf.read(table["path"][500])
    assert rate == 16_000 and len(wave) / rate == pytest.approx(float(table["seconds"][500]), abs=0.02)


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="forks, and the checksum is of the Linux wheel for x86-64",
)
def test_the_generator_still_makes_the_same_clips(tmp_path):
    pytest.importorskip("espeakng_loader")
    sys.path.insert(0, str(ROOT / "data"))
    import make_accents_mini as maker

    speakers = maker.make_speakers()
    espeak = maker.Espeak(speakers, tmp_path)
    for (accent, n, s), digest in SPOKEN_SHA256.items():
        samples, _ = espeak.say(maker.SENTENCES[s], maker.ACCENTS[accent], speakers[n], 1000 * n + s)
        assert hashlib.sha256(samples.tobytes()).hexdigest() == digest
        wave, phones = maker.make_clip(
            espeak, maker.ACCENTS[accent], speakers[n], maker.SENTENCES[s], 1000 * n + s
        )
        committed, _ = sf.read(BUNDLED / f"clips/{accent}/{speakers[n].name}_s{s:02d}.ogg")
        assert len(wave) == len(committed)
        assert np.corrcoef(wave, committed)[0, 1] > 0.95  # Opus is lossy
    assert min(maker.fewest_cues(espeak, s) for s in maker.SENTENCES[:3]) >= maker.MIN_CUES


def test_recordings_stay_where_the_generator_cannot_start(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "data"))
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    module = importlib.import_module("make_accents_mini")
    kept = tmp_path / "clips" / "mine.ogg"
    kept.parent.mkdir()
    kept.write_bytes(b"")
    monkeypatch.setattr(module, "OUTPUT", tmp_path)
    with pytest.raises(ImportError):
        module.main()
    assert kept.exists()


def test_a_learner_drops_the_phones_that_the_first_language_lacks():
    sys.path.insert(0, str(ROOT / "data"))
    import make_accents_mini as maker

    assert maker.cut_phonemes("T'ink") == ["T", "'", "i", "n", "k"]
    assert maker.learner_mnemonics("T'Ind", "german") == "s|'I|n|t"
    assert maker.learner_mnemonics("D'I2s hw'aIt", "french") == "z|'i|s w|'a|j|t"
    assert maker.learner_mnemonics("T'Ink", "hindi") == "t#|'I|n|k"


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_clean_keeps_the_models_that_i_trained(tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("runs/mine/best.pt", ".venv/pyvenv.cfg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text("")
    subprocess.run(["make", "clean"], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "runs/mine/best.pt").exists() and not (tmp_path / ".venv").exists()


@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_make_lab_opens_the_first_notebook():
    said = subprocess.run(["make", "-n", "lab"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert f"notebooks/{NOTEBOOKS[0].name}\n" in said


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_as_slides_each_heading_begins_one(path):
    """In JupyterLab: the property inspector's *Slide Type*, Slide, of each cell that begins with a heading."""
    cells = nbformat.read(path, 4).cells
    headings = sum(len(re.findall("^##? ", c.source, flags=re.M)) for c in cells if c.cell_type == "markdown")
    page, _ = SlidesExporter().from_filename(str(path))
    assert page.count("<section") == 2 * headings > 8  # a stack of one each


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_executed_and_portable(path):
    notebook = nbformat.read(path, 4)
    assert path.stat().st_size < 1_500_000
    assert notebook.metadata.kernelspec.name == "python3" and "widgets" not in notebook.metadata
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert 4 <= len(cells) <= 16
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [o for c in cells for o in c.outputs if o.output_type == "error"]
    assert any("image/png" in o.get("data", {}) for c in cells for o in c.outputs)
    assert not re.search(r"/home/|/Users/|/tmp/|/root/", path.read_text())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_teaches(path):
    cells = nbformat.read(path, 4).cells
    first, learned = (
        cells[0].source,
        next(i for i, c in enumerate(cells) if "## What you learned" in c.source),
    )
    assert "**Question:**" in first and "?" in first and f"(images/strip_{path.stem[:2]}.svg)" in first
    for cell in cells:
        if cell.cell_type == "code":
            assert len(cell.source.splitlines()) <= 25  # seen without scrolling
            for node in ast.walk(ast.parse(cell.source)):
                assert not isinstance(node, ast.ClassDef)
                assert not isinstance(node, ast.FunctionDef) or node.end_lineno - node.lineno < 15
            said = "".join(o.get("text", "") for o in cell.outputs)
            assert not re.search(r"(True|False)\b", said), "a number says more than a verdict"
    exercises = cells[learned + 1].source
    assert exercises.startswith("## Exercises")
    assert [f"{i}. *{kind}*" in exercises for i, kind in enumerate(KINDS, 1)] == [True] * 3
    assert cells[learned + 2].metadata.tags == ["exercise"]
    assert f'accentlib.check("{path.stem[:2]}.1"' in cells[learned + 2].source
    assert cells[-1].metadata.tags == ["answers"] and "<summary>Answers</summary>" in cells[-1].source
    if "01" <= path.stem[:2] <= "05":
        assert sum(c.source.count("$$") for c in cells if c.cell_type == "markdown") >= 2
