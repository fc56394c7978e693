"""One function over many files, on all cores, or on the machines of a Dask cluster."""

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from itertools import chain
from typing import Any

import joblib
from joblib.externals.loky import ProcessPoolExecutor
from tqdm import tqdm

from ..config import InputError, reason

TOGETHER = 16  # files in one task
MANY = 2000  # files from which on processes are worth their start (2 s); threads only wait for each other
LONGEST = 3600  # s that one task may take
# a thread a process: more wait for each other
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
PATIENCE = 60  # s to wait for a scheduler and its first worker


def on_all_cores(
    function: Callable[[Any], Any],
    items: Sequence[Any],
    *,
    progress: str | None = None,
    scheduler: str = "",
    many: int = 0,
) -> Iterator[Any]:
    """Yield ``function(item)`` of each item, in order.

    In a process a core where there are many files; few are done before processes have started.

    Parameters
    ----------
    function : callable
        Of one path, say.
    items : sequence
        Files, say.
    progress : str, optional
        What a bar on stderr says, if it is a terminal.
    scheduler : str
        Address of a Dask scheduler whose workers do it instead, ``tcp://HOST:8786``. They need accentlib, and
        see the same files. What a worker had not handed over when it died is done again by another one.
    many : int
        From so many items on processes are worth their start; 0: ``MANY``, right for features.
    """
    chunks = [items[start : start + TOGETHER] for start in range(0, len(items), TOGETHER)]
    if scheduler:
        parts = _on_cluster(function, chunks, scheduler)
    elif len(items) >= (many or MANY):
        parts = _in_processes(function, chunks)
    else:
        parts = (_each(function, chunk) for chunk in chunks)
    results = chain.from_iterable(parts)
    if progress is None:
        return results
    return iter(tqdm(results, progress, total=len(items), unit=" clips", file=sys.stderr, disable=None))


def _in_processes(function: Callable[[Any], Any], chunks: list[Sequence[Any]]) -> Iterator[list[Any]]:
    cores = joblib.cpu_count()
    executor = ProcessPoolExecutor(cores, env=dict.fromkeys(THREADS, "1"))
    try:
        yield from _in_order(
            lambda chunk: executor.submit(_each, function, chunk), chunks, lambda: cores, LONGEST
        )
    except (BrokenProcessPool, TimeoutError):  # killed while it handed over a result, it is waited for
        raise InputError(
            "one of the processes died, of too little memory perhaps; call it again to go on"
        ) from None
    finally:  # they hold memory, and a process that multiprocessing made waits for them
        executor.shutdown(kill_workers=True)


def _on_cluster(
    function: Callable[[Any], Any], chunks: list[Sequence[Any]], scheduler: str
) -> Iterator[list[Any]]:
    try:
        from distributed import Client
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise InputError("--scheduler needs Dask: pip install 'accentlib[cluster]'") from None
    try:
        client = Client(scheduler, timeout=PATIENCE, set_as_default=False)
        client.wait_for_workers(1, timeout=PATIENCE)
    except (OSError, ValueError):
        raise InputError(f"{scheduler}: no Dask scheduler with a worker answers there") from None
    with client:
        try:
            yield from _in_order(
                lambda chunk: client.submit(_each, function, chunk, pure=False),
                chunks,
                lambda: sum(client.nthreads().values()),
            )
        except (KilledWorker, ImportError, RuntimeError) as error:
            raise InputError(
                f"{scheduler}: {reason(error)} (do the workers have this accentlib, and enough memory?)"
            ) from None


def _in_order(
    submit: Callable[[Sequence[Any]], Any],
    chunks: list[Sequence[Any]],
    cores: Callable[[], int],
    longest: float | None = None,
) -> Iterator[list[Any]]:
    """The results of submitted chunks, of which a few a core are under way: they do not pile up."""
    waiting: deque = deque()
    for chunk in chunks:
        waiting.append(submit(chunk))
        while len(waiting) > 4 * max(1, cores()):
            yield waiting.popleft().result(longest)
    while waiting:
        yield waiting.popleft().result(longest)


def _each(function: Callable[[Any], Any], items: Sequence[Any]) -> list[Any]:
    return [function(item) for item in items]
