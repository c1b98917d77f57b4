"""Where lengths lie on the grids of radial splines, with derivatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from ase_symcalc.nn.spline import CROWDING, SplineInterpolation

Coordinates = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | int]
"""Coordinate, its slope by the length, intervals of the grid, first row of the table."""
RadialCoordinate = Callable[[np.ndarray], Coordinates]


@dataclass(frozen=True, slots=True)
class UniformGrid:
    """Equal intervals in the length itself, as `nn.radial.RadialGrid` has."""

    spacing: float
    n_intervals: int

    def __call__(self, lengths: Float64[np.ndarray, "n_edges"]) -> Coordinates:
        """Locate the lengths, Å."""
        n = len(lengths)
        slope = np.full(n, 1 / self.spacing)
        return lengths / self.spacing, slope, np.full(n, float(self.n_intervals)), 0


@dataclass(frozen=True, slots=True, eq=False)
class LogarithmicGrid:
    """Pieces with equal intervals in ln(1 + r/0.3 Å), as `nn.spline.SplineInterpolation` has.

    Attributes
    ----------
    starts, steps, sizes : (n_pieces,) arrays
        Where each piece begins, and the length and number of its intervals.
    rows : (n_pieces,) array
        First row of the table of each piece.
    """

    starts: np.ndarray
    steps: np.ndarray
    sizes: np.ndarray
    rows: np.ndarray

    @classmethod
    def of(cls, spline: SplineInterpolation) -> LogarithmicGrid:
        """Take over the grid of a spline."""
        starts, steps, sizes, rows = zip(*spline.pieces, strict=True)
        return cls(np.array(starts), np.array(steps), np.array(sizes, float), np.array(rows))

    def __call__(self, lengths: Float64[np.ndarray, "n_edges"]) -> Coordinates:
        """Locate the lengths, Å."""
        s = np.log1p(lengths / CROWDING)
        if len(self.starts) == 1:
            piece = np.zeros(len(s), dtype=np.int64)
        else:
            piece = np.maximum(np.searchsorted(self.starts, s, side="right") - 1, 0)
        step = self.steps[piece]
        slope = 1 / ((lengths + CROWDING) * step)
        return (s - self.starts[piece]) / step, slope, self.sizes[piece], self.rows[piece]
