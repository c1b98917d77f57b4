"""Which atom, if any, stands at a given place: one table look-up for each question.

Space is cut into bins so small that none holds two atoms. An atom is written into every bin
within the tolerance of it (up to eight), so a place is at an atom only if the bin of the place
names that atom; their distance then decides. The numbers of bins are powers of two, so that
with coordinates as 32-bit fractions the sum of two is modulo the cell by itself, and its
leading bits are the bin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

BIN_EDGES = (0.3, 0.15, 0.08)  # Å, at least; the first that keeps atoms apart is used
MOST_BINS = 4_000_000  # 16 MB

_ROUNDING = 2.0**-31


@dataclass(frozen=True, slots=True)
class Box:
    """Coordinates x in which the lattice is whole numbers: ``positions = x @ vectors``.

    A row of `vectors` that does not repeat is normal to those that do, and all atoms fit
    along it.
    """

    vectors: Float64[np.ndarray, "3 3"]
    """Å"""
    pbc: tuple[bool, bool, bool]

    def coordinates(self, positions: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "n 3"]:
        """From positions, Å."""
        return positions @ np.linalg.inv(self.vectors)

    def shortest(self, differences: Float64[np.ndarray, "*n 3"]) -> Float64[np.ndarray, "*n 3"]:
        """Differences of coordinates, less the whole lattice vectors in them."""
        return differences - np.rint(differences) * self.pbc

    def lengths(self, differences: Float64[np.ndarray, "*n 3"]) -> Float64[np.ndarray, "*n"]:
        """Lengths of differences of coordinates, Å."""
        vectors = differences @ self.vectors
        return np.sqrt(np.einsum("...i,...i->...", vectors, vectors))


class Sites:
    """The atoms of a structure, asked by place.

    Atoms that coincide modulo the lattice of the box count as one; the first stands for all.

    Attributes
    ----------
    apart : bool
        Whether no bin holds two atoms. If not, answers may be missing.
    """

    def __init__(
        self,
        coordinates: Float64[np.ndarray, "n 3"],
        numbers: Int64[np.ndarray, "n"],
        box: Box,
        tolerance: float,
    ) -> None:
        self.coordinates, self.numbers = coordinates, numbers
        self.box, self.tolerance = box, tolerance
        self.apart = False
        heights = 1 / np.linalg.norm(np.linalg.inv(box.vectors), axis=0)
        for edge in BIN_EDGES:
            bits = np.log2(np.maximum(heights / max(edge, 4 * tolerance), 1)).astype(np.int64)
            if 2.0 ** bits.sum() > MOST_BINS or self.apart:
                break
            self._bits = bits.tolist()
            self._fill(1.01 * tolerance / heights + _ROUNDING)

    def at(
        self, places: Float64[np.ndarray, "*n 3"], numbers: Int64[np.ndarray, "..."]
    ) -> Int64[np.ndarray, "*n"]:
        """Atom of the number wanted (broadcast) at each place, -1 where there is none."""
        found = self._table.take(self._bins(_fractions(places)).ravel()).astype(np.int64)
        hit = np.flatnonzero(found >= 0)
        atoms = found.take(hit)
        apart = places.reshape(-1, 3).take(hit, axis=0) - self.coordinates.take(atoms, axis=0)
        same = self.box.lengths(self.box.shortest(apart)) < self.tolerance
        wanted = np.broadcast_to(numbers, places.shape[:-1]).ravel()
        same &= self.numbers.take(atoms) == wanted.take(hit)
        found[hit[~same]] = -1
        return found.reshape(places.shape[:-1])

    def occupied(
        self, places: Float64[np.ndarray, "n 3"], steps: Float64[np.ndarray, "k 3"]
    ) -> Bool[np.ndarray, "k n"]:
        """Whether an atom may be a step from each place: seldom wrong, never if it says no."""
        bins = self._bins(_fractions(places), _fractions(steps)[:, :, None])
        return self._table.take(bins) >= 0

    def firsts(self) -> Int64[np.ndarray, "n"]:
        """Return, for each atom, the one that stands for it."""
        first = self._table[self._bins(_fractions(self.coordinates))].astype(np.int64)
        while (first != (again := first[first])).any():
            first = again
        return first

    def _fill(self, reach: np.ndarray) -> None:
        # the bins of a cube's corners, from those of its faces
        x, y, z = (
            (faces >> np.uint32(32 - bits)) << np.uint32(sum(self._bits[axis + 1 :]))
            for axis, (faces, bits) in enumerate(zip(self._faces(reach), self._bits, strict=True))
        )
        bins = (x[:, None, None] | y[:, None] | z).reshape(8, -1).T.ravel()
        atoms = np.repeat(np.arange(len(self.coordinates)), 8)
        number = np.int16 if len(self.coordinates) < 2**15 else np.int32  # half as long to search
        self._table = np.full(2 ** sum(self._bits), -1, dtype=number)
        self._table[bins[::-1]] = atoms[::-1]  # backwards: the first of a bin stays
        shared = np.flatnonzero(self._table[bins] != atoms)
        one, other = atoms[shared], self._table[bins[shared]]
        between = self.box.shortest(self.coordinates[one] - self.coordinates[other])
        self.apart = bool((self.box.lengths(between) < 2 * self.tolerance).all())

    def _faces(self, reach: np.ndarray) -> np.ndarray:
        """Fractions of a cube about each atom, so far in each direction: (3, 2, n)."""
        return _fractions(self.coordinates + np.stack([-reach, reach])[:, None])

    def _bins(self, fractions: np.ndarray, steps: np.ndarray | None = None) -> np.ndarray:
        bins: np.ndarray | int = 0
        for axis, bits in enumerate(self._bits):
            place = fractions[axis] if steps is None else fractions[axis] + steps[axis]
            bins = (bins << bits) | (place >> np.uint32(32 - bits))
        return np.asarray(bins)


def _fractions(coordinates: np.ndarray) -> np.ndarray:
    """Coordinates modulo 1 in units of 2⁻³², the axis first."""
    last = coordinates.ndim - 1
    within = coordinates.transpose(last, *range(last))
    return np.floor(within * 2.0**32).astype(np.int64).astype(np.uint32)
