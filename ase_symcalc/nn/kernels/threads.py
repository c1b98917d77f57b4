"""Run a kernel over its rows in as many parts as torch has threads.

A pool of our own, because a kernel called through ctypes lets go of the interpreter lock,
and because it survives what OpenMP pools do not: calls from several threads at once, and
forks (the pool is made anew in the child).
"""

import functools
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

_MIN_EDGES = 256  # below that, waking a thread costs more than it saves
_PARTS = 4  # for each thread, so that one that is held up leaves work to the others
_pools: dict[tuple[int, int], ThreadPoolExecutor] = {}


def run_in_parts(call: Callable[[int, int], None], start: Tensor | None, n_edges: int) -> None:
    """Call ``call(first, last)`` on parts of the rows with about equal numbers of edges.

    Parameters
    ----------
    call : callable
        Runs rows first..last-1; parts touch disjoint output.
    start : (n_rows + 1,) tensor or None
        First edge of each row; None if each edge is a row.
    n_edges : int
    """
    n_rows = n_edges if start is None else start.shape[0] - 1
    n_threads = min(torch.get_num_threads(), 1 + n_edges // _MIN_EDGES)
    n_parts = min(n_rows, n_threads * min(_PARTS, 1 + n_edges // (n_threads * _MIN_EDGES)))
    if n_threads == 1 or n_parts <= 1:
        call(0, n_rows)
        return
    targets = torch.arange(1, n_parts) * n_edges // n_parts
    middle = targets if start is None else torch.searchsorted(start, targets)
    bounds = [0, *middle.tolist(), n_rows]
    run_tasks([functools.partial(call, *span) for span in itertools.pairwise(bounds)])


def run_tasks(tasks: Sequence[Callable[[], None]]) -> None:
    """Run tasks that do not depend on each other, each thread taking the next one left.

    None of them runs any more when this returns or raises.
    """
    n_threads = min(torch.get_num_threads(), len(tasks))
    if n_threads <= 1:
        for task in tasks:
            task()
        return
    left = iter(tasks)  # next() is one step under the interpreter lock
    at_work: list[None] = []

    def work() -> None:
        for task in left:
            task()

    def work_elsewhere() -> None:
        at_work.append(None)
        try:
            work()
        finally:
            at_work.pop()

    try:
        others = [_pool(n_threads - 1).submit(work_elsewhere) for _ in range(n_threads - 1)]
        work()
        for other in others:
            other.result()
    except BaseException:  # Ctrl-C too, wherever it comes
        _stop(left, at_work)
        raise


def _stop(left: Iterator[Callable[[], None]], at_work: Sequence[None]) -> None:
    """Drop tasks nobody began, and wait for the others: the caller gives back their memory."""
    try:
        for _ in left:
            pass
        while at_work:
            time.sleep(1e-4)
    except KeyboardInterrupt:
        _stop(left, at_work)
        raise


def _pool(size: int) -> ThreadPoolExecutor:
    key = (os.getpid(), size)
    if key not in _pools:
        _pools[key] = ThreadPoolExecutor(size, thread_name_prefix="symcalc")
    return _pools[key]
