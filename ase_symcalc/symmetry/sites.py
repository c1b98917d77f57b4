"""Which atom, if any, stands at a given place: one table look-up for each question.

Space is cut into bins so small that none holds two atoms. An atom is written into every bin
within the tolerance of it (up to eight), so a place is at an atom only if the bin of the place
names that atom; their distance then decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

BIN_EDGES = (0.5, 0.25, 0.125)  # Å; the first that keeps atoms apart is used
MOST_BINS = 4_000_000  # 16 MB

_CORNERS = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)])


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
        return differences - np.round(differences) * np.array(self.pbc)

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
            shape = np.maximum(heights // max(edge, 4 * tolerance), 1).astype(np.int64)
            if shape.prod() > MOST_BINS or self.apart:
                break
            self._shape = shape.tolist()
            self._fill(1.01 * tolerance / heights)

    def at(
        self, places: Float64[np.ndarray, "*n 3"], numbers: Int64[np.ndarray, "..."]
    ) -> Int64[np.ndarray, "*n"]:
        """Atom of the number wanted (broadcast) at each place, -1 where there is none."""
        found = self._table[self._bins(places)].astype(np.int64)
        hit = np.nonzero(found >= 0)
        atoms = found[hit]
        distances = self.box.lengths(self.box.shortest(places[hit] - self.coordinates[atoms]))
        wanted = np.broadcast_to(numbers, found.shape)[hit]
        same = (distances < self.tolerance) & (self.numbers[atoms] == wanted)
        found[hit] = np.where(same, atoms, -1)
        return found

    def firsts(self) -> Int64[np.ndarray, "n"]:
        """Return, for each atom, the one that stands for it."""
        first = self._table[self._bins(self.coordinates)].astype(np.int64)
        while (first != (again := first[first])).any():
            first = again
        return first

    def _fill(self, reach: np.ndarray) -> None:
        bins = self._bins(self.coordinates[:, None] + _CORNERS * reach).ravel()
        atoms = np.repeat(np.arange(len(self.coordinates)), len(_CORNERS))
        self._table = np.full(np.prod(self._shape), -1, dtype=np.int32)
        self._table[bins[::-1]] = atoms[::-1]  # backwards: the first of a bin stays
        shared = np.flatnonzero(self._table[bins] != atoms)
        one, other = atoms[shared], self._table[bins[shared]]
        between = self.box.shortest(self.coordinates[one] - self.coordinates[other])
        self.apart = bool((self.box.lengths(between) < 2 * self.tolerance).all())

    def _bins(self, places: np.ndarray) -> np.ndarray:
        bins = np.zeros(places.shape[:-1], dtype=np.int64)
        for axis, size in enumerate(self._shape):
            place = places[..., axis]
            index = ((place - np.floor(place)) * size).astype(np.int64)
            bins *= size
            bins += np.minimum(index, size - 1)  # a hair below 0 is rounded to 1
        return bins
