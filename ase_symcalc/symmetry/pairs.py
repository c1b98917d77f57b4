"""The pairs of atoms that representatives need: what of them depends on no position."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64


@dataclass(frozen=True, slots=True, eq=False)
class ReducedPairs:
    """Pairs that start at representatives, in order, and the rows they lead to.

    Rows are the representatives, in the order of the map, then those images of them that
    pairs lead to; images that differ by a translation are one row.
    """

    atoms: Int64[np.ndarray, "2 n_pairs"]
    """Representatives, and the neighbours"""
    unit_shifts: Float64[np.ndarray, "n_pairs 3"]
    centre: Int64[np.ndarray, "n_pairs"]
    """Orbit of the representative"""
    row: Int64[np.ndarray, "n_pairs"]
    row_orbit: Int64[np.ndarray, "n_rows"]
    row_operation: Int64[np.ndarray, "n_rows"]
    """The rotation that turns the representative's surroundings into those of the row"""
    kept: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What evaluations make of them, for as long as they are there themselves"""

    @classmethod
    def of(
        cls,
        picked: Int64[np.ndarray, "n_pairs"],
        pairs: tuple[
            Int64[np.ndarray, "n_all"], Int64[np.ndarray, "n_all"], Int64[np.ndarray, "n_all 3"]
        ],
        orbit: Int64[np.ndarray, "n_atoms"],
        operation: Int64[np.ndarray, "n_atoms"],
        n_rotations: int,
    ) -> ReducedPairs:
        """Pick from pairs ``(centre, neighbour, unit_shifts)``; the rest as of a `SymmetryMap`."""
        i, j, unit_shifts = (each[picked] for each in pairs)
        n_orbits = int(orbit.max()) + 1
        # rotation 0 is the identity, so the representatives themselves come first
        kind = operation[j] * n_orbits + orbit[j]
        needed = np.zeros(n_orbits * n_rotations, dtype=bool)
        needed[:n_orbits] = needed[kind] = True
        row_operation, row_orbit = np.divmod(np.flatnonzero(needed), n_orbits)
        return cls(
            atoms=np.stack([i, j]),
            unit_shifts=unit_shifts.astype(np.float64),
            centre=orbit[i],
            row=(np.cumsum(needed) - 1)[kind],
            row_orbit=row_orbit,
            row_operation=row_operation,
        )
