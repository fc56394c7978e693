"""Apply one function to many files, on all cores or on the machines of a Dask cluster."""

import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from functools import partial

import joblib
from joblib.externals.loky import ProcessPoolExecutor
from tqdm import tqdm

from ..config import InputError, reason

TOGETHER = 16  # files in one task
MANY = 2000  # with fewer files, starting processes (2 s) costs more time than it saves
LONGEST = 3600  # s to wait for a local task: a process that is killed while it sends a result goes unnoticed
PATIENCE = 60  # s to wait for a scheduler and its first worker
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def on_all_cores(function: Callable, items: Sequence, *, progress: str | None = None, scheduler: str = "",
                 many: int = 0) -> Generator:  # fmt: skip
    """Yield ``function(item)`` of each item, in order; from ``many`` items on, with one process per core.
    ``scheduler`` is a Dask scheduler, ``tcp://HOST:8786``; its workers need accentlib and the same files."""
    if scheduler:
        results = _on_cluster(function, items, scheduler)
    elif len(items) >= (many or MANY):
        results = _in_processes(function, items)
    else:
        results = map(function, items)
    hide = True if progress is None else None  # None: unless stderr is a terminal
    return iter(tqdm(results, progress, total=len(items), unit=" clips", file=sys.stderr, disable=hide))


def _in_processes(function: Callable, items: Sequence) -> Iterator:
    executor = ProcessPoolExecutor(joblib.cpu_count(), env=ONE_THREAD)
    try:
        yield from _in_order(partial(executor.submit, _each, function), items, joblib.cpu_count, LONGEST)
    except (BrokenProcessPool, TimeoutError):
        raise InputError("one of the processes died (out of memory?); call it again to continue") from None
    finally:  # idle processes would hold memory, and a process of multiprocessing would wait for them
        executor.shutdown(kill_workers=True)


def _on_cluster(function: Callable, items: Sequence, scheduler: str) -> Iterator:
    try:
        from distributed import Client, KilledWorker

        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
        client.wait_for_workers(1, timeout=PATIENCE)
    except ImportError:
        raise InputError("--scheduler needs Dask: pip install 'accentlib[cluster]'") from None
    except (OSError, ValueError):
        raise InputError(f"{scheduler}: no Dask scheduler with a worker answers there") from None
    try:
        with client:
            submit = partial(client.submit, _each, function, pure=False)
            yield from _in_order(submit, items, lambda: sum(client.nthreads().values()))
    except (KilledWorker, ImportError, RuntimeError) as error:
        hint = "do the workers have this accentlib, and enough memory?"
        raise InputError(f"{scheduler}: {reason(error)} ({hint})") from None


def _in_order(submit: Callable, items: Sequence, cores: Callable, longest: int | None = None) -> Iterator:
    """Yield results in order, with two tasks per core under way: results must not pile up in memory."""
    # joblib's generator submits a task when another ends, not when its result is taken; on Dask it hangs if a
    # worker is killed (joblib 1.6). With three tasks, loky's queue overflows, and its thread fails at Ctrl-C.
    waiting: deque = deque()
    for start in range(0, len(items), TOGETHER):
        waiting.append(submit(items[start : start + TOGETHER]))
        while len(waiting) > 2 * max(1, cores()):
            yield from waiting.popleft().result(longest)
    while waiting:
        yield from waiting.popleft().result(longest)


def _each(function: Callable, items: Sequence) -> list:
    return [function(item) for item in items]
