"""What the recorder passes to Python, without a browser (tests/browser has one), and the reader's answers."""

import numpy as np
import pytest
from helpers import RATE, tone

from accentlib.embeddings.inference import predict
from accentlib.interactive.exercises import check
from accentlib.interactive.recorder import Recorder
from accentlib.network.accent_net import AccentNet


def test_what_the_browser_sends_is_a_clip(tiny, capsys):
    recorder, wave = Recorder(), tone(300)
    assert repr(recorder) == "Recorder()" and recorder.clip is None
    assert recorder.clip_or("bundled.wav") == "bundled.wav" and "a bundled clip" in capsys.readouterr().out
    recorder.set_state({"samples": memoryview(wave.astype(np.float32).tobytes())})
    model = AccentNet(tiny, ["a", "b"]).eval()
    clip = recorder.clip_or("bundled.wav")
    assert capsys.readouterr().out == "Your recording, 0.6 s.\n"
    assert np.array_equal(clip[0], wave) and clip[1] == RATE
    assert predict(model, clip).equals(predict(model, (wave, RATE)))


def test_answers_are_judged():
    assert check(None, 3).startswith("No answer yet")
    assert check(3, 3) == check(3.2, 3, within=0.25) == "Right."
    assert check(2, 3) == "Not yet: it is more than 2." and check(4.5, 3, within=1).startswith(
        "Not yet: it is less"
    )


@pytest.mark.parametrize("answer", [float("nan"), float("inf")])
def test_no_number_is_right_by_chance(answer):
    assert check(answer, 3) != "Right."
