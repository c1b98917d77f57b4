"""A system cut into slabs of equally many atoms, one for each process."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from ase_symcalc.structures import Pairs, neighbour_pairs
from ase_symcalc.structures.neighbours import ROUNDING


@dataclass(frozen=True, slots=True, eq=False)
class Slabs:
    """Who owns which atom; every process comes to the same answer on its own."""

    owner: Int64[np.ndarray, "n_atoms"]
    place: Int64[np.ndarray, "n_atoms"]
    """Row of each atom among those of its owner, which are in order"""
    height: Float64[np.ndarray, "n_atoms"]
    """Å, along the direction that is cut, within one period"""
    period: float
    """Å, infinite if nothing repeats along it"""

    @classmethod
    def cut(
        cls,
        positions: Float64[np.ndarray, "n_atoms 3"],
        cell: Float64[np.ndarray, "3 3"],
        pbc: Bool[np.ndarray, "3"],
        n_slabs: int,
    ) -> Slabs:
        """Cut across the direction in which the system extends furthest.

        Parameters
        ----------
        positions : (n_atoms, 3) array, Å
        cell : (3, 3) array, Å
        pbc : (3,) bool array
        n_slabs : int
            Slabs may be empty, if there are more of them than atoms.
        """
        height, period = _furthest(positions, cell, pbc)
        n = len(positions)
        owner, place = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
        owner[np.argsort(height, kind="stable")] = np.arange(n) * n_slabs // n
        for slab in range(n_slabs):
            own = np.flatnonzero(owner == slab)
            place[own] = np.arange(len(own))
        return cls(owner, place, height, period)

    def near(self, slab: int, reach: float) -> Int64[np.ndarray, "n_near"]:
        """Atoms that may be within reach (Å) of one in the slab, in order."""
        own = self.height[self.owner == slab]
        if not len(own):
            return np.zeros(0, dtype=np.int64)
        low, high = own.min(), own.max()
        beyond = np.maximum(low - self.height, self.height - high)
        around = np.minimum(low - self.height, self.height - high) + self.period
        return np.flatnonzero(np.minimum(beyond, around) <= reach)

    def pairs(
        self,
        slab: int,
        positions: Float64[np.ndarray, "n_atoms 3"],
        cell: Float64[np.ndarray, "3 3"],
        pbc: Bool[np.ndarray, "3"],
        cutoff: float,
    ) -> Pairs:
        """Find those of `neighbour_pairs` whose centre is in a slab."""
        margin = ROUNDING * (float(np.abs(positions).max()) + cutoff)
        near = self.near(slab, cutoff + 10 * margin)
        if not len(near):
            nothing = np.zeros(0, dtype=np.int64)
            return Pairs(nothing, nothing, np.zeros((0, 3), dtype=np.int64), cutoff)
        found = neighbour_pairs(positions[near], cell, pbc, cutoff)
        keep = np.flatnonzero(self.owner[near][found.centre] == slab)
        return Pairs(
            near[found.centre[keep]], near[found.neighbour[keep]], found.unit_shifts[keep], cutoff
        )


def _furthest(positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> tuple[np.ndarray, float]:
    """Heights along the direction of largest extent, and the period along it.

    A height differs by at most the distance between two atoms, and moving an atom by a
    periodic cell vector changes it by 0 or by the period.
    """
    normals = np.linalg.svd(cell[pbc])[2][pbc.sum() :]  # across what repeats
    free = positions @ normals.T
    dual = np.linalg.pinv(cell[pbc])
    periods = 1 / np.linalg.norm(dual, axis=0)
    extents = [*periods, *np.ptp(free, axis=0)]
    longest = int(np.argmax(extents))
    if longest < len(periods):
        inside = positions @ dual[:, longest] % 1.0
        return inside * periods[longest], float(periods[longest])
    return free[:, longest - len(periods)], np.inf
