"""Cells of many structures as coordinates of an optimiser."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float64

HALVINGS, TERMS = 4, 16
"""Of the series for exp: exact to rounding while no strain is beyond a factor of exp(8)."""


def deformations(
    strains: Float64[np.ndarray, "n 3 3"],
) -> Float64[np.ndarray, "n 3 3"]:
    """Return exp(U), which takes r to exp(U) r, of logarithmic strains U."""
    return _exp(strains)


def strain_forces(
    strains: Float64[np.ndarray, "n 3 3"],
    deformed: Float64[np.ndarray, "n 3 3"],
    virials: Float64[np.ndarray, "n 3 3"],
) -> Float64[np.ndarray, "n 3 3"]:
    """Return -∂E/∂U, eV, as `ase.filters.FrechetCellFilter` does.

    With F = exp(U), ∂E/∂F = Vσ F⁻ᵀ; the adjoint of exp's Fréchet derivative at U is that at Uᵀ:

        exp [[Uᵀ, G], [0, Uᵀ]]  has the derivative along G as its upper right block

    (Al-Mohy and Higham, SIAM J. Matrix Anal. Appl. 30, 1639, 2009).

    Parameters
    ----------
    strains : (n, 3, 3) array
        U
    deformed : (n, 3, 3) array
        exp(U)
    virials : (n, 3, 3) array, eV
        Stress times volume, Vσ.
    """
    along = virials @ np.linalg.inv(deformed).transpose(0, 2, 1)
    block = np.zeros((len(strains), 6, 6))
    block[:, :3, :3] = block[:, 3:, 3:] = strains.transpose(0, 2, 1)
    block[:, :3, 3:] = along
    return -_exp(block)[:, :3, 3:]


def _exp(matrices: np.ndarray) -> np.ndarray:
    """Taylor's series of exp(A / 2^k), squared k times: the same steps whatever A is."""
    small = matrices / 2**HALVINGS
    result = term = np.broadcast_to(np.eye(matrices.shape[-1]), matrices.shape)
    for order in range(1, TERMS + 1):
        term = term @ small
        result = result + term / math.factorial(order)
    for _ in range(HALVINGS):
        result = result @ result
    return result
