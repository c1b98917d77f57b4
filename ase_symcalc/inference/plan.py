"""What an evaluation does, written down once and run as often as structures are alike.

A plan is a list of kernel calls whose arguments are numbers, or become known when it runs: where
its memory is, where edges come from and results go, and how many edges there are. Running it is
one call of compiled code for each stage, so Python takes no part in what a small structure does,
unless rows are exchanged with other processes.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64

from ase_symcalc.inference.memory import pile
from ase_symcalc.inference.surroundings import Surroundings
from ase_symcalc.nn.kernels.sequence import MOST_ARGUMENTS, address, address_of, sequence_kernel
from ase_symcalc.nn.kernels.threads import run_tasks

_ALIGNMENT = 64


class Entry(IntEnum):
    """What a run puts into its table."""

    NOTHING = 0
    SCRATCH = 1
    ROOM = 2
    VECTORS = 3
    CENTRE = 4
    NEIGHBOUR = 5
    WEIGHTS = 6
    ENERGIES = 7
    GRADIENT = 8
    BOUNDS = 9
    """The first of those of the parts of the edges; the last one is their number"""


@dataclass(frozen=True, slots=True)
class Later:
    """A number that becomes known when the plan runs: an entry of the table, plus what is known."""

    entry: int
    known: int = 0

    def __add__(self, more: int) -> Later:
        return Later(self.entry, self.known + more)

    def __sub__(self, less: int) -> Later:
        return self + -less


Number = int | Later
"""Mostly an address"""


class RowsAt(NamedTuple):
    """Rows to be exchanged with other processes, and in which direction."""

    place: Later
    shape: tuple[int, int]
    dtype: Any
    back: bool


class _Stage(NamedTuple):
    """Calls from a bound to the next, for each task; or rows, exchanged at a bound."""

    spans: list[tuple[int, int]]
    rows: RowsAt | None = None


class Plan:
    """Calls under construction, then ready to run.

    Parameters
    ----------
    n_centres : int
    most_edges : int
        How many edges there may be; memory is laid out for so many.
    n_parts : int
        Parts of the edges that threads share.

    Attributes
    ----------
    vectors, centre, neighbour, weights, energies, gradient : Later
        Addresses of what a run is given, and of where its results go.
    n_edges : Later
    """

    def __init__(self, n_centres: int, most_edges: int, n_parts: int) -> None:
        self.n_centres, self.most_edges = n_centres, most_edges
        self._parts = np.arange(n_parts + 1)
        self.vectors, self.centre = Later(Entry.VECTORS), Later(Entry.CENTRE)
        self.neighbour, self.weights = Later(Entry.NEIGHBOUR), Later(Entry.WEIGHTS)
        self.energies, self.gradient = Later(Entry.ENERGIES), Later(Entry.GRADIENT)
        self.n_edges = Later(Entry.BOUNDS + n_parts)
        self._code: list[int] = []
        self._starts: list[int] = []
        self._stages: list[_Stage] = []
        self._kept: list[object] = []
        self._numbers: dict[int, int] = {}
        self._kernels: dict[int, int] = {}  # by id, for kernels have no hash
        self._room = self._scratch = self._most_scratch = 0

    def keep(self, array: np.ndarray) -> int:
        """Address of an array that must live as long as the plan."""
        self._kept.append(array)
        return array.ctypes.data

    def number(self, value: int) -> int:
        """Address of a whole number."""
        if value not in self._numbers:
            self._numbers[value] = self.keep(np.array([value], dtype=np.int64))
        return self._numbers[value]

    def room(self, n_bytes: int) -> Later:
        """Memory that is there until the end; what it holds is left over from earlier."""
        place = Later(Entry.ROOM, self._room)
        self._room += _aligned(n_bytes)
        return place

    def scratch(self, n_bytes: int) -> Later:
        """Memory of the thread that runs a task, until the task ends."""
        place = Later(Entry.SCRATCH, self._scratch)
        self._scratch += _aligned(n_bytes)
        self._most_scratch = max(self._most_scratch, self._scratch)
        return place

    def call(
        self, kernel: Callable[..., None], first: Number, last: Number, *arguments: Number
    ) -> None:
        """Add a call, made after all those before it, or after those before it in its task."""
        numbers = (first, last, *arguments)
        if len(numbers) > MOST_ARGUMENTS:
            raise ValueError(f"a call takes {len(numbers)} numbers, more than {MOST_ARGUMENTS}")
        self._starts.append(len(self._code))
        self._code += (self._address(kernel), len(numbers))
        for number in numbers:
            if isinstance(number, Later):
                self._code += (number.known, number.entry)
            else:
                self._code += (number, Entry.NOTHING)

    def _address(self, kernel: Callable[..., None]) -> int:
        if id(kernel) not in self._kernels:
            self._kernels[id(kernel)] = address_of(kernel)
            self._kept.append(kernel)
        return self._kernels[id(kernel)]

    def each(self, tasks: Sequence[Callable[[], None]]) -> None:
        """Let tasks add their calls, which threads may then run in any order."""
        stage = []
        for task in tasks:
            first, self._scratch = len(self._starts), 0
            task()
            stage.append((first, len(self._starts)))
        if len(stage) > 1:
            self._stages.append(_Stage(stage))

    def exchange(self, rows: RowsAt) -> None:
        """Let the run's exchange fill or fold rows, once all calls before are made."""
        self._stages.append(_Stage([(len(self._starts),) * 2], rows))

    def each_part(self, task: Callable[[Number, Number], None]) -> None:
        """Let a task add its calls for the edges from each bound to the next."""
        ends = self._parts[:-1].tolist()
        bounds = [(Later(Entry.BOUNDS + n), Later(Entry.BOUNDS + n + 1)) for n in ends]
        self.each([partial(task, *span) for span in bounds])

    def finish(self) -> None:
        """Make the plan ready; calls between stages are a stage of their own."""
        stages, done = [], 0
        for stage in [*self._stages, _Stage([(len(self._starts),) * 2])]:
            if stage.spans[0][0] > done:
                stages.append(_Stage([(done, stage.spans[0][0])]))
            if len(stage.spans) > 1 or stage.rows:
                stages.append(stage)
            done = stage.spans[-1][1]
        self._stages = stages
        code, starts = (np.array(part, dtype=np.int64) for part in (self._code, self._starts))
        self._addresses = self.keep(starts), self.keep(code)
        self._run = sequence_kernel()

    def run(
        self, seen: Surroundings, weights: Float64[np.ndarray, "n_centres"], *, derivatives: bool
    ) -> tuple[Float64[np.ndarray, "n_centres"], Float64[np.ndarray, "n_edges 3"] | None]:
        """Energies, and the gradient if the plan fills it. Threads may run a plan together."""
        n = len(seen.centre)
        vectors = np.ascontiguousarray(seen.edge_vectors, dtype=np.float64)
        centre, neighbour = (np.ascontiguousarray(x) for x in (seen.centre, seen.neighbour))
        energies = np.empty(self.n_centres)
        gradient = np.empty((n, 3)) if derivatives else None
        given = (vectors, centre, neighbour, weights, energies)
        with pile().borrowed():
            table = np.array(
                [
                    0,
                    pile().take(self._most_scratch),
                    pile().take(self._room),
                    *map(address, given),
                    0 if gradient is None else address(gradient),
                    *(self._parts * n // self._parts[-1]).tolist(),
                ],
                dtype=np.int64,
            )
            at_table = address(table)
            for spans, rows in self._stages:
                if rows:
                    _exchange(seen, rows, table)
                elif len(spans) == 1:
                    self._run(*spans[0], *self._addresses, at_table)
                else:
                    run_tasks([partial(self._task, span, table) for span in spans])
        return energies, gradient

    def _task(self, span: tuple[int, int], table: np.ndarray) -> None:
        with pile().borrowed():
            own = table.copy()
            own[Entry.SCRATCH] = pile().take(self._most_scratch)
            self._run(*span, *self._addresses, address(own))


def _exchange(seen: Surroundings, rows: RowsAt, table: np.ndarray) -> None:
    """Hand rows to the exchange as an array, which must not be kept."""
    assert seen.exchange is not None
    n_bytes = math.prod(rows.shape) * np.dtype(rows.dtype).itemsize
    start = int(table[rows.place.entry]) + rows.place.known
    memory = (ctypes.c_char * n_bytes).from_address(start)
    array = np.ndarray(rows.shape, rows.dtype, memory)
    if rows.back:
        seen.exchange.fold(array)
    else:
        seen.exchange.fill(array)


def _aligned(n_bytes: int) -> int:
    return n_bytes + -n_bytes % _ALIGNMENT
