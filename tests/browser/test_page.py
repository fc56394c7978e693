"""The page that answers: the network in JavaScript against the one in PyTorch, and what a person does with it."""

from base64 import b64encode

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from helpers import ROOT
from test_map import until

import accentlib
from accentlib.cli import main
from accentlib.embeddings.inference import infer, wave_log_mel
from accentlib.interactive.answer_page import answer_page

CLIP = ROOT / "data/accents_mini/clips/scottish/spk06_s14.ogg"
MODELS = ("real_speech", "accents_mini_phones", "accents_mini")
ANSWERED = "document.querySelectorAll('.attempt').length === {}"
ASK = """async ([base64, rate]) => {
    const bytes = Uint8Array.from(atob(base64), (x) => x.charCodeAt(0));
    const found = await window.accentlib.answer(new Float32Array(bytes.buffer), rate);
    const rows = found.picture.logMels.map((row) => [...row]);
    return { ...found, embedding: [...found.embedding], probabilities: [...found.probabilities], picture: rows };
}"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """Pages of three models as anybody makes them, and with weights of 32 bits."""
    folder = tmp_path_factory.mktemp("pages")
    for name in MODELS:
        assert main(["page", "--checkpoint", name, "--output", str(folder / f"{name}.html")]) == 0
        answer_page(accentlib.load_model(name), folder / f"{name}32.html", half=False)
    few = folder / "corpus"
    few.mkdir()
    table = accentlib.read_corpus(ROOT / "data/accents_mini", split=False)
    table[::100].to_csv(few / "manifest.csv", index=False)
    corpus = ["--data", str(few), "--recordings", "--output", str(folder / "voices.html")]
    assert main(["page", "--checkpoint", "accents_mini_phones", *corpus]) == 0
    return folder


@pytest.fixture(scope="module")
def clips():
    """50 clips of 1 to 30 s, of robot and neural voices, at 16 kHz."""
    paths = [
        *accentlib.read_corpus(ROOT / "data/accents_mini")["path"][::80],
        *accentlib.read_corpus(ROOT / "data/neural_voices")["path"][::40],
    ]
    waves = [accentlib.load_audio(path, 16_000) for path in paths]
    lengths = np.geomspace(1, 30, 50)
    joined = [np.concatenate([waves[(i + j) % len(waves)] for j in range(16)]) for i in range(50)]
    return [wave[: round(16_000 * seconds)] for wave, seconds in zip(joined, lengths, strict=True)]


def opened(page, file):
    """Open a page without a network; the addresses that it asked for."""
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.context.set_offline(True)
    page.goto(file.as_uri())
    page.wait_for_selector("body[data-ready]", state="attached", timeout=60_000)
    return [url for url in asked if not url.startswith(("data:", "blob:")) and url != file.as_uri()]


def ask(page, wave, rate):
    return page.evaluate(ASK, [b64encode(np.ascontiguousarray(wave, "<f4").tobytes()).decode(), rate])


@pytest.mark.parametrize("name", MODELS)
def test_it_computes_what_pytorch_computes(page, pages, clips, name, errors):
    model = accentlib.load_model(name)
    rate = model.config.sample_rate
    for file, tolerance in ((f"{name}.html", 1e-2), (f"{name}32.html", 1e-4)):
        assert opened(page, pages / file) == []
        for wave in clips[:: 1 if tolerance == 1e-2 else 5]:
            heard = accentlib.features.audio.to_mono(wave, 16_000, rate)
            found, own = ask(page, heard, rate), infer(model, (heard, rate))
            embedding = own.embeddings[0]
            assert np.linalg.norm(found["embedding"] - embedding) <= tolerance * np.linalg.norm(embedding)
            predicted = accentlib.predict(model, (heard, rate)).iloc[0]
            assert (found["accent"], found["nearest"]) == (predicted["accent"], predicted["nearest"])
            np.testing.assert_allclose(found["probabilities"], own.probabilities[0], atol=0.5 * tolerance)
            expected = accentlib.normalise(wave_log_mel(heard, model.config), model.config.normalization)
            np.testing.assert_allclose(found["picture"], expected, atol=1e-3)
    assert errors == []


@pytest.mark.parametrize(
    "pooling", ["Statistics", "Attention", "AttentiveStatistics", "MHA", "DoubleMHAStatistics"]
)
def test_it_computes_every_pooling(page, tmp_path, clips, pooling):
    settings = {
        "pooling_method": pooling,
        "front_end": "VGG3L",
        "batch_norm": False,
        "normalization": "cmvn",
        "trim_silence": 30.0,
    }
    model = accentlib.AccentNet(
        accentlib.Config.laptop(sample_rate=16_000, **settings), ["a", "b", "c"]
    ).eval()
    answer_page(model, tmp_path / "page.html", half=False)
    opened(page, tmp_path / "page.html")
    for wave in clips[10:40:10]:
        embedding = infer(model, (wave, 16_000)).embeddings[0]
        assert np.linalg.norm(ask(page, wave, 16_000)["embedding"] - embedding) <= 1e-4 * np.linalg.norm(
            embedding
        )


def test_the_shipped_page_is_small_and_soon_ready(page, pages, clips):
    assert (pages / "real_speech.html").stat().st_size < 3e6
    assert opened(page, pages / "real_speech.html") == []
    assert int(page.evaluate("document.body.dataset.ready")) < 10_000  # ms


def test_another_rate_is_resampled_as_python_does(page, pages, clips):
    """Chromium's own resampler would fold what lies above 4 kHz back into the spectrum."""
    opened(page, pages / "real_speech.html")
    model = accentlib.load_model()
    for clip in clips[20:40:4]:
        for wave, rate in ((clip, 16_000), (accentlib.features.audio.to_mono(clip, 16_000, 44_100), 44_100)):
            found, own = ask(page, wave, rate), infer(model, (wave, rate)).embeddings[0]
            assert np.linalg.norm(found["embedding"] - own) <= 0.03 * np.linalg.norm(own)


def test_it_answers_to_a_file_with_picture_reasons_and_neighbours(page, pages, errors):
    opened(page, pages / "voices.html")
    assert "Ready" in page.inner_text("#status")
    for number in range(1, 8):
        page.set_input_files("#recorder input", CLIP if number % 2 else CLIP.with_name("spk06_s22.ogg"))
        until(page, f"document.querySelector('.attempt h2')?.textContent.startsWith('Attempt {number}:')")
    assert page.locator(".attempt").count() == 5  # the last five, the newest first
    model = accentlib.load_model("accents_mini_phones")
    predicted = accentlib.predict(model, str(CLIP)).iloc[0]
    assert predicted["accent"] == "scottish"
    assert page.inner_text(".attempt h2 >> nth=0").startswith("Attempt 7: scottish, ")
    until(page, "!document.getElementById('why').hidden")
    strongest = page.inner_text("#reasons tr:first-child td:first-child")
    assert strongest == accentlib.explain(model, str(CLIP))["ipa"][0]
    assert "scottish" in page.inner_text("#near")
    assert "holds the recordings" in page.inner_text("main")
    page.locator("#near button").first.click()
    until(page, "document.getElementById('sound').currentTime > 0.1")
    assert errors == []


def test_what_cannot_be_heard_is_said_in_a_line_and_the_page_goes_on(page, pages, tmp_path, errors):
    import soundfile as sf

    opened(page, pages / "accents_mini.html")
    noise = np.random.default_rng(0).normal(size=8_000_000).astype(np.float32) / 10
    sf.write(tmp_path / "silence.wav", np.zeros(32_000), 16_000)
    sf.write(tmp_path / "short.wav", noise[:1600], 16_000)
    sf.write(tmp_path / "hours.wav", np.tile(noise, 5)[: 4000 * 7200], 4000, subtype="PCM_U8")  # two hours
    (tmp_path / "picture.wav").write_bytes((ROOT / "notebooks/images/00.png").read_bytes())
    lines = {
        "silence": "is silent",
        "short": "lasts 0.1 s",
        "hours": "lasts 120 minutes",
        "picture": "is not audio",
    }
    for name, line in lines.items():
        page.set_input_files("#recorder input", tmp_path / f"{name}.wav")
        until(page, f"document.querySelector('#recorder p').textContent.includes('{line}')")
        assert page.locator(".attempt").count() == 0
    with pytest.raises(Exception, match="silent"):
        ask(page, np.zeros(32_000), 16_000)
    with pytest.raises(Exception, match="too short"):
        ask(page, noise[:100], 16_000)
    page.set_input_files("#recorder input", CLIP)
    until(page, ANSWERED.format(1))
    assert errors == []


def test_without_workers_microphone_or_permission_it_says_so(browser, pages):
    context = browser.new_context()  # no permission
    page = context.new_page()
    page.add_init_script("delete window.Worker")
    page.goto((pages / "accents_mini.html").as_uri())
    assert "no Web Workers" in page.inner_text("#status")
    refused = context.new_page()
    opened(refused, pages / "accents_mini.html")
    refused.evaluate(
        "() => { navigator.mediaDevices.getUserMedia = async () => { throw new DOMException('', 'NotAllowedError'); }; }"
    )
    refused.get_by_role("button", name="Record", exact=True).click()
    until(refused, "document.querySelector('#recorder p').textContent.includes('refused the microphone')")
    plain = context.new_page()
    plain.add_init_script(
        "Object.defineProperty(navigator, 'mediaDevices', { value: undefined })"
    )  # as over http
    opened(plain, pages / "accents_mini.html")
    assert plain.locator("#insecure").is_visible()
    assert not plain.get_by_role("button", name="Record", exact=True).is_visible()
    assert plain.get_attribute("#recorder input", "capture") == "user"
    plain.set_input_files("#recorder input", CLIP)
    until(plain, ANSWERED.format(1))
    context.close()


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_it_fits_every_screen_and_is_accessible(browser, pages, width):
    context = browser.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    opened(page, pages / "real_speech.html")
    page.set_input_files("#recorder input", ROOT / "data/neural_voices/fr/af_bella_s05.ogg")
    until(page, ANSWERED.format(1))
    until(page, "!document.getElementById('why').hidden")
    assert "unlike anything I know" in page.inner_text(".attempt")  # a synthetic voice
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Record"
    page.screenshot(path=str(pages / f"{width}.png"), full_page=True)
    context.close()


def test_the_microphone_hears_a_bundled_clip(launch, pages):
    """Chromium's fake microphone speaks one sentence over and over."""
    context = launch(CLIP).new_context(permissions=["microphone"])
    for name, answer in (("accents_mini_phones", "scottish"), ("real_speech", "unlike anything I know")):
        page = context.new_page()
        opened(page, pages / f"{name}.html")
        page.get_by_role("button", name="Record", exact=True).click()
        until(page, "document.querySelector('#recorder p').textContent.startsWith('Recording')")
        page.wait_for_timeout(4000)
        assert page.evaluate("document.querySelector('meter').value") >= 0
        page.get_by_role("button", name="Stop").click()
        until(page, ANSWERED.format(1))
        assert answer in page.inner_text(".attempt h2")
        share = page.inner_text(".attempt h2").rpartition(", ")[2]
        assert answer.startswith("unlike") or int(share.removesuffix(" %")) >= 50
    context.close()
