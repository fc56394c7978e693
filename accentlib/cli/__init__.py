"""The command line, ``accentlib`` or ``python -m accentlib``."""

import os
import signal
import sys
import threading

from ..config import InputError, counted
from .flags import IGNORED, make_parser


def main(argv: list[str] | None = None) -> int:
    """Run one verb; the exit status is 0, 1 (some files could not be used) or 2 (nothing was done)."""
    os.environ.setdefault("MPLBACKEND", "Agg")  # figures go to files; no display is needed
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: batch systems send it
    try:
        args = vars(make_parser().parse_args(argv))
        for name in IGNORED:
            if args.get(name) is not None:
                print(f"accentlib: --{name} has {IGNORED[name]['help']}", file=sys.stderr)
        from .verbs import Call  # imports pandas

        problems = getattr(Call, args["method"])(Call(**args))
        if isinstance(problems, dict) and problems:
            count = f"{counted(len(problems), 'file')} could not be used (named above)"
            print(*problems.values(), count, sep="\n", file=sys.stderr)
        return 1 if problems else 0
    except BrokenPipeError:  # the reader of stdout (such as head) has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains at exit
        return 1
    except (InputError, OSError, ImportError) as error:
        print(f"accentlib: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        resumes = (argv or sys.argv[1:] or [""])[0] in ("run", "train", "finetune")
        way_on = "--resume continues from last.pt, if there is one" if resumes else "call it again"
        print(f"\naccentlib: interrupted; {way_on}", file=sys.stderr)
        return 130
