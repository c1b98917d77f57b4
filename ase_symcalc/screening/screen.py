"""Send structures to workers a few at a time, and write down what comes back."""

from __future__ import annotations

import pickle
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from dataclasses import dataclass
from typing import Any

from ase_symcalc.errors import InputError, SymCalcError, WorkerError
from ase_symcalc.screening.duplicates import Duplicates
from ase_symcalc.screening.outcomes import Outcome
from ase_symcalc.screening.sources import Item
from ase_symcalc.screening.store import Store
from ase_symcalc.screening.tally import Tally
from ase_symcalc.screening.work import Work, outcome, run_task, settled
from ase_symcalc.screening.workers import OwnProcess, Shared, Worker

TRIES = 2
"""A structure that twice took its worker with it, or held it too long, is given up."""

MOST_ATOMS = 2000
"""Of the structures of a task."""

GLANCE = 0.5  # seconds between looks at the clock

HOPELESS = 20
"""Workers that are lost before any task comes to an end: not the structures' fault."""

MOST_WARNINGS = 50

HELD_BACK = 200
"""Duplicates that are written together"""

NOT_THE_STRUCTURE = (SymCalcError, ImportError, AttributeError, pickle.PickleError, CancelledError)
"""From a task, whose structures' errors are outcomes: the workers are not fit for any."""


@dataclass(slots=True)
class _Task:
    items: list[tuple[str, Item]]
    tries: int = 0
    deadline: float = 0.0


def screen(
    items: Iterable[Item],
    store: Store,
    work: Work | None = None,
    *,
    n_workers: int = 1,
    threads: int = 1,
    executor: Executor | None = None,
    chunk: int = 32,
    timeout: float = 600.0,
    shard: tuple[int, int] = (1, 1),
    retry_failed: bool = False,
    on_progress: Callable[[Tally], None] | None = None,
) -> Tally:
    """Do a kind of work on every structure whose result is not in the store yet.

    A script that calls this without an executor needs ``if __name__ == "__main__":`` around
    it, because processes are spawned.

    Parameters
    ----------
    items : iterable of Item
        Read when there is a free worker; see `read_items`.
    store : Store
        Open for writing. What a task found out is written when the task ends.
    work : Work, optional
        Relaxation with the default potential if left out.
    n_workers : int
        Processes; with an executor, tasks that are in its hands at a time.
    threads : int
        Of each process; an executor's workers have those they have.
    executor : concurrent.futures.Executor, optional
        Where tasks run instead, Dask's ``client.get_executor()`` say; see `clusters`. It should
        start its own workers anew when they die.
    chunk : int
        Structures of a task, at most, and 2000 atoms; they relax as one batch. Other kinds of
        work get one structure each.
    timeout : float, s
        For each structure of a task, from when it begins. A task that takes longer is taken
        from its worker, which is ended, and its structures are tried one by one, elsewhere.
    shard : (int, int)
        (k, n) does the k-th of n parts of the structures, counted from 1, whatever their order.
    retry_failed : bool
        Try what failed in an earlier run again.
    on_progress : callable, optional
        Receives the `Tally`, always the same object, whenever something is settled.

    Raises
    ------
    InputError
        If an argument is out of range, or there is no such potential.
    StoreError
        If results cannot be written; those written before are safe.
    WorkerError
        If the workers cannot work, because the potential is not where they look for it, say.
        What is written is safe, and no structure is blamed.
    """
    if not 1 <= shard[0] <= shard[1]:
        raise InputError(f"expected a shard k/n with 1 <= k <= n, got {shard[0]}/{shard[1]}")
    if min(n_workers, threads, chunk) < 1 or not timeout > 0:
        raise InputError(
            "expected at least one worker, thread and structure in a task, and a timeout above "
            f"0 s; got {n_workers}, {threads}, {chunk} and {timeout} s"
        )
    work = settled(work or Work())
    store.put_settings(work.settings_hash, work.settings)
    if executor is None:
        workers: list[Worker] = [OwnProcess(threads) for _ in range(n_workers)]
    else:
        workers = [Shared(executor) for _ in range(n_workers)]
    run = _Screen(store, work, timeout, on_progress)
    missing = run.missing(items, shard, retry_failed)
    run.go(_tasks(missing, chunk if work.kind == "relax" else 1), workers)
    return run.tally


def _tasks(items: Iterator[tuple[str, Item]], chunk: int) -> Iterator[_Task]:
    together: list[tuple[str, Item]] = []
    n_atoms = 0
    for key, item in items:
        size = 0 if item.atoms is None else len(item.atoms)
        if together and (len(together) >= chunk or n_atoms + size > MOST_ATOMS):
            yield _Task(together)
            together, n_atoms = [], 0
        together.append((key, item))
        n_atoms += size
    if together:
        yield _Task(together)


class _Screen:
    def __init__(
        self,
        store: Store,
        work: Work,
        timeout: float,
        on_progress: Callable[[Tally], None] | None,
    ) -> None:
        self.store, self.work, self.timeout = store, work, timeout
        self.on_progress = on_progress
        self.tally = Tally()
        self.started = time.monotonic()
        self.told, self.glanced = (-1, -1), self.started
        self.held_back: list[Outcome] = []  # to be written with the next ones
        self.answered = False  # whether any task came to an end
        self.duplicates = None
        if work.unique is not None:
            self.duplicates = Duplicates(store, work.settings_hash, work.unique)
        self.under_way: set[str] = set()  # keys of tasks that are made and not written
        self.again: deque[_Task] = deque()

    def missing(
        self, items: Iterable[Item], shard: tuple[int, int], retry_failed: bool
    ) -> Iterator[tuple[str, Item]]:
        """Structures to be worked on, read as they are asked for."""
        k, n = shard
        done_here: set[str] = set()
        for item in items:
            if time.monotonic() > self.glanced + GLANCE:
                self._tell()
            self.tally.read += 1
            key = self.work.key(item)
            if int(key[:12], 16) % n != k - 1:
                self.tally.elsewhere += 1
                continue
            status = self.store.status_of(key)
            old_failure = status == "failed" and retry_failed and key not in done_here
            if key in self.under_way or (status is not None and not old_failure):
                self.tally.known += 1
                continue
            if old_failure:
                done_here.add(key)
            if self._is_duplicate(key, item):
                continue
            self.under_way.add(key)
            yield key, item

    def _is_duplicate(self, key: str, item: Item) -> bool:
        if self.duplicates is None or item.atoms is None:
            return False
        first = self.duplicates.first(key, item.label, item.atoms, self.under_way)
        if first is None:
            return False
        sentence = f"the same structure as {first[1]}"
        result = {"same_as": first[0]}
        self.held_back.append(outcome(key, item, self.work, "duplicate", sentence, results=result))
        self.under_way.add(key)
        if len(self.held_back) >= HELD_BACK and self.answered:
            self._write([])
        return True

    def go(self, tasks: Iterator[_Task], workers: list[Worker]) -> None:
        """Keep every worker busy until there is no task left."""
        idle = list(workers)
        running: dict[Future[Any], tuple[_Task, Worker]] = {}
        try:
            while True:
                while idle and (task := self._next(tasks)) is not None:
                    worker = idle.pop(0)
                    seconds = self.timeout * len(task.items)
                    future, limit = worker.submit(seconds, run_task, self.work, task.items)
                    task.deadline = time.monotonic() + limit
                    running[future] = task, worker
                self._tell()
                if not running:
                    break
                ready, _ = wait(running, timeout=GLANCE, return_when=FIRST_COMPLETED)
                for future in ready:
                    task, worker = running.pop(future)
                    idle.append(worker)
                    self._take(future, task, worker)
                for future, (task, worker) in list(running.items()):
                    if time.monotonic() > task.deadline:
                        del running[future]
                        idle.append(worker)
                        self._give_up(task, worker, self._too_long())
            self._write([])
            self._tell()
            for worker in workers:
                worker.close()
        except BaseException:
            for worker in workers:
                worker.discard()
            raise

    def _next(self, tasks: Iterator[_Task]) -> _Task | None:
        return self.again.popleft() if self.again else next(tasks, None)

    def _take(self, future: Future[Any], task: _Task, worker: Worker) -> None:
        try:
            outcomes, warnings = future.result()
        except NOT_THE_STRUCTURE as error:
            raise WorkerError(
                f"the workers cannot work ({_in_words(error)}): they need ase_symcalc in this "
                "version, the same potential, and their scheduler; results so far are safe, run "
                "the same command again"
            ) from error
        except TimeoutError:
            self._give_up(task, worker, self._too_long())
            return
        except Exception as error:  # of the worker
            self._give_up(task, worker, f"ended its worker ({_in_words(error)})")
            return
        self.answered = True
        self._write(outcomes)
        new = [each for each in warnings if each not in self.tally.warnings]
        self.tally.warnings += new[: MOST_WARNINGS - len(self.tally.warnings)]

    def _too_long(self) -> str:
        return f"took longer than {self.timeout:g} s"

    def _give_up(self, task: _Task, worker: Worker, why: str) -> None:
        """Start the worker anew; try each structure again alone, or say that it is hopeless."""
        worker.discard()
        self.tally.restarts += 1
        if self.tally.restarts >= HOPELESS and not self.answered:
            raise WorkerError(
                f"{self.tally.restarts} workers were lost, and none has finished a task (the last "
                f"{why}). No structure is blamed: look at memory, at the time limit, and in a "
                'script at `if __name__ == "__main__":`; then run again'
            )
        tries = task.tries + 1
        if tries < TRIES:
            self.again.extend(_Task([each], tries) for each in task.items)
            return
        sentence = f"{why}, {tries} times; nothing is known but that. It is left out"
        lost = [outcome(key, item, self.work, "failed", sentence) for key, item in task.items]
        self.held_back += lost
        if self.answered:
            self._write([])

    def _write(self, outcomes: list[Outcome]) -> None:
        outcomes, self.held_back = [*self.held_back, *outcomes], []
        self.store.put(outcomes)
        for each in outcomes:
            self.under_way.discard(each.key)
            count = self.tally.statuses.get(each.status, 0)
            self.tally.statuses[each.status] = count + 1

    def _tell(self) -> None:
        self.glanced = time.monotonic()
        self.tally.seconds = self.glanced - self.started
        told, self.told = self.told, (self.tally.settled, self.tally.restarts)
        if self.on_progress is not None and told != self.told:
            self.on_progress(self.tally)


def _in_words(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
