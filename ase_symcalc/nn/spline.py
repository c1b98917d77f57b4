"""Cubic splines through given functions: radial networks as tables."""

import itertools

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ase_symcalc.nn.radial import cubic_splines

CROWDING = 0.3  # Å


class SplineInterpolation:
    """Splines in ln(1 + r/0.3 Å), so that knots lie closest where functions change fastest.

    A spline is twice continuously differentiable. Where the functions are not, as at the
    onset of some cutoffs, a break lets one spline end and another begin.

    Parameters
    ----------
    breaks : tuple of float, Å
        0, places where a derivative jumps, and the cutoff.
    n_intervals : int
        Of all splines together; each has some in proportion to its length.

    Attributes
    ----------
    points : (n_knots,) tensor, Å
        Where the functions must be known.
    n_intervals : int
        As an `Adjacency` counts them, with those that join two splines.
    """

    n_taps = 4

    def __init__(self, breaks: tuple[float, ...], n_intervals: int) -> None:
        ends = _coordinate(torch.tensor(breaks, dtype=torch.float64)).tolist()
        spacing = ends[-1] / n_intervals
        self.pieces: list[tuple[float, float, int, int]] = []
        points, first = [], 0
        for start, stop in itertools.pairwise(ends):
            n = max(2, round((stop - start) / spacing))
            step = (stop - start) / n
            self.pieces.append((start, step, n, first))
            points.append(CROWDING * torch.expm1(start + step * _conditions(n)))
            first += n + 3
        self.points = torch.cat(points).clamp(0, breaks[-1])
        self.n_intervals = first - 3

    def coefficients(
        self, values: Float64[Tensor, "n_knots n_functions"]
    ) -> Float64[Tensor, "n_knots n_functions"]:
        """Coefficients of the splines that take these values at `points`."""
        solved = []
        for _, _, n, first in self.pieces:
            at = _conditions(n).to(values)
            interval = at.floor().clamp(0, n - 1)
            columns = interval.long().unsqueeze(1) + torch.arange(4, device=values.device)
            matrix = values.new_zeros(n + 3, n + 3)
            matrix.scatter_(1, columns, cubic_splines(at - interval))
            solved.append(torch.linalg.solve(matrix, values[first : first + n + 3]))
        return torch.cat(solved)

    def __call__(
        self, lengths: Float[Tensor, "n_edges"]
    ) -> tuple[Int64[Tensor, "n_edges"], Float[Tensor, "n_edges 4"]]:
        """First coefficient of each edge, and the four splines there."""
        s = _coordinate(lengths)
        start, step, n, first = s.new_tensor(self.pieces[0]).unbind()
        for piece in self.pieces[1:]:
            beyond = s.detach() >= piece[0]
            start, step, n, first = (
                torch.where(beyond, new, old)
                for new, old in zip(piece, (start, step, n, first), strict=True)
            )
        scaled = (s - start) / step
        interval = torch.minimum(scaled.detach().floor().clamp_min(0), n - 1)
        return (interval + first).long(), cubic_splines(scaled - interval)


def _coordinate(lengths: Tensor) -> Tensor:
    return torch.log1p(lengths / CROWDING)


def _conditions(n: int) -> Tensor:
    """Places that fix a spline of n intervals, in intervals.

    The knots, and a point in the middle of the first and last interval.
    """
    inside = torch.arange(n + 1, dtype=torch.float64)
    return torch.cat([inside, torch.tensor([0.5, n - 0.5], dtype=torch.float64)])
