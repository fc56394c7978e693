"""Apply one function to many files, on all cores or on the machines of a Dask cluster."""

import ctypes
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import joblib
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from ..config import InputError, reason

TOGETHER = 16  # files in one task of a cluster
PATIENCE = 60  # s to wait for a scheduler and its first worker


def on_all_cores(function: Callable, items: Sequence, *, progress: str | None = None,
                 scheduler: str = "") -> Generator:  # fmt: skip
    """Yield ``function(item)`` of each item, in order, from a thread per core (decoders and FFTs run side by
    side) or a Dask cluster: the scheduler is ``tcp://HOST:8786``, workers have accentlib and the files."""
    here = _in_threads if len(items) > 1 else map  # starting threads takes longer than one clip
    results = _on_cluster(function, items, scheduler) if scheduler else here(function, items)
    return _counting(results, len(items), progress)


def in_processes(function: Callable, items: Sequence, *, progress: str | None = None) -> Generator:
    """Yield ``function(item)`` of each item, in order, from a process per core: for libraries that hold
    Python's lock. Results must be small, since they may pile up in memory."""
    work = joblib.Parallel(n_jobs=-1, return_as="generator")(joblib.delayed(function)(item) for item in items)
    return _counting(work, len(items), progress)


def _counting(results: Iterable, total: int, progress: str | None) -> Generator:
    """The results, with a bar of this name; without a name, or if stderr is no terminal, none is shown."""
    hide = True if progress is None else None  # None: unless stderr is a terminal
    return iter(tqdm(results, progress, total=total, unit=" clips", file=sys.stderr, disable=hide))


def _in_threads(function: Callable, items: Sequence) -> Iterator:
    keep_freed_memory()
    executor = ThreadPoolExecutor(joblib.cpu_count())
    try:
        with threadpool_limits(1, "blas"):  # products of matrices would start threads of their own
            yield from _in_order(executor.submit, function, items, joblib.cpu_count, 1)
    finally:
        executor.shutdown(cancel_futures=True)


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
            submit, cores = partial(client.submit, pure=False), lambda: sum(client.nthreads().values())
            yield from _in_order(submit, function, items, cores, TOGETHER)
    except (KilledWorker, ImportError, RuntimeError) as error:
        hint = "do the workers have this accentlib, and enough memory?"
        raise InputError(f"{scheduler}: {reason(error)} ({hint})") from None


def _in_order(submit: Callable, function: Callable, items: Sequence, cores: Callable, size: int) -> Iterator:
    """Yield results in order, with two tasks per core under way: results must not pile up in memory."""
    # joblib's generator submits a task when another ends, not when its result is taken (joblib 1.6).
    waiting: deque = deque()

    def each(part: Sequence) -> list:
        return [function(item) for item in part]

    for start in range(0, len(items), size):
        waiting.append(submit(each, items[start : start + size]))
        while len(waiting) > 2 * max(1, cores()):
            yield from waiting.popleft().result()
    while waiting:
        yield from waiting.popleft().result()


def keep_freed_memory() -> None:
    """Make glibc keep freed blocks of up to 32 MB: the system would clear their pages, a fifth of a step."""
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(-3, 32 * 2**20)  # M_MMAP_THRESHOLD; 32 MB is its maximum
        library.mallopt(-1, 2**30)  # M_TRIM_THRESHOLD
