"""What sliders and guesses hold, without a browser (tests/browser has one)."""

from base64 import b64decode

import matplotlib.pyplot as plt

from accentlib import Guess, Slider


def test_a_slider_shows_a_picture_without_a_kernel():
    drawn = []

    def draw(value):
        drawn.append(value)
        ax = plt.subplots(figsize=(1, 1))[1]
        ax.plot([0, value])
        return ax

    slider = Slider("bands", (80, 40), draw, start=1)
    assert drawn == [80, 40] and slider.values == ["80", "40"] and not plt.get_fignums()
    data, _ = slider._repr_mimebundle_()
    assert data["image/png"] == slider.pictures[1] != slider.pictures[0]
    assert b64decode(data["image/png"]).startswith(b"\x89PNG") and data["text/plain"] == "Slider('bands')"
    assert "application/vnd.jupyter.widget-view+json" in data


def test_guesses_come_back(tmp_path):
    for name in ("a.ogg", "b.ogg"):
        (tmp_path / name).write_bytes(name.encode())
    guess = Guess([tmp_path / "a.ogg", tmp_path / "b.ogg"], ["x", "y"])
    assert [b64decode(clip) for clip in guess.clips] == [b"a.ogg", b"b.ogg"] and guess.answers == ["", ""]
    guess.set_state({"answers": ["y", ""]})
    assert guess.answers == ["y", ""] and repr(guess) == "Guess(1 of 2 guessed)"
