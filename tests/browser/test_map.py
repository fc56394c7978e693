"""The map of the bundled test voices, by mouse, by keys and on a phone."""

import shutil

import pytest
from helpers import ROOT

from accentlib.cli import main
from accentlib.corpora.table import read_corpus, select


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The map of 126 bundled clips, and one of nine beyond its size limit, the first of whose files is then deleted."""
    folder = tmp_path_factory.mktemp("map")
    table = select(read_corpus(ROOT / "data/accents_mini"), "test")
    checkpoint = ["--checkpoint", "accents_mini"]
    for name, rows, options in (("map", table[::4], []), ("linked", table[::60], ["--megabytes", "0"])):
        (folder / name).mkdir()
        paths = [str(folder / name / f"{i}.ogg") for i in range(len(rows))]
        for path, copy in zip(rows["path"], paths, strict=True):
            shutil.copy(path, copy)
        rows.assign(path=paths).to_csv(folder / name / "manifest.csv", index=False)
        page = ["--data", str(folder / name), "--output", str(folder / f"{name}.html")]
        assert main(["map", *checkpoint, *page, *options]) == 0
    (folder / "linked" / "0.ogg").unlink()
    return folder


def opened(page, file):
    """Open the page; the addresses that it asked for, but for itself."""
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_selector("body[data-ready]", state="attached", timeout=30_000)
    return [url for url in asked if not url.startswith("data:") and url != file.as_uri()]


def until(page, expression):
    """Wait for something to be so; Playwright's own way would need what the page's policy forbids."""
    for _ in range(50):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never so: {expression}")


def place(page, index):
    """Where a point is in the window."""
    return page.evaluate(
        """(i) => {
            const view = [...Bokeh.index][0];
            const { x, y } = view.model.renderers[0].data_source.data;
            const box = view.canvas_view.el.getBoundingClientRect();
            const { x_scale, y_scale } = view.frame;
            return [box.x + x_scale.compute(x[i]), box.y + y_scale.compute(y[i])];
        }""",
        index,
    )


def lay(page, spots):
    """Put the points where a test wants them, as pixels from the map's middle; t-SNE's places depend on the processor."""
    page.evaluate(
        """(spots) => {
            const view = [...Bokeh.index][0];
            const { x_range, y_range } = view.model;
            const { width, height } = view.frame.bbox;
            for (const [range, size] of [[x_range, width], [y_range, height]]) {
                range.have_updated_interactively = true; // or it would follow the points
                range.setv({ start: -size / 2, end: size / 2 });
            }
            const source = view.model.renderers[0].data_source;
            [source.data.x, source.data.y] = [0, 1].map((axis) => spots.map((spot) => spot[axis]));
            source.change.emit();
        }""",
        spots,
    )
    page.wait_for_timeout(300)


def name_of(page, index):
    """The name of a point's clip."""
    clips = page.evaluate("JSON.parse(document.getElementById('map-content').textContent).clips")
    return clips[index]["name"]


def test_a_click_plays_and_shows_and_nothing_is_asked_of_the_network(page, errors, made):
    asked = opened(page, made / "map.html")
    assert int(page.evaluate("document.body.dataset.ready")) < 3_000
    page.mouse.click(*place(page, 7))
    assert page.locator("#details").is_visible() and not page.locator("#hint").is_visible()
    until(page, "audio.currentTime > 0.3")
    assert page.locator("#attention rect").count() > 5
    assert page.evaluate("picture.complete && picture.naturalWidth") > 50
    assert "Predicted: " in page.locator("#answer").inner_text() and not page.locator("#trouble").inner_text()
    page.evaluate("audio.pause(), audio.currentTime = 0")
    page.mouse.click(*place(page, 7))
    until(page, "audio.currentTime > 0.3")  # the same point, once more
    assert asked == [] and errors == []


def test_of_points_that_overlap_the_nearest_is_played(page, errors, made):
    opened(page, made / "map.html")
    lay(page, [(4 * i, 90 * (i > 2)) for i in range(126)])  # pixels; the points are 9 wide
    page.mouse.click(*place(page, 1))
    assert page.locator("#name").inner_text() == name_of(page, 1) and errors == []


def test_hovering_says_what_a_point_is(page, errors, made):
    opened(page, made / "map.html")
    page.mouse.move(*place(page, 7))
    page.locator(".bk-tooltip-row-label", has_text="predicted").first.wait_for(timeout=5_000)
    assert errors == []


def test_hovering_over_a_crowd_does_not_cover_the_map(page, errors, made):
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, made / "map.html")
    lay(page, [(i % 3, i % 5) for i in range(126)])
    page.mouse.move(*place(page, 7))
    said = page.locator(".bk-tooltip-row-label", has_text="predicted")
    said.first.wait_for(timeout=5_000)
    assert said.count() == 3 and errors == []


def test_keys_go_from_point_to_point_and_play(page, errors, made):
    opened(page, made / "map.html")
    lay(page, [(20 * (i % 12) - 120, 20 * (i // 12) - 100) for i in range(126)])
    page.focus("#plot")
    walk = [("Right", 0), ("Right", 1), ("Up", 13), ("Left", 12), ("Left", 12), ("Up", 24), ("Down", 12)]
    for key, index in walk:
        page.keyboard.press(f"Arrow{key}")
        assert page.locator("#name").inner_text() == name_of(page, index)
    assert page.evaluate("audio.paused")
    page.keyboard.press("Enter")
    until(page, "audio.currentTime > 0.2")
    assert errors == []


def test_names_hide_and_colours_and_projections_change(page, errors, made):
    opened(page, made / "map.html")
    buttons = page.locator("#legend button")
    assert buttons.count() == 6
    buttons.first.focus()
    page.keyboard.press("Enter")
    shown = "Bokeh.documents[0].roots()[0].renderers[0].view.filter.booleans.filter(Boolean).length"
    assert buttons.first.get_attribute("aria-pressed") == "false" and page.evaluate(shown) < 126
    page.select_option("#colour", "speaker")
    assert buttons.count() == 12 and page.evaluate(shown) == 126
    page.select_option("#colour", "correct")
    assert buttons.count() == 2
    before = place(page, 7)
    page.select_option("#projection", "PCA")
    page.wait_for_timeout(500)
    assert place(page, 7) != before and "PCA" in page.locator("#caption").inner_text()
    assert errors == []


def test_a_phone_has_it_all_in_one_column(page, errors, made):
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, made / "map.html")
    page.mouse.click(*place(page, 7))
    page.locator("#details").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.locator("#audio").bounding_box()["y"] > page.locator("#plot").bounding_box()["y"] + 300
    assert errors == []


def test_linked_clips_play_and_a_missing_one_is_explained(page, errors, made):
    opened(page, made / "linked.html")
    page.focus("#plot")
    page.keyboard.press("ArrowRight")
    assert page.locator("#name").inner_text() == name_of(page, 0)  # whose recording was deleted
    page.get_by_text("is missing, or this browser cannot play it").wait_for(timeout=5_000)
    lay(page, [(40 * i - 160, 0) for i in range(9)])
    page.mouse.click(*place(page, 3))
    until(page, "audio.currentTime > 0.2")
    assert "played from its file" in page.locator("#trouble").inner_text() and errors == []
