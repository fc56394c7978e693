"""The command line, ``accentlib`` or ``python -m accentlib``: a table of verbs and their flags."""

import os
import signal
import sys
import threading

from ..config import InputError
from . import verbs
from .flags import make_parser


def main(argv: list[str] | None = None) -> int:
    """Run one verb; the exit status is 0, 1 (some files could not be used) or 2 (nothing was done)."""
    os.environ.setdefault("MPLBACKEND", "Agg")  # pictures go to files; no display is needed
    arguments = make_parser().parse_args(argv)
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's end is the user's Ctrl-C
    try:
        return getattr(verbs, f"do_{arguments.verb}")(arguments)
    except BrokenPipeError:  # whoever read the answers (head, say) has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains when it leaves
        return 1
    except (InputError, OSError) as error:
        print(f"accentlib: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\naccentlib: interrupted; --resume goes on from last.pt, if one was written", file=sys.stderr)
        return 130
