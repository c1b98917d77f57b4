"""Send structures to workers a few at a time, and write down what comes back."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass, field
from typing import Any

from ase_symcalc.errors import InputError
from ase_symcalc.screening.sources import Item
from ase_symcalc.screening.store import Outcome, Store
from ase_symcalc.screening.work import Work, outcome, run_task, settled
from ase_symcalc.screening.workers import OwnProcess, Shared, Worker

TRIES = 2
"""A structure that twice took its worker with it, or held it too long, is given up."""

MOST_ATOMS = 2000
"""Of the structures of a task."""

GLANCE = 0.5  # seconds between looks at the clock


@dataclass(slots=True)
class Tally:
    """How far a screen is."""

    read: int = 0
    """Structures that were read, those of other shards included"""
    known: int = 0
    """of these, what the store had already, or what came before in the input"""
    elsewhere: int = 0
    """of these, those of other shards"""
    statuses: dict[str, int] = field(default_factory=dict)
    """How many came to which end in this run"""
    restarts: int = 0
    """Workers that died or were timed out"""
    seconds: float = 0.0
    warnings: list[str] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Structures worked on in this run, however that ended."""
        return sum(self.statuses.values())

    @property
    def failures(self) -> int:
        """Of these, those without a result."""
        return self.statuses.get("failed", 0)

    @property
    def settled(self) -> int:
        """Structures of the input that need nothing more."""
        return self.done + self.known + self.elsewhere


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
        Where tasks run instead, Dask's ``client.get_executor()`` say. It should start its own
        workers anew when they die.
    chunk : int
        Structures of a task, at most, and 2000 atoms; they relax as one batch. Other kinds of
        work get one structure each.
    timeout : float, s
        For each structure of a task, from when it is handed over. A task that takes longer is
        taken from its worker, and its structures are tried one by one, elsewhere.
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
        self.told = (-1, -1)
        self.under_way: set[str] = set()  # keys of tasks that are made and not written
        self.again: deque[_Task] = deque()

    def missing(
        self, items: Iterable[Item], shard: tuple[int, int], retry_failed: bool
    ) -> Iterator[tuple[str, Item]]:
        """Structures to be worked on, read as they are asked for."""
        k, n = shard
        done_here: set[str] = set()
        for item in items:
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
            self.under_way.add(key)
            yield key, item

    def go(self, tasks: Iterator[_Task], workers: list[Worker]) -> None:
        """Keep every worker busy until there is no task left."""
        idle = list(workers)
        running: dict[Future[Any], tuple[_Task, Worker]] = {}
        try:
            while True:
                while idle and (task := self._next(tasks)) is not None:
                    worker = idle.pop(0)
                    task.deadline = time.monotonic() + self.timeout * len(task.items)
                    running[worker.submit(run_task, self.work, task.items)] = task, worker
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
                        self._give_up(task, worker, f"took longer than {self.timeout:g} s")
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
        except Exception as error:  # of the worker, for those of a structure are outcomes
            why = " ".join(f"{type(error).__name__}: {error}".split())
            self._give_up(task, worker, f"ended its worker ({why})")
            return
        self._write(outcomes)
        self.tally.warnings += [each for each in warnings if each not in self.tally.warnings]

    def _give_up(self, task: _Task, worker: Worker, why: str) -> None:
        """Start the worker anew; try each structure again alone, or say that it is hopeless."""
        worker.discard()
        self.tally.restarts += 1
        tries = task.tries + 1
        if tries < TRIES:
            self.again.extend(_Task([each], tries) for each in task.items)
            return
        sentence = f"{why}, {tries} times; nothing is known but that. It is left out"
        lost = [outcome(key, item, self.work, "failed", sentence) for key, item in task.items]
        self._write(lost)

    def _write(self, outcomes: list[Outcome]) -> None:
        self.store.put(outcomes)
        for each in outcomes:
            self.under_way.discard(each.key)
            count = self.tally.statuses.get(each.status, 0)
            self.tally.statuses[each.status] = count + 1

    def _tell(self) -> None:
        self.tally.seconds = time.monotonic() - self.started
        told, self.told = self.told, (self.tally.settled, self.tally.restarts)
        if self.on_progress is not None and told != self.told:
            self.on_progress(self.tally)
