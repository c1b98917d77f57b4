"""What an evaluation sees, in NumPy: `graph.Environments` before torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from ase_symcalc.symmetry.expand import RotatedImages


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Evaluated atoms (centres), and the rows their neighbour indices point to.

    The first ``n_centres`` rows are the centres themselves, any others are `images`.
    """

    edge_vectors: Float64[np.ndarray, "n_edges 3"]
    """Å"""
    centre: Int64[np.ndarray, "n_edges"]
    """sorted"""
    neighbour: Int64[np.ndarray, "n_edges"]
    atomic_numbers: Int64[np.ndarray, "n_rows"]
    n_centres: int
    images: RotatedImages | None = None
