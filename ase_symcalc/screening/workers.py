"""Where tasks run: processes of our own, or anybody's executor."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from math import inf
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from ase_symcalc.screening.work import prepare

GRACE = 1.0
"""Seconds in which a worker reports that its task took too long, before it ends itself."""

Identity = tuple[str, int]
"""Machine and process"""


class OwnProcess:
    """A process that is started anew when it died or was killed.

    A pool of one, so that when it breaks it is known which task did it.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool: ProcessPoolExecutor | None = None
        self._context = _Spawn()

    def submit(
        self, seconds: float, function: Callable[..., Any], *arguments: Any
    ) -> tuple[Future[Any], float]:
        """Start a task, and a process if there is none; returns how long it may take."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1, mp_context=self._context, initializer=prepare, initargs=(self.threads,)
            )
        return self._pool.submit(function, *arguments), seconds

    def discard(self) -> None:
        """Kill the process; the next task gets another."""
        pool, self._pool = self._pool, None
        if pool is not None and self._context.latest is not None:
            self._context.latest.kill()
            pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


class _Spawn(SpawnContext):
    """Starts processes anew, for a fork would take torch's locks along; knows the latest."""

    latest: SpawnProcess | None = None

    def Process(self, *arguments: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]
        """Make a process."""
        self.latest = SpawnProcess(*arguments, **options)
        return self.latest


class Shared:
    """One of several places in an executor that is not ours, which restarts its own workers.

    When a task begins is known only to the worker that has it, so the worker looks at the clock.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._task: Future[Any] | None = None
        self._home: Identity = _identity()

    def submit(
        self, seconds: float, function: Callable[..., Any], *arguments: Any
    ) -> tuple[Future[Any], float]:
        """Hand a task on; it may wait there for as long as it must."""
        self._task = self._executor.submit(within, seconds, self._home, function, *arguments)
        return self._task, inf

    def discard(self) -> None:
        """Cancel the task if it has not begun."""
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Leave the executor to its owner."""


Worker = OwnProcess | Shared


def within(seconds: float, home: Identity, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function that may take so long.

    If it takes longer, the process cannot be trusted with other tasks and ends a moment after
    it said so, unless it is ``home``: where the screen itself runs.

    Raises
    ------
    TimeoutError
        If it took longer.
    """
    answer: Future[Any] = Future()

    def call() -> None:
        try:
            answer.set_result(function(*arguments))
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    try:
        return answer.result(seconds)
    except TimeoutError:
        if not answer.done() and _identity() != home:
            threading.Timer(GRACE, os._exit, (1,)).start()
        raise


def _identity() -> Identity:
    return socket.gethostname(), os.getpid()
