"""Geometry and order of the edges of an evaluation, and the way back to their vectors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ase_symcalc.inference.coordinates import RadialGrid
from ase_symcalc.inference.plan import Number, Plan
from ase_symcalc.nn.kernels.builder import real_name
from ase_symcalc.nn.kernels.edges import harmonics_gradient_kernel, harmonics_kernel
from ase_symcalc.nn.kernels.filling import casting_kernel, clearing_kernel
from ase_symcalc.nn.kernels.ordering import order_kernel, starts_kernel
from ase_symcalc.nn.kernels.radial import chain_kernel


class Edges:
    """Edges with all that the convolutions need: calls of a plan, and addresses.

    Parameters
    ----------
    plan : Plan
        Gets the calls.
    n_rows : int
        Rows that neighbours may be.
    lmax : int
        Of the spherical harmonics.
    grid : RadialGrid
        Where lengths lie on the grid of the radial functions.
    first_row : Number or None
        Address of the row that each edge's rows of the grid are counted from.
    dtype : numpy.float32 or numpy.float64
        Of harmonics and splines; the geometry itself is always in float64.
    """

    def __init__(
        self,
        plan: Plan,
        n_rows: int,
        lmax: int,
        grid: RadialGrid,
        first_row: Number | None,
        dtype: Any,
    ) -> None:
        self._plan, self._n_rows, self._lmax = plan, n_rows, lmax
        self._single, self._real = np.dtype(dtype) == np.float32, real_name(dtype)
        self.n_taps = grid.n_taps
        self._itemsize, self.n_sh = np.dtype(dtype).itemsize, (lmax + 1) ** 2
        self.lengths, self.interval = self._room(1), self._room(1)
        y, b = self._room(self.n_sh), self._room(self.n_taps)
        self._slope = self._room(self.n_taps)
        harmonics = harmonics_kernel(lmax)
        splines = grid.kernel(by_edge=first_row is not None)
        rows = 0 if first_row is None else first_row

        def task(first: Number, last: Number) -> None:
            plan.call(harmonics, first, last, plan.vectors, y, self.lengths)
            reals = (self.lengths, b, self._slope)
            plan.call(splines, first, last, rows, self.interval, *reals)

        plan.each_part(task)
        self.y, self.b = self._cast(y, self.n_sh), self._cast(b, self.n_taps)
        self.centre_start = plan.room(8 * (plan.n_centres + 1))
        size = plan.number(plan.n_centres)
        plan.call(starts_kernel(), 0, plan.n_edges, size, plan.centre, self.centre_start)

    def start_back(self) -> None:
        """Find the edges that end at each row, and clear what gradients are added to."""
        plan = self._plan
        self.neighbour_start = plan.room(8 * (self._n_rows + 2))
        self.by_neighbour = self._room(1)
        self.dy = plan.room(plan.most_edges * self.n_sh * self._itemsize)
        self.db = plan.room(plan.most_edges * self.n_taps * self._itemsize)
        order = (self.neighbour_start, self.by_neighbour)
        size = plan.number(self._n_rows)
        plan.call(order_kernel(), 0, plan.n_edges, size, plan.neighbour, *order)
        for width, place in ((self.n_sh, self.dy), (self.n_taps, self.db)):
            clear = clearing_kernel(self._real)
            plan.call(clear, 0, plan.n_edges, plan.number(width), place)

    def start_lengths(self) -> Number:
        """Address of the gradient by lengths, cleared."""
        place = self._room(1)
        self._plan.call(
            clearing_kernel("double"), 0, self._plan.n_edges, self._plan.number(1), place
        )
        return place

    def finish_back(self, dr: Number) -> None:
        """Gradient by the edge vectors, from that by harmonics, splines, and lengths apart."""
        plan = self._plan
        chain, harmonics = (
            chain_kernel(self.n_taps, self._real),
            harmonics_gradient_kernel(self._lmax),
        )
        dy = self._room(self.n_sh) if self._single else self.dy
        cast, width = casting_kernel(False), plan.number(self.n_sh)

        def task(first: Number, last: Number) -> None:
            plan.call(chain, first, last, self._slope, dr, self.db)
            if self._single:
                plan.call(cast, first, last, width, self.dy, dy)
            plan.call(harmonics, first, last, plan.vectors, dy, dr, plan.gradient)

        plan.each_part(task)

    def _room(self, width: int) -> Number:
        """Room for so many numbers of 8 bytes for each edge."""
        return self._plan.room(self._plan.most_edges * width * 8)

    def _cast(self, place: Number, width: int) -> Number:
        """Where the numbers are in the network's precision."""
        if not self._single:
            return place
        plan, kernel, size = self._plan, casting_kernel(True), self._plan.number(width)
        cast = plan.room(plan.most_edges * width * self._itemsize)
        plan.each_part(lambda first, last: plan.call(kernel, first, last, size, place, cast))
        return cast
