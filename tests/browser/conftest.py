"""A real browser: Debian's chromium, driven by Playwright."""

import shutil
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).parents[2]
SPOKEN = ROOT / "data" / "neural_voices" / "fr" / "af_bella_s05.ogg"


@pytest.fixture(scope="session")
def launch(tmp_path_factory):
    """Start a Chromium whose microphone hears a bundled clip, over and over."""
    import soundfile as sf

    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.exit("make test-browser needs a browser: apt install chromium", returncode=2)
    started = []

    def start(spoken):
        heard = tmp_path_factory.mktemp("microphone") / "clip.wav"
        sf.write(heard, *sf.read(spoken), subtype="PCM_16")
        sound = ["--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={heard}"]
        started.append(playwright.chromium.launch(executable_path=program, args=["--no-sandbox", *sound]))
        return started[-1]

    with sync_playwright() as playwright:
        yield start
        for browser in started:
            browser.close()


@pytest.fixture(scope="session")
def browser(launch):
    """Chromium, whose microphone hears a neural voice."""
    return launch(SPOKEN)


@pytest.fixture
def errors():
    """What the page complained of: a list to be empty at the end."""
    return []


@pytest.fixture
def page(browser, errors):
    """A page of a wide window, which may use the microphone."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, permissions=["microphone"])
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
