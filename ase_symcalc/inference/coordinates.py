"""Grids of radial splines, as kernels."""

from __future__ import annotations

from dataclasses import dataclass

from ase_symcalc.nn.kernels.machine import Kernel
from ase_symcalc.nn.kernels.radial import Piece, splines_kernel
from ase_symcalc.nn.spline import SplineInterpolation


@dataclass(frozen=True, slots=True)
class RadialGrid:
    """Pieces of equal intervals in r, or in ln(1 + r / crowding) if that is not 0.

    Attributes
    ----------
    crowding : float, Å
    n_taps : int
        Splines that are not zero at a point.
    """

    pieces: tuple[Piece, ...]
    crowding: float
    n_taps: int

    @classmethod
    def uniform(cls, spacing: float, n_intervals: int, n_taps: int) -> RadialGrid:
        """Equal intervals in the length itself (Å), as `nn.radial.RadialGrid` has."""
        return cls((Piece(0.0, spacing, n_intervals, 0),), 0.0, n_taps)

    @classmethod
    def of(cls, spline: SplineInterpolation) -> RadialGrid:
        """Take over the grid of a spline."""
        return cls(tuple(Piece(*piece) for piece in spline.pieces), spline.crowding, spline.n_taps)

    def kernel(self, *, by_edge: bool) -> Kernel:
        """Return `nn.kernels.radial.splines_kernel` of the grid."""
        return splines_kernel(self.pieces, self.crowding, self.n_taps, by_edge)
