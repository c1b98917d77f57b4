"""Splines through given functions: radial networks as tables."""

import itertools

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

CROWDING = 0.3  # Å


class SplineInterpolation:
    """Splines in ln(1 + r/s), so that knots lie closest where functions change fastest.

    A spline of degree d has d - 1 continuous derivatives. Where the functions have fewer, as at
    the onset of some cutoffs, a break lets one spline end and another begin.

    Parameters
    ----------
    breaks : tuple of float, Å
        0, places where a derivative jumps, and the cutoff.
    n_intervals : int
        Of all splines together; each has some in proportion to its length.
    degree : int
        An odd number.
    crowding : float, Å
        The s above.

    Attributes
    ----------
    n_taps : int
        Splines that are not zero at a point.
    points : (n_knots,) tensor, Å
        Where the functions must be known.
    n_intervals : int
        As an `Adjacency` counts them, with those that join two splines.
    """

    def __init__(
        self,
        breaks: tuple[float, ...],
        n_intervals: int,
        degree: int = 3,
        crowding: float = CROWDING,
    ) -> None:
        self.degree, self.n_taps, self.crowding = degree, degree + 1, crowding
        ends = self._coordinate(torch.tensor(breaks, dtype=torch.float64)).tolist()
        spacing = ends[-1] / n_intervals
        self.pieces: list[tuple[float, float, int, int]] = []
        points, first = [], 0
        for start, stop in itertools.pairwise(ends):
            n = max(degree - 1, round((stop - start) / spacing))
            step = (stop - start) / n
            self.pieces.append((start, step, n, first))
            points.append(crowding * torch.expm1(start + step * _conditions(n, degree)))
            first += n + degree
        self.points = torch.cat(points).clamp(0, breaks[-1])
        self.n_intervals = first - degree

    def coefficients(
        self, values: Float64[Tensor, "n_knots n_functions"]
    ) -> Float64[Tensor, "n_knots n_functions"]:
        """Coefficients of the splines that take these values at `points`."""
        solved = []
        for _, _, n, first in self.pieces:
            size = n + self.degree
            at = _conditions(n, self.degree).to(values)
            interval = at.floor().clamp(0, n - 1)
            taps = torch.arange(self.n_taps, device=values.device)
            matrix = values.new_zeros(size, size)
            columns = interval.long().unsqueeze(1) + taps
            matrix.scatter_(1, columns, b_splines(at - interval, self.degree))
            solved.append(torch.linalg.solve(matrix, values[first : first + size]))
        return torch.cat(solved)

    def __call__(
        self, lengths: Float[Tensor, "n_edges"]
    ) -> tuple[Int64[Tensor, "n_edges"], Float[Tensor, "n_edges n_taps"]]:
        """First coefficient of each edge, and the splines there."""
        s = self._coordinate(lengths)
        start, step, n, first = s.new_tensor(self.pieces[0]).unbind()
        for piece in self.pieces[1:]:
            beyond = s.detach() >= piece[0]
            start, step, n, first = (
                torch.where(beyond, new, old)
                for new, old in zip(piece, (start, step, n, first), strict=True)
            )
        scaled = (s - start) / step
        interval = torch.minimum(scaled.detach().floor().clamp_min(0), n - 1)
        return (interval + first).long(), b_splines(scaled - interval, self.degree)

    def _coordinate(self, lengths: Tensor) -> Tensor:
        return torch.log1p(lengths / self.crowding)


def b_splines(u: Float[Tensor, "n"], degree: int) -> Float[Tensor, "n n_taps"]:
    """Values of the B-splines that are not zero a part ``u`` into an interval.

    de Boor, A Practical Guide to Splines, chapter IX, for equally spaced knots.
    """
    zero, basis = torch.zeros_like(u), [torch.ones_like(u)]
    for d in range(1, degree + 1):
        lower = [zero, *basis, zero]
        basis = [
            ((u + (d - q)) * lower[q] + ((1 + q) - u) * lower[q + 1]) / d for q in range(d + 1)
        ]
    return torch.stack(basis, dim=1)


def _conditions(n: int, degree: int) -> Tensor:
    """Places that fix a spline of n intervals, in intervals.

    The knots, and the middle of the first and last few intervals.
    """
    inside = torch.arange(n + 1, dtype=torch.float64)
    middles = torch.arange((degree - 1) // 2, dtype=torch.float64) + 0.5
    return torch.cat([inside, middles, n - middles])
