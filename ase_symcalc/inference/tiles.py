"""Atoms taken a few at a time, so that what is made of them stays in the cache."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from ase_symcalc.nn.kernels.threads import run_tasks


class Run(NamedTuple):
    """Atoms of one species: entries start..stop-1 of the tiling's order."""

    species: int
    start: int
    stop: int


class Tile(NamedTuple):
    """Atoms first..last-1, and the same by species."""

    first: int
    last: int
    runs: tuple[Run, ...]


class Tiling:
    """All atoms of an evaluation, cut into tiles.

    Attributes
    ----------
    tiles : list of Tile
    order : int
        Address of the atoms' order that the runs are about.
    """

    def __init__(self, species: Int64[np.ndarray, "n"], size: int) -> None:
        n = len(species)
        bounds = [*range(0, n, size), n] if n else [0]
        spans = list(itertools.pairwise(bounds))
        if n == 0 or (species == species[0]).all():
            first = int(species[0]) if n else 0
            self._order = np.arange(n)
            self.order = self._order.ctypes.data
            self.tiles = [Tile(a, b, (Run(first, a, b),)) for a, b in spans]
            return
        n_species = int(species.max()) + 1
        key = np.arange(n) // size * n_species + species
        self._order = np.argsort(key, kind="stable")  # kept: the address is of its numbers
        self.order = self._order.ctypes.data
        counts = np.bincount(key, minlength=len(spans) * n_species).reshape(-1, n_species)
        self.tiles = []
        for (a, b), row in zip(spans, counts.tolist(), strict=True):
            ends = list(itertools.accumulate(row, initial=a))
            runs = [Run(s, *ends[s : s + 2]) for s in range(n_species) if row[s]]
            self.tiles.append(Tile(a, b, tuple(runs)))

    def each(self, task: Callable[[Tile], None]) -> None:
        """Run a task on every tile."""
        run_tasks([partial(task, tile) for tile in self.tiles])


def each_part(task: Callable[[int, int], None], bounds: Sequence[int]) -> None:
    """Run a task on rows from each of the bounds to the next."""
    run_tasks([partial(task, *span) for span in itertools.pairwise(bounds)])
