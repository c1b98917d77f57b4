"""Geometry and order of the edges of one evaluation, and the way back to their vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float, Float64

from ase_symcalc.inference.coordinates import RadialCoordinate
from ase_symcalc.inference.memory import pile
from ase_symcalc.inference.surroundings import Surroundings
from ase_symcalc.inference.tiles import cut, each_part
from ase_symcalc.nn.kernels.edges import (
    harmonics_gradient_kernel,
    harmonics_kernel,
    splines_kernel,
)
from ase_symcalc.nn.kernels.sorting import row_starts, sorted_by

_PART = (512, 4096)
"""Fewest and most edges that a thread takes at a time."""


class Edges:
    """Edges with all that the convolutions need.

    Takes memory from the `pile`; lives as long as its caller has borrowed it.

    Parameters
    ----------
    seen : Surroundings
    lmax : int
        Of the spherical harmonics.
    coordinate : RadialCoordinate
        Where lengths lie on the grid of the radial functions.
    dtype : numpy.float32 or numpy.float64
        Of harmonics and splines; the geometry itself is always in float64.
    """

    n_taps = 4

    def __init__(
        self, seen: Surroundings, lmax: int, coordinate: RadialCoordinate, dtype: Any
    ) -> None:
        n, self.lmax, self.n_sh = len(seen.centre), lmax, (lmax + 1) ** 2
        self.n, self.dtype = n, dtype
        self.n_rows = len(seen.atomic_numbers)
        self.bounds = cut(n, *_PART)
        self._vectors = np.ascontiguousarray(seen.edge_vectors, dtype=np.float64)
        self._vectors_at = self._vectors.ctypes.data
        self.lengths, lengths_at = pile().array((n,), np.float64)
        y, y_at = pile().array((n, self.n_sh), np.float64)
        kernel = harmonics_kernel(lmax)
        each_part(lambda a, b: kernel(a, b, self._vectors_at, y_at, lengths_at), self.bounds)
        s, self._slope, size, offset = coordinate(self.lengths)
        basis, basis_at = pile().array((n, 4), np.float64)
        self._basis_slope, basis_slope_at = pile().array((n, 4), np.float64)
        interval, interval_at = pile().array((n,), np.float64)
        splines_kernel()(
            0, n, s.ctypes.data, size.ctypes.data, interval_at, basis_at, basis_slope_at
        )
        self.y, self.b = self._cast(y), self._cast(basis)
        self.centre = np.ascontiguousarray(seen.centre)
        self.neighbour = np.ascontiguousarray(seen.neighbour)
        self.interval = interval.astype(np.int64) + offset
        self.centre_start = row_starts(self.centre, seen.n_centres)
        # what kernels read, by address
        self.at = {
            "y": self.y.ctypes.data,
            "b": self.b.ctypes.data,
            "centre": self.centre.ctypes.data,
            "neighbour": self.neighbour.ctypes.data,
            "interval": self.interval.ctypes.data,
            "centre_start": self.centre_start.ctypes.data,
        }

    def sort_by_neighbour(self) -> None:
        """Find the edges that end at each row: what gradients by rows need."""
        self.neighbour_start = row_starts(self.neighbour, self.n_rows)
        self.by_neighbour = sorted_by(self.neighbour, self.neighbour_start)
        self.at["neighbour_start"] = self.neighbour_start.ctypes.data
        self.at["by_neighbour"] = self.by_neighbour.ctypes.data

    def gradient(
        self,
        dy: Float[np.ndarray, "n_edges n_sh"],
        db: Float[np.ndarray, "n_edges 4"],
        dr: Float64[np.ndarray, "n_edges"] | None,
    ) -> Float64[np.ndarray, "n_edges 3"]:
        """Gradient by the edge vectors, from that by harmonics, splines, and lengths apart."""
        total = np.einsum("eq,eq->e", db, self._basis_slope)
        total *= self._slope
        if dr is not None:
            total += dr
        dy = np.ascontiguousarray(dy, dtype=np.float64)
        out = np.empty((self.n, 3))
        kernel = harmonics_gradient_kernel(self.lmax)
        addresses = (self._vectors_at, *(array.ctypes.data for array in (dy, total, out)))
        each_part(lambda a, b: kernel(a, b, *addresses), self.bounds)
        return out

    def _cast(self, values: np.ndarray) -> np.ndarray:
        return values if values.dtype == self.dtype else values.astype(self.dtype)
