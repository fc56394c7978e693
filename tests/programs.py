"""The command line in a process of its own, forked from one that has imported all it needs: that takes seconds."""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["accentlib.cli.verbs", "accentlib.experiments.run", "torch._dynamo"])


def _run(argv: list[str], output: str, before: Callable | None, group: bool) -> None:
    if group:
        os.setsid()
    # a shell's background job ignores SIGINT, and so would its children
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Path(output).open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if before:
        before()
    from accentlib.cli import main

    sys.exit(main(argv))


class Program:
    """``accentlib`` with some arguments, under way. ``before`` is called first; ``group``: of its own."""

    def __init__(self, *argv: object, before: Callable | None = None, group: bool = False):
        handle, output = tempfile.mkstemp()
        os.close(handle)
        self.output = Path(output)
        self.process = CONTEXT.Process(target=_run, args=([*map(str, argv)], output, before, group))
        self.process.start()

    @property
    def said(self) -> str:
        """What it has printed so far, to stdout and stderr."""
        return self.output.read_text()

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.process.is_alive()

    def until(self, true: Callable[[], bool], seconds: float = 60) -> None:
        """Wait until something is so, while it runs."""
        end = time.monotonic() + seconds
        while not true():
            assert self.runs and time.monotonic() < end, self.said
            time.sleep(0.02)

    def send(self, kind: int) -> None:
        """Send it a signal."""
        os.kill(self.process.pid, kind)

    def end(self, seconds: float = 300) -> tuple[int, str]:
        """Wait for its end; its exit status, negative for a signal that ended it, and what it printed."""
        self.process.join(seconds)
        if self.runs:
            self.process.kill()
        said = self.said
        self.output.unlink()
        return self.process.exitcode, said
