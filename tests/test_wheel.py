"""What a user gets who installs a wheel, far from the repository."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile as sf
from helpers import RATE, ROOT, tone


def run(*argv: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """The outcome of a Python module of this environment."""
    environment = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"} | environment
    argv = [sys.executable, "-m", *argv]
    return subprocess.run(argv, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """The folder into which a wheel of this tree was installed."""
    folder = tmp_path_factory.mktemp("wheel")
    tree = folder / "tree"  # a copy: building writes beside the sources, and takes what lies there
    tree.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tree)
    shutil.copytree(ROOT / "accentlib", tree / "accentlib", ignore=shutil.ignore_patterns("__pycache__"))
    built = run("pip", "wheel", "--no-deps", "--no-build-isolation", "-w", ".", "./tree", cwd=folder)
    assert built.returncode == 0, built.stderr
    wheel = next(folder.glob("*.whl"))
    put = run("pip", "install", "--no-deps", "--no-compile", "--target", "site", wheel.name, cwd=folder)
    assert put.returncode == 0, put.stderr
    return folder / "site"


def test_an_installed_wheel_predicts_a_clip(installed, tmp_path):
    sf.write(tmp_path / "my.wav", tone(200, seconds=2), RATE)
    answer = run("accentlib", "predict", "my.wav", cwd=tmp_path, PYTHONPATH=str(installed))
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.startswith("real_speech: ")
    command = [sys.executable, "-c", "import accentlib.network.checkpoint as c; print(c.SHIPPED)"]
    place = subprocess.run(
        command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(installed)}, capture_output=True, text=True
    )
    assert place.stdout.startswith(str(installed))  # and not the repository's
    assert answer.stdout.splitlines()[1].startswith("my.wav,")


def test_a_wheel_holds_whatever_the_package_has(installed):
    def files(folder: Path) -> set[str]:
        paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {path.relative_to(folder).as_posix() for path in paths}

    assert files(installed / "accentlib") == files(ROOT / "accentlib")
    metadata = next(installed.glob("*.dist-info/METADATA")).read_text()
    assert (
        "License-Expression: MIT AND CC-BY-NC-SA-2.0\n" in metadata
    )  # the code's, and that of real_speech.pt
    assert "not for sale" in (installed / "accentlib" / "models" / "README.md").read_text()
