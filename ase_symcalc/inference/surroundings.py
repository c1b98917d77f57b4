"""What an evaluation sees, in NumPy: `graph.Environments` before torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64, Int64

from ase_symcalc.symmetry.expand import RotatedImages

Rows = Any
"""(n_rows, dim) features or gradients in the network's dtype: an array on the CPU, else a tensor"""


@runtime_checkable
class RowExchange(Protocol):
    """Rows that other processes own: filled between layers, their gradients sent back.

    An evaluation of L layers calls `fill` before each layer but the first, so L - 1 times. With
    derivatives it then calls `fold` L - 1 times, for the layers in the reverse order. The number
    of atoms, rows and edges changes nothing about that: processes that take part in one
    evaluation, all with derivatives or all without, always meet in the same calls, and ``dim`` is
    the same on all of them. What either raises ends the evaluation. Rows must not be kept.
    """

    def fill(self, rows: Rows) -> None:
        """Write ``rows[n_centres:]``, which their owners have, in place."""

    def fold(self, gradient: Rows) -> None:
        """Add to ``gradient[:n_centres]``, in place, what all processes have behind theirs.

        Rows behind the centres are not read afterwards.
        """


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Evaluated atoms (centres), and the rows their neighbour indices point to.

    The first ``n_centres`` rows are the centres themselves. Any others are `images`, or known to
    an `exchange`; both at once there are not.
    """

    edge_vectors: Float64[np.ndarray, "n_edges 3"]
    """Å"""
    centre: Int64[np.ndarray, "n_edges"]
    """sorted"""
    neighbour: Int64[np.ndarray, "n_edges"]
    atomic_numbers: Int64[np.ndarray, "n_rows"]
    n_centres: int
    images: RotatedImages | None = None
    exchange: RowExchange | None = None
