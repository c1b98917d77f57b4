"""Radial weights of every edge: from the functions themselves, or from splines through them."""

import copy
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ase_symcalc.nn.spline import SplineInterpolation


class EdgeWeights(NamedTuple):
    """What `convolve` forms the weights of each edge from, as in `kernels.contraction`."""

    interval: Int64[Tensor, "n_edges"]
    basis: Float[Tensor, "n_edges n_taps"]
    n_intervals: int
    tables: list[Tensor]
    """(n_knots, n_weights) for each layer"""


class TabulatedFunctions(torch.nn.Module):
    """Radial functions of all layers: exact in float64, splines in float32.

    Splines are made on first use, in float64, and again when a weight has changed; while
    weights are trained they are made in every call. Forces are the exact derivative of the
    splined energy. What has no other way may take `spline_for` in float64 too.

    Parameters
    ----------
    functions : Module
        From lengths (n,) to a list of (n, n_weights) tensors.
    breaks : tuple of float, Å
        As for `SplineInterpolation`.
    n_intervals : int
        Of the splines; 0 for no splines, whatever the dtype.
    n_fine_intervals : int
        Of the splines for float64; 0 for none.

    Attributes
    ----------
    exact : tuple of torch.dtype
        In these no spline is used.
    """

    def __init__(
        self,
        functions: torch.nn.Module,
        breaks: tuple[float, ...],
        n_intervals: int,
        n_fine_intervals: int = 0,
    ) -> None:
        super().__init__()
        self.functions, self.breaks = functions, breaks
        self.spline = SplineInterpolation(breaks, n_intervals) if n_intervals else None
        self.fine = fine_spline(breaks, n_fine_intervals) if n_fine_intervals else None
        self.exact: tuple[torch.dtype, ...] = (torch.float64,)
        self._made: tuple[object, list[Tensor]] = (None, [])

    def forward(self, lengths: Float[Tensor, "n_edges"]) -> EdgeWeights:
        """Weights at these edge lengths, Å."""
        spline = None if lengths.dtype in self.exact else self.spline_for(lengths.dtype)
        if spline is None:
            every = torch.arange(len(lengths), device=lengths.device)
            basis = torch.ones_like(lengths).unsqueeze(1)
            return EdgeWeights(every, basis, len(lengths), self.functions(lengths))
        # float32 would place an edge within its short interval to four digits only
        interval, basis = spline(lengths.double())
        basis = basis.to(lengths.dtype)
        tables = self.tables(spline, lengths)
        return EdgeWeights(interval, basis, spline.n_intervals, tables)

    def spline_for(self, dtype: torch.dtype) -> SplineInterpolation | None:
        """Splines that are good enough for a dtype, if there are any."""
        if dtype == torch.float64 and self.fine is not None:
            return self.fine
        return None if dtype in self.exact else self.spline

    def tables(self, spline: SplineInterpolation, like: Tensor) -> list[Tensor]:
        """Coefficients of all layers' splines, in the dtype and place of ``like``."""
        weights = list(self.functions.parameters())
        trained = any(weight.requires_grad for weight in weights)
        versions = [(weight.data_ptr(), weight._version) for weight in weights]
        state = (like.dtype, like.device, versions)
        if trained or self._made[0] != state:
            functions = self.functions if trained else copy.deepcopy(self.functions).double()
            points = spline.points.to(like.device)
            values = functions(points.to(next(functions.parameters()).dtype))
            tables = [spline.coefficients(value.double()).to(like.dtype) for value in values]
            if trained:
                return tables
            self._made = (state, tables)
        return self._made[1]


def fine_spline(breaks: tuple[float, ...], n_intervals: int) -> SplineInterpolation:
    """Splines of degree 7, which with 512 to 1024 intervals come close to rounding."""
    return SplineInterpolation(breaks, n_intervals, degree=7, crowding=1.0)
