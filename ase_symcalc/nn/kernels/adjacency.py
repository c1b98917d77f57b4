"""Which edges end where, in both directions, and where their lengths lie on the radial grid."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Int64
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Adjacency:
    """Edges sorted by centre, and the orders that sort them by neighbour and by interval.

    Every sum over edges then runs over whole rows: no atomics, no scatter, the same order of
    additions in every run whatever the number of threads.

    Attributes
    ----------
    interval : (n_edges,) tensor
        First of the ``n_taps`` rows of the radial table that an edge's weights come from.
    n_taps, n_knots : int
        Rows used by each edge, and rows of the table.
    """

    centre: Int64[Tensor, "n_edges"]
    neighbour: Int64[Tensor, "n_edges"]
    interval: Int64[Tensor, "n_edges"]
    centre_start: Int64[Tensor, "n_centres_plus_1"]
    by_neighbour: Int64[Tensor, "n_edges"]
    neighbour_start: Int64[Tensor, "n_rows_plus_1"]
    by_interval: Int64[Tensor, "n_edges"]
    interval_start: Int64[Tensor, "n_intervals_plus_1"]
    n_taps: int

    @classmethod
    def build(
        cls,
        centre: Tensor,
        neighbour: Tensor,
        interval: Tensor,
        *,
        n_centres: int,
        n_rows: int,
        n_intervals: int,
        n_taps: int,
    ) -> Adjacency:
        """Index edges whose centres are already sorted."""
        return cls(
            centre=centre.contiguous(),
            neighbour=neighbour.contiguous(),
            interval=interval.contiguous(),
            centre_start=_starts(centre, n_centres),
            by_neighbour=torch.argsort(neighbour, stable=True),
            neighbour_start=_starts(neighbour, n_rows),
            by_interval=torch.argsort(interval, stable=True),
            interval_start=_starts(interval, n_intervals),
            n_taps=n_taps,
        )

    @property
    def n_centres(self) -> int:
        """Number of atoms that are evaluated."""
        return self.centre_start.shape[0] - 1

    @property
    def n_rows(self) -> int:
        """Number of rows a neighbour may point to."""
        return self.neighbour_start.shape[0] - 1

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return self.centre.shape[0]

    @property
    def n_intervals(self) -> int:
        """Number of intervals of the radial grid."""
        return self.interval_start.shape[0] - 1

    @property
    def n_knots(self) -> int:
        """Number of rows of the radial table."""
        return self.n_intervals + self.n_taps - 1


def _starts(index: Tensor, size: int) -> Tensor:
    counts = torch.bincount(index, minlength=size)
    return torch.cat([counts.new_zeros(1), torch.cumsum(counts, 0)])
