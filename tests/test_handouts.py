"""What students get: no answers, no outputs, nothing that they are to build."""

import subprocess
import sys

import nbformat
from helpers import ROOT


def test_students_get_questions_and_assertions_and_no_answers(tmp_path):
    made = subprocess.run(
        [sys.executable, ROOT / "notebooks/handouts.py", tmp_path], check=True, text=True, capture_output=True
    )
    assert "8 notebooks and worksheet.html" in made.stdout
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        full, own = nbformat.read(path, 4), nbformat.read(tmp_path / path.name, 4)
        assert len(own.cells) == len(full.cells) - 1
        text = "\n".join(cell.source for cell in own.cells)
        assert "<summary>" not in text and not any(cell.get("outputs") for cell in own.cells)
        nbformat.validate(own)
    attention = (tmp_path / "02_vgg_double_attention.ipynb").read_text()
    assert "def double_attention" in attention and "yours to write" in attention
    assert "softmax(c @ v" not in attention and "assert_allclose" in attention
    sheet = (tmp_path / "worksheet.html").read_text()
    assert sheet.count("Predict.") == sheet.count("Break it.") == 8 and "Answers" not in sheet
