"""Every notebook in JupyterLab, run as a reader does: by the menu, in the browser."""

import json
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from helpers import ROOT

NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))
VOICE = "07_try_your_voice.ipynb"
ASK_FOR_HALF_A_SECOND = """() => {
    const lend = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    window.asked = 0;
    navigator.mediaDevices.getUserMedia = async (wish) => {
        window.asked += 1;
        await new Promise((resolve) => setTimeout(resolve, 500));
        return lend(wish);
    };
}"""


@pytest.fixture
def lab(tmp_path):
    """A JupyterLab over a copy of the notebooks; its address and folder."""
    folder = tmp_path / "lab"
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns("runs"))
    (folder / "data").symlink_to(ROOT / "data")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"ip": "127.0.0.1", "port": port, "token": "", "root_dir": str(folder), "allow_root": True}
    flags = [f"--ServerApp.{name}={value}" for name, value in settings.items()]
    with (folder / "log.txt").open("w") as log:
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", *flags]
        server = subprocess.Popen(command, stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    for _ in range(120):
        try:
            urllib.request.urlopen(f"{address}/api")
            break
        except OSError:
            time.sleep(0.5)
    yield address, folder
    server.terminate()
    server.wait()


def menu(page, title: str, command: str) -> None:
    """Click through a menu."""
    page.locator(".lm-MenuBar-itemLabel", has_text=title).first.click()
    page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{command}$")).click()


def kernels(address: str) -> list[dict]:
    """What the server says of its kernels; nothing while one is being started (it then answers 500)."""
    try:
        with urllib.request.urlopen(f"{address}/api/kernels") as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code != 500:
            raise
        return []


def until_idle(page, address: str, seconds: float = 400) -> None:
    """Wait until the kernel has had nothing to do for two seconds."""
    quiet, end = 0, time.monotonic() + seconds
    while quiet < 4:
        assert time.monotonic() < end, "the notebook did not come to its end"
        states = [kernel["execution_state"] for kernel in kernels(address)]
        quiet = quiet + 1 if states and set(states) == {"idle"} else 0
        page.wait_for_timeout(500)


def saved(page, file) -> list[dict]:
    """The code cells as they stand, by saving the notebook."""
    before = file.stat().st_mtime_ns
    menu(page, "File", "Save Notebook")
    for _ in range(40):
        page.wait_for_timeout(250)
        if file.stat().st_mtime_ns != before:
            break
    return [cell for cell in json.loads(file.read_text())["cells"] if cell["cell_type"] == "code"]


def errors_in(cells: list[dict]) -> list[str]:
    """What went wrong, by cell."""
    outputs = [output for cell in cells for output in cell["outputs"]]
    return [
        f"{output['ename']}: {output['evalue']}" for output in outputs if output["output_type"] == "error"
    ]


def opened(page, address: str, name: str) -> None:
    """Open a notebook, and wait for its kernel."""
    page.goto(f"{address}/lab/tree/notebooks/{name}?reset")
    page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
    for _ in range(120):
        if any(kernel["execution_state"] == "idle" for kernel in kernels(address)):
            return
        page.wait_for_timeout(500)
    raise AssertionError("the kernel did not start")


def said(cells: list[dict]) -> str:
    """What was printed."""
    return "".join(text for cell in cells for out in cell["outputs"] for text in out.get("text", []))


def run_all(page, address: str, name: str) -> None:
    """Open a notebook, run it from top to bottom, and wait for its end."""
    opened(page, address, name)
    menu(page, "Run", "Run All Cells")
    page.wait_for_timeout(3_000)
    until_idle(page, address)


def cells_after(page, address: str, folder, command: str) -> list[dict]:
    """Run the cell that takes what was recorded; the code cells as they then stand."""
    page.locator(".jp-CodeCell", has_text="recorder.clip_or(").first.click()
    menu(page, "Run", command)
    page.wait_for_timeout(2_000)
    until_idle(page, address)
    return saved(page, folder / "notebooks" / VOICE)


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_all_cells_run_without_an_error(page, lab, name):
    address, folder = lab
    run_all(page, address, name)
    cells = saved(page, folder / "notebooks" / name)
    assert errors_in(cells) == []
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))


def test_guesses_reach_the_notebook(page, lab):
    address, folder = lab
    run_all(page, address, "00_start_here.ipynb")
    for clip in range(1, 7):
        buttons = page.get_by_role("group", name=f"clip {clip}")
        buttons.get_by_role("button", name="french", exact=True).click()
        assert buttons.locator("[aria-pressed=true]").all_inner_texts() == ["french"]
    page.locator(".jp-CodeCell", has_text='right["you"]').first.click()
    before = saved(page, folder / "notebooks/00_start_here.ipynb")
    menu(page, "Run", "Run Selected Cell")
    page.wait_for_timeout(3_000)
    until_idle(page, address)
    cells = saved(page, folder / "notebooks/00_start_here.ipynb")
    assert errors_in(cells) == []
    pictures = [
        [o["data"]["image/png"] for o in c[2]["outputs"] if "image/png" in o["data"]] for c in (before, cells)
    ]
    assert len(pictures[1]) == 1 and pictures[0] != pictures[1]  # one more bar


def test_a_slider_turns(page, lab):
    address, _ = lab
    run_all(page, address, "01_feature_extraction.ipynb")
    slider = page.get_by_label("mel bands")
    slider.scroll_into_view_if_needed()
    picture = page.locator("img[alt^='mel bands']")
    assert picture.get_attribute("alt") == "mel bands: 20"
    first = picture.get_attribute("src")
    slider.click()
    page.keyboard.press("End")
    assert picture.get_attribute("alt") == "mel bands: 10" and picture.get_attribute("src") != first


def test_a_voice_is_recorded_and_named(page, lab):
    address, folder = lab
    run_all(page, address, VOICE)
    button = page.get_by_role("button", name="Record", exact=True)
    button.scroll_into_view_if_needed()
    page.evaluate(ASK_FOR_HALF_A_SECOND)
    button.dblclick()
    page.wait_for_timeout(4_000)
    assert page.evaluate("asked") == 1  # a second recording would never stop
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_text("Now run the cells below").wait_for(timeout=10_000)
    cells = cells_after(page, address, folder, "Run Selected Cell and All Below")
    assert errors_in(cells) == [] and "Your recording, " in said(cells) and "answer: " in said(cells)


def test_an_unusable_upload_is_explained(page, lab, tmp_path):
    import numpy as np
    import soundfile as sf

    address, folder = lab
    run_all(page, address, VOICE)
    sf.write(tmp_path / "silence.wav", np.zeros(16_000), 16_000)
    sf.write(tmp_path / "short.wav", np.full(3_200, 0.1), 16_000)
    (tmp_path / "letter.wav").write_text("Dear Anna")
    for file, sentence in {
        "silence.wav": "silence.wav is silent",
        "short.wav": "short.wav lasts 0.2 s",
        "letter.wav": "letter.wav is not audio",
    }.items():
        page.get_by_label("Upload a recording").set_input_files(tmp_path / file)
        page.get_by_text(sentence).wait_for(timeout=10_000)
    page.context.clear_permissions()
    page.get_by_role("button", name="Record", exact=True).click()
    page.get_by_text("The browser refused the microphone").wait_for(timeout=10_000)


def test_a_long_upload_is_cut(page, lab, tmp_path):
    import numpy as np
    import soundfile as sf

    address, folder = lab
    run_all(page, address, VOICE)
    hiss = np.random.default_rng(0).normal(0, 0.1, 16_000 * 240)
    sf.write(tmp_path / "talk.flac", hiss, 16_000)
    page.get_by_label("Upload a recording").set_input_files(tmp_path / "talk.flac")
    page.get_by_text("talk.flac: the first 30 of 240 s").wait_for(timeout=30_000)
    cells = cells_after(page, address, folder, "Run Selected Cell")
    assert errors_in(cells) == [] and "Your recording, 30.0 s." in said(cells)
