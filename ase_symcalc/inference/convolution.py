"""One convolution with fixed radial functions: forward, and back to rows and edges."""

from __future__ import annotations

from typing import Any

from ase_symcalc.inference.edges import Edges
from ase_symcalc.inference.plan import Number, Plan
from ase_symcalc.nn.kernels.builder import real_name
from ase_symcalc.nn.kernels.compiled import convolution_kernel
from ase_symcalc.nn.kernels.filling import clearing_kernel
from ase_symcalc.nn.kernels.paths import PathTable


class Convolution:
    """`nn.kernels.contraction` on addresses, for one table of paths.

    Parameters
    ----------
    table : PathTable
    dtype : numpy.float32 or numpy.float64
    n_taps : int
        Splines that are not zero at a length.
    """

    def __init__(self, table: PathTable, dtype: Any, n_taps: int) -> None:
        real = real_name(dtype)
        self.dim_x, self.dim_out = table.irreps_x.dim, table.irreps_out.dim
        self._clear = clearing_kernel(real)
        self._kernels = {
            name: convolution_kernel(table, n_taps, name, real) for name in ("g", "x", "yb")
        }

    def forward(
        self,
        plan: Plan,
        edges: Edges,
        t: int,
        neighbour: Number,
        x: Number,
        out: Number,
        first: int,
        last: int,
    ) -> None:
        """Sum over the edges of centres first..last-1, into these rows of ``out``.

        Parameters
        ----------
        plan : Plan
            Gets the calls.
        edges : Edges
        t : int
            Address of the spline coefficients (n_knots, n_weights) of the radial functions.
        neighbour : Number
            Address of the row of ``x`` that each edge reads.
        x, out : Number
            Addresses of rows.
        """
        plan.call(self._clear, first, last, plan.number(self.dim_out), out)
        plan.call(
            self._kernels["g"], first, last, edges.centre_start, 0, plan.centre, neighbour,
            edges.interval, out, x, edges.y, edges.b, t, 0, 0, 0,
        )  # fmt: skip

    def back_to_rows(
        self, plan: Plan, edges: Edges, t: int, g: Number, dx: Number, first: int, last: int
    ) -> None:
        """Gradient by rows first..last-1, from the gradient ``g`` by all centres' sums."""
        plan.call(self._clear, first, last, plan.number(self.dim_x), dx)
        plan.call(
            self._kernels["x"], first, last, edges.neighbour_start, edges.by_neighbour,
            plan.centre, plan.neighbour, edges.interval, g, dx, edges.y, edges.b, t, 0, 0, 0,
        )  # fmt: skip

    def back_to_edges(
        self, plan: Plan, edges: Edges, t: int, neighbour: Number, x: Number, g: Number
    ) -> None:
        """Add to the gradients by harmonics and splines of all edges."""
        plan.each_part(
            lambda first, last: plan.call(
                self._kernels["yb"], first, last, 0, 0, plan.centre, neighbour, edges.interval,
                g, x, edges.y, edges.b, t, edges.dy, edges.db, 0,
            )
        )  # fmt: skip
