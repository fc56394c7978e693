"""One function over many files, on all cores."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import joblib
from tqdm import tqdm


def on_all_cores(
    function: Callable[[str], Any], paths: Sequence[str], *, progress: str | None = None
) -> Iterator[Any]:
    """Yield ``function(path)`` of each path, in order.

    Threads, for decoding, FFT and matrix product all release the interpreter lock.

    Parameters
    ----------
    function : callable
        Of one path.
    paths : sequence of str
        Files.
    progress : str, optional
        What a bar on stderr says, if it is a terminal.
    """
    parallel = joblib.Parallel(n_jobs=-1, prefer="threads", return_as="generator", pre_dispatch="4*n_jobs")
    results = parallel(joblib.delayed(function)(path) for path in paths)
    if progress is None:
        return results
    return iter(tqdm(results, progress, total=len(paths), unit=" clips", file=sys.stderr, disable=None))
