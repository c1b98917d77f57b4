"""Splines of radial functions that depend on the pair of elements, made when first met."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from ase_symcalc.inference.coordinates import Coordinates, LogarithmicGrid

_MOST_KINDS = 128
"""Tables that are kept; with more they are made anew for those at hand."""


@dataclass(frozen=True, slots=True, eq=False)
class LocatedPairs:
    """Radial functions for the edges of one evaluation; a `RadialCoordinate`.

    Attributes
    ----------
    first_row : (n_edges,) array
        Where the table of each edge's kind begins.
    knots : tuple of (n_rows, n_weights) arrays
        Coefficients for each layer, one kind after the other.
    densities : tuple of (n_rows,) arrays
    """

    grid: LogarithmicGrid
    first_row: Int64[np.ndarray, "n_edges"]
    knots: tuple[np.ndarray, ...]
    densities: tuple[np.ndarray, ...]

    def __call__(self, lengths: Float64[np.ndarray, "n_edges"]) -> Coordinates:
        """Locate the lengths, Å."""
        s, slope, size, row = self.grid(lengths)
        return s, slope, size, row + self.first_row


class PairTables:
    """Tables by kind of pair.

    Parameters
    ----------
    grid : LogarithmicGrid
    n_knots : int
        Rows of the table of one kind.
    kinds : (n_species, n_species) array
        What tells pairs of species apart.
    coefficients : callable
        From kinds (n,) to coefficients of every layer, then of every density: arrays
        (n * n_knots, n_weights).
    n_layers : int
    dtype : numpy.float32 or numpy.float64
    """

    def __init__(
        self,
        grid: LogarithmicGrid,
        n_knots: int,
        kinds: Float64[np.ndarray, "n_species n_species"],
        coefficients: Callable[[np.ndarray], list[np.ndarray]],
        n_layers: int,
        dtype: Any,
    ) -> None:
        self._grid, self._n_knots, self._n_layers, self._dtype = grid, n_knots, n_layers, dtype
        self._values, self._kind = np.unique(kinds, return_inverse=True)
        self._kind = self._kind.reshape(kinds.shape)
        self._coefficients = coefficients
        self._lock = threading.Lock()
        self._place = np.full(len(self._values), -1)
        self._tables: list[np.ndarray] = []

    def locate(
        self, first: Int64[np.ndarray, "n_edges"], second: Int64[np.ndarray, "n_edges"]
    ) -> LocatedPairs:
        """Find the tables of edges between these species; make those that are not there yet."""
        kind = self._kind[first, second]
        present = np.flatnonzero(np.bincount(kind, minlength=1))
        with self._lock:
            missing = present[self._place[present] < 0]
            if not self._tables and not len(present):
                missing = np.zeros(1, dtype=np.int64)  # a table to point to
            if len(missing):
                self._add(missing, present)
            return LocatedPairs(
                self._grid,
                self._place[kind] * self._n_knots,
                tuple(self._tables[: self._n_layers]),
                tuple(table[:, 0] for table in self._tables[self._n_layers :]),
            )

    def _add(self, missing: np.ndarray, present: np.ndarray) -> None:
        n_known = int((self._place >= 0).sum())
        if n_known + len(missing) > _MOST_KINDS:
            self._place[:], self._tables, n_known, missing = -1, [], 0, present
        made = [a.astype(self._dtype) for a in self._coefficients(self._values[missing])]
        # new arrays: an evaluation in another thread may be reading the old ones
        known = self._tables or [a[:0] for a in made]
        self._tables = [np.concatenate(pair) for pair in zip(known, made, strict=True)]
        self._place[missing] = n_known + np.arange(len(missing))
