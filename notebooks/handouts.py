"""What students get: notebooks without outputs, answers and the functions that they build, and a worksheet.

    python notebooks/handouts.py FOLDER

The notebooks' assertions stay: they tell whether a student's function agrees with the package."""

import ast
import re
import shutil
import sys
from pathlib import Path

import nbformat
from nbconvert import HTMLExporter
from nbconvert.preprocessors import ClearOutputPreprocessor, TagRemovePreprocessor

HERE = Path(__file__).parent
ASKED = re.compile(r"\*Before you (?:run|look).*?\*(?!\*)")


def blanked(source: str) -> str:
    """A cell without the bodies of its functions, if an assertion follows that checks them."""
    if not re.search(r"^\s*(assert |np\.testing|torch\.testing)", source, flags=re.M):
        return source
    lines = source.splitlines()
    for node in reversed(ast.parse(source).body):
        if isinstance(node, ast.FunctionDef):
            lines[node.body[0].lineno - 1 : node.end_lineno] = ["    ...  # yours to write"]
    return "\n".join(lines)


def student_version(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook without its answers, its outputs, and what students build."""
    for step in (TagRemovePreprocessor(remove_cell_tags={"answers"}), ClearOutputPreprocessor()):
        notebook, _ = step.preprocess(notebook, {})
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = blanked(cell.source)
    return notebook


def questions(notebook: nbformat.NotebookNode) -> str:
    """The title of a notebook, its question, what it asks before cells are run, and its exercises."""
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    title, asked = texts[0].splitlines()[0], re.search(r"\*\*Question:\*\*.*", texts[0])[0]
    guesses = [f"- {x.strip('*')}\n\n<br><br>" for text in texts for x in ASKED.findall(text)]
    exercises = next(text for text in texts if text.startswith("## Exercises")).replace("## ", "### ")
    return "\n\n".join([title.replace("# ", "## "), asked, *guesses, exercises])


if __name__ == "__main__":
    folder, sheet = Path(sys.argv[1]), ["# Worksheet\n\nName:"]
    shutil.copytree(HERE / "images", folder / "images", dirs_exist_ok=True)
    for path in sorted(HERE.glob("*.ipynb")):
        sheet.append(questions(nbformat.read(path, 4)))
        nbformat.write(student_version(nbformat.read(path, 4)), folder / path.name)
    cells = [nbformat.v4.new_markdown_cell(text) for text in sheet]
    page, _ = HTMLExporter(exclude_input_prompt=True).from_notebook_node(
        nbformat.v4.new_notebook(cells=cells)
    )
    (folder / "worksheet.html").write_text(page, encoding="utf-8")
    print(f"{folder}: {len(sheet) - 1} notebooks and worksheet.html")
