"""Where tasks run: processes of our own, or anybody's executor."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import suppress
from multiprocessing import get_context
from typing import Any

from ase_symcalc.screening.work import prepare


class OwnProcess:
    """A process that is started anew when it died or was killed.

    A pool of one, so that when it breaks it is known which task did it.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._pool: ProcessPoolExecutor | None = None
        self._pid: Future[int] | None = None

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Start a task, and a process if there is none."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1,
                mp_context=get_context("spawn"),  # a fork would take torch's locks along
                initializer=prepare,
                initargs=(self.threads,),
            )
            self._pid = self._pool.submit(os.getpid)
        return self._pool.submit(function, *arguments)

    def discard(self) -> None:
        """Kill the process; the next task gets another."""
        pool, pid, self._pool, self._pid = self._pool, self._pid, None, None
        if pool is None or pid is None:
            return
        if pid.done() and not pid.cancelled() and pid.exception() is None:
            with suppress(ProcessLookupError):
                os.kill(pid.result(), signal.SIGKILL)
        pool.shutdown(wait=False, cancel_futures=True)

    def close(self) -> None:
        """End the process."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


class Shared:
    """One of several places in an executor that is not ours, which restarts its own workers."""

    def __init__(self, executor: Executor) -> None:
        self._executor = executor
        self._task: Future[Any] | None = None

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Hand a task on."""
        self._task = self._executor.submit(function, *arguments)
        return self._task

    def discard(self) -> None:
        """Cancel the task if it can be; if not, its result will not be looked at."""
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Leave the executor to its owner."""


Worker = OwnProcess | Shared
