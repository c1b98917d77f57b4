"""Splines of radial functions that depend on the pair of elements, made when first met."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from ase_symcalc.nn.kernels.forks import lock_for_forks

MOST_BYTES = 1 << 30
"""Of tables; with more they are made anew for those at hand."""
_lock = lock_for_forks()


@dataclass(frozen=True, slots=True, eq=False)
class FoundTables:
    """Tables of all kinds of pair among some species.

    Attributes
    ----------
    first_row : (n_species, n_species) array
        Where the table of each pair of species begins.
    knots : tuple of (n_rows, n_weights) arrays
        Coefficients for each layer, one kind after the other.
    densities : tuple of (n_rows,) arrays
    """

    first_row: Int64[np.ndarray, "n_species n_species"]
    knots: tuple[np.ndarray, ...]
    densities: tuple[np.ndarray, ...]


class PairTables:
    """Tables by kind of pair.

    Parameters
    ----------
    n_knots : int
        Rows of the table of one kind.
    n_weights : int
        Numbers in a row of all tables together.
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
        n_knots: int,
        n_weights: int,
        kinds: Float64[np.ndarray, "n_species n_species"],
        coefficients: Callable[[np.ndarray], list[np.ndarray]],
        n_layers: int,
        dtype: Any,
    ) -> None:
        self._n_knots, self._n_layers, self._dtype = n_knots, n_layers, dtype
        self._most = max(1, MOST_BYTES // (n_knots * n_weights * np.dtype(dtype).itemsize))
        self._values, self._kind = np.unique(kinds, return_inverse=True)
        self._kind = self._kind.reshape(kinds.shape)
        self._coefficients = coefficients
        self._place = np.full(len(self._values), -1)
        self._tables: list[np.ndarray] = []

    @property
    def are_few(self) -> bool:
        """Whether there is room for the tables of all kinds."""
        return len(self._values) <= self._most

    def has_room_for(self, species: Int64[np.ndarray, "n"]) -> bool:
        """Whether there is room for the tables of pairs among these species."""
        n = int(np.count_nonzero(np.bincount(species)))
        return n * (n + 1) // 2 <= self._most

    def knows(self, species: Int64[np.ndarray, "n"]) -> bool:
        """Whether `find` has nothing to make for pairs among these species."""
        among = _kinds_of_atoms(species)
        return bool((self._place[self._kind[np.ix_(among, among)]] >= 0).all())

    def find(self, species: Int64[np.ndarray, "n"]) -> FoundTables:
        """Find the tables of pairs among these species; make those that are not there yet."""
        among = _kinds_of_atoms(species)
        present = np.unique(self._kind[np.ix_(among, among)])
        with _lock:
            missing = present[self._place[present] < 0]
            if len(missing):
                self._add(missing, present)
            return FoundTables(
                np.ascontiguousarray(self._place[self._kind] * self._n_knots),
                tuple(self._tables[: self._n_layers]),
                tuple(
                    np.ascontiguousarray(table[:, 0]) for table in self._tables[self._n_layers :]
                ),
            )

    def _add(self, missing: np.ndarray, present: np.ndarray) -> None:
        place, tables = self._place.copy(), self._tables
        n_known = int((place >= 0).sum())
        if n_known + len(missing) > self._most:
            place[:], tables, n_known, missing = -1, [], 0, present
        made = [a.astype(self._dtype) for a in self._coefficients(self._values[missing])]
        # new arrays: an evaluation in another thread may be reading the old ones
        known = tables or [a[:0] for a in made]
        tables = [np.concatenate(pair) for pair in zip(known, made, strict=True)]
        place[missing] = n_known + np.arange(len(missing))
        self._place, self._tables = place, tables  # no call, so no Ctrl-C, in between


def _kinds_of_atoms(species: np.ndarray) -> np.ndarray:
    """Return species that are there; where no atom is, as a process may be, any one."""
    return np.unique(species) if len(species) else np.zeros(1, dtype=np.int64)
