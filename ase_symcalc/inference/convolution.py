"""One convolution with fixed radial functions: forward, and back to rows and edges."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from ase_symcalc.inference.edges import Edges
from ase_symcalc.nn.kernels.builder import real_name
from ase_symcalc.nn.kernels.compiled import convolution_kernel
from ase_symcalc.nn.kernels.paths import PathTable


class Convolution:
    """`nn.kernels.contraction` on addresses, for one table of paths.

    Parameters
    ----------
    table : PathTable
    dtype : numpy.float32 or numpy.float64
    """

    def __init__(self, table: PathTable, dtype: Any) -> None:
        real = real_name(dtype)
        self.dim_x, self.dim_out = table.irreps_x.dim, table.irreps_out.dim
        self._itemsize = np.dtype(dtype).itemsize
        self._kernels = {
            name: convolution_kernel(table, Edges.n_taps, name, real) for name in ("g", "x", "yb")
        }

    def forward(
        self, edges: Edges, t: int, neighbour: int, x: int, out: int, first: int, last: int
    ) -> None:
        """Sum over the edges of centres first..last-1, into these rows of ``out``.

        Parameters
        ----------
        edges : Edges
        t : int
            Address of the spline coefficients (n_knots, n_weights) of the radial functions.
        neighbour : int
            Address of the row of ``x`` that each edge reads.
        x, out : int
            Addresses of rows.
        """
        row = self.dim_out * self._itemsize
        ctypes.memset(out + first * row, 0, (last - first) * row)
        at = edges.at
        self._kernels["g"](
            first, last, at["centre_start"], 0, at["centre"], neighbour, at["interval"],
            out, x, at["y"], at["b"], t, 0, 0, 0,
        )  # fmt: skip

    def back_to_rows(self, edges: Edges, t: int, g: int, dx: int, first: int, last: int) -> None:
        """Gradient by rows first..last-1, from the gradient ``g`` by all centres' sums."""
        row = self.dim_x * self._itemsize
        ctypes.memset(dx + first * row, 0, (last - first) * row)
        at = edges.at
        self._kernels["x"](
            first, last, at["neighbour_start"], at["by_neighbour"], at["centre"],
            at["neighbour"], at["interval"], g, dx, at["y"], at["b"], t, 0, 0, 0,
        )  # fmt: skip

    def back_to_edges(
        self,
        edges: Edges,
        t: int,
        neighbour: int,
        x: int,
        g: int,
        gradients: tuple[int, int],
        first: int,
        last: int,
    ) -> None:
        """Add to the gradients by harmonics and splines of edges first..last-1."""
        at = edges.at
        self._kernels["yb"](
            first, last, 0, 0, at["centre"], neighbour, at["interval"],
            g, x, at["y"], at["b"], t, *gradients, 0,
        )  # fmt: skip
