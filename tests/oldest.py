"""Print constraints for pip: the newest patch release of each dependency's floor in pyproject.toml."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOLS = ("pytest", "hypothesis", "mypy", "nbval", "ruff", "playwright", "espeakng-loader", "jupyterlab")

if __name__ == "__main__":
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for requirement in project["dependencies"] + sum(project["optional-dependencies"].values(), []):
        name, floor = re.match(r"([\w-]+)(?:\[.*\])?>?=?([\d.]*)", requirement).groups()
        if name == "torch":  # any other version brings gigabytes of CUDA
            print(re.search(r"^torch==\S+$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.M)[0])
        elif floor and not name.startswith(TOOLS):
            print(f"{name}=={floor}.*")
