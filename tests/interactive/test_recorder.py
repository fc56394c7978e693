"""What the recorder passes to Python, without a browser (tests/browser has one)."""

import numpy as np
import soxr
from helpers import RATE, tone

from accentlib.embeddings.inference import predict
from accentlib.interactive.recorder import Recorder
from accentlib.network.accent_net import AccentNet


def test_what_the_browser_sends_is_a_clip(tiny, capsys):
    recorder, wave = Recorder(), soxr.resample(tone(300), RATE, 48_000)
    assert repr(recorder) == "Recorder()" and recorder.clip is None
    assert recorder.clip_or("bundled.wav") == "bundled.wav" and "a bundled clip" in capsys.readouterr().out
    recorder.set_state({"samples": memoryview(wave.astype(np.float32).tobytes())})
    model = AccentNet(tiny, ["a", "b"]).eval()
    clip = recorder.clip_or("bundled.wav")
    assert capsys.readouterr().out == "Your recording, 0.6 s.\n"
    assert np.array_equal(clip[0], wave) and clip[1] == 48_000
    assert predict(model, clip).equals(predict(model, (wave, 48_000)))
