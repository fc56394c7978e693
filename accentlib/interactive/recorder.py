"""A microphone in a notebook: record or upload a clip in the browser."""

from importlib import resources

import numpy as np

try:
    import anywidget
    import traitlets
except ImportError:
    raise ImportError("the recorder needs anywidget: pip install 'accentlib[notebooks]'") from None

from ..embeddings.inference import Clip


class Recorder(anywidget.AnyWidget):
    """Buttons to record or upload up to 30 s in any format of the browser; they explain unusable clips."""

    _esm = (resources.files(__package__) / "web" / "recorder.js").read_text(encoding="utf-8")
    # float32, mono; from_json gets the browser's bytes as a memoryview
    samples = traitlets.Bytes(b"").tag(sync=True, from_json=lambda sent, widget: bytes(sent))
    next = traitlets.Unicode("Now run the cells below.").tag(sync=True)  # what to do after a recording
    rate = traitlets.Int(48_000).tag(sync=True)  # Hz; browsers resample well upwards only

    def __repr__(self) -> str:
        return "Recorder()"

    @property
    def clip(self) -> tuple[np.ndarray, int] | None:
        """The wave ``(samples,)`` and its rate, Hz; None before the first recording."""
        return (np.frombuffer(self.samples, np.float32), self.rate) if self.samples else None

    def clip_or(self, bundled: Clip) -> Clip:
        """The recording, or ``bundled`` if there is none; print which."""
        if self.clip:
            print(f"Your recording, {len(self.clip[0]) / self.rate:.1f} s.")
        else:
            print("No recording yet: we use a bundled clip. Record, then run the cells from here on again.")
        return self.clip or bundled
