"""ASE's filter for cells, with a logarithm that draws no random numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.filters import FrechetCellFilter
from jaxtyping import Float64
from scipy.linalg import sqrtm

NEAR, TERMS = 0.1, 8
"""The series takes matrices so near to one, and so many terms, which are exact to rounding."""


class CellFilter(FrechetCellFilter):
    """As in ASE; arguments are the same.

    `scipy.linalg.logm` estimates norms with NumPy's global random numbers, so that a relaxation
    would move them on, and depend on them in its last digits.
    """

    def __init__(self, atoms: Atoms, **options: Any) -> None:
        super().__init__(atoms, **options)
        for part in (self, getattr(self, "_utility", None)):  # by release of ASE
            if part is not None:
                part.logm = logarithm


def logarithm(matrix: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "3 3"]:
    """Principal logarithm of a matrix without negative or zero eigenvalues.

    From log A = 2^k log A^(1/2^k) and log B = 2 artanh (B - 1)(B + 1)⁻¹, as in N. J. Higham,
    Functions of Matrices, SIAM 2008, chapter 11.
    """
    one, halvings = np.eye(3), 0
    while np.abs(matrix - one).max() > NEAR:
        matrix, halvings = np.asarray(sqrtm(matrix)).real.astype(np.float64), halvings + 1
    x = (matrix - one) @ np.linalg.inv(matrix + one)
    total = np.zeros((3, 3))
    for order in range(TERMS, -1, -1):
        total = one / (2 * order + 1) + x @ x @ total
    return 2.0 ** (halvings + 1) * x @ total
