"""A microphone in a notebook: record or upload in the browser, and have a wave."""

from importlib import resources

import numpy as np

try:
    import anywidget
    import traitlets
except ImportError:
    raise ImportError("the recorder needs anywidget: pip install 'accentlib[notebooks]'") from None

from ..embeddings.inference import Clip

RATE = 16_000  # Hz, to which the browser resamples


class Recorder(anywidget.AnyWidget):
    """Two buttons, record and upload. The browser decodes, so whatever it plays can be uploaded; 30 s are enough,
    and of longer ones the first 30 s are taken.

    What cannot be used (no microphone, silence, a fraction of a second, a file that is no audio) is said below the
    buttons, and what was recorded before stays.
    """

    _esm = (resources.files(__package__) / "web" / "recorder.js").read_text(encoding="utf-8")
    # float32, mono; the browser's bytes come as a memoryview
    samples = traitlets.Bytes(b"").tag(sync=True, from_json=lambda sent, widget: bytes(sent))
    rate = traitlets.Int(RATE).tag(sync=True)

    def __repr__(self) -> str:
        return "Recorder()"

    @property
    def clip(self) -> tuple[np.ndarray, int] | None:
        """The wave ``(samples,)`` and its rate in Hz, as every function takes it; None before there is one."""
        return (np.frombuffer(self.samples, np.float32), self.rate) if self.samples else None

    def clip_or(self, bundled: Clip) -> Clip:
        """What was recorded; before there is something, ``bundled``, and a line that says so."""
        if self.clip is None:
            print(
                "Nothing was recorded: a bundled clip stands in. Record, then run the cells from here on again."
            )
            return bundled
        print(f"Your recording, {len(self.clip[0]) / self.rate:.1f} s.")
        return self.clip
