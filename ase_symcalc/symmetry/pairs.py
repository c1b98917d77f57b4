"""The pairs of atoms that representatives need: what of them depends on no position."""

from __future__ import annotations

from dataclasses import dataclass

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
    turns: Float64[np.ndarray, "n_pairs 3 3"]
    """The rotation of each pair's row"""
    places: Int64[np.ndarray, "n_values"]
    """Where a sum by orbits puts twelve values of each pair, for either end; see `sums`"""

    @classmethod
    def of(
        cls,
        picked: Int64[np.ndarray, "n_pairs"],
        pairs: tuple[
            Int64[np.ndarray, "n_all"], Int64[np.ndarray, "n_all"], Int64[np.ndarray, "n_all 3"]
        ],
        orbit: Int64[np.ndarray, "n_atoms"],
        operation: Int64[np.ndarray, "n_atoms"],
        rotations: Float64[np.ndarray, "k 3 3"],
    ) -> ReducedPairs:
        """Pick from pairs ``(centre, neighbour, unit_shifts)``; the rest as of a `SymmetryMap`."""
        i, j, unit_shifts = (each[picked] for each in pairs)
        n_orbits = int(orbit.max()) + 1
        # rotation 0 is the identity, so the representatives themselves come first
        kind = operation[j] * n_orbits + orbit[j]
        needed = np.zeros(n_orbits * len(rotations), dtype=bool)
        needed[:n_orbits] = needed[kind] = True
        row_operation, row_orbit = np.divmod(np.flatnonzero(needed), n_orbits)
        ends = np.concatenate([orbit[i], orbit[j]])
        return cls(
            atoms=np.stack([i, j]),
            unit_shifts=unit_shifts.astype(np.float64),
            centre=orbit[i],
            row=(np.cumsum(needed) - 1)[kind],
            row_orbit=row_orbit,
            row_operation=row_operation,
            turns=rotations[operation[j]],
            places=(np.arange(12)[:, None] * n_orbits + ends).ravel(),
        )

    def vectors(
        self, positions: Float64[np.ndarray, "n_atoms 3"], cell: Float64[np.ndarray, "3 3"]
    ) -> Float64[np.ndarray, "n_pairs 3"]:
        """From representatives to neighbours, Å."""
        start, end = positions.take(self.atoms, axis=0)
        return end - start + self.unit_shifts @ cell

    def sums(
        self,
        vectors: Float64[np.ndarray, "n_pairs 3"],
        gradient: Float64[np.ndarray, "n_pairs 3"],
        n_orbits: int,
    ) -> tuple[Float64[np.ndarray, "n_orbits 3"], Float64[np.ndarray, "n_orbits 3 3"]]:
        """Sum what pairs mean for either end, seen from the representative of its orbit.

        Returns
        -------
        pulls : (n_orbits, 3) array
            Of gradients g: those of the pairs a representative starts, less those of pairs
            that lead to its images, turned back.
        virials : (n_orbits, 3, 3) array
            Of v ⊗ g for the pair's vector v: both added.
        """
        n_pairs = len(vectors)
        seen = np.empty((2, n_pairs, 2, 3))
        seen[0, :, 0], seen[0, :, 1] = vectors, gradient
        np.matmul(seen[0], self.turns, out=seen[1])
        v, g = seen.transpose(2, 3, 0, 1).reshape(2, 3, 2 * n_pairs)
        values = np.empty((4, 3, 2 * n_pairs))
        np.multiply(v[:, None], g, out=values[1:])
        values[0, :, :n_pairs] = g[:, :n_pairs]
        np.negative(g[:, n_pairs:], out=values[0, :, n_pairs:])
        summed = np.bincount(self.places, values.ravel(), 12 * n_orbits).reshape(4, 3, -1)
        summed = summed.astype(np.float64, copy=False)  # of nothing it makes whole numbers
        return summed[0].T, summed[1:].transpose(2, 0, 1)
