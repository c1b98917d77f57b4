"""Which way a stationary point goes down: its softest modes, from forces alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
from ase import Atoms, units
from jaxtyping import Float64
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

IMAGINARY = 0.2
"""THz; smaller ones are translations, and rounding."""

FEW_ATOMS = 10
"""Every displacement of so few costs no more than the iteration, which wants more."""

STEP = 0.01  # Å, of all atoms together
SUBSPACE = 30  # vectors; twenty take longer to find soft modes among the acoustic ones
ROUNDS = 20

_THZ = units._e**0.5 / units._amu**0.5 * 1e10 / (2 * np.pi * 1e12)


def softest_modes(
    atoms: Atoms, *, on_push: Callable[[int], None] | None = None
) -> Float64[np.ndarray, "2"] | None:
    """Find the two lowest frequencies of a structure, THz, imaginary ones as negative numbers.

    Parameters
    ----------
    atoms : Atoms
        With a calculator attached; at rest. Its constraints hold. At least one atom.
    on_push : callable, optional
        Receives how many displacements are done, after each.

    Returns
    -------
    (2,) array or None
        Rising; two imaginary ones mean two or more. None if the iteration does not converge.

    Notes
    -----
    Eigenvalues of the mass-weighted Hessian by the Lanczos iteration, which needs only its
    products with some 50 to 100 vectors; each is a central difference of forces. That is far
    less than a Hessian of hundreds of atoms, and any calculator will do.
    """
    moved = atoms.copy()
    moved.calc = atoms.calc
    weights = np.repeat(atoms.get_masses(), 3) ** -0.5
    done = itertools.count(1)

    def product(vector: np.ndarray) -> np.ndarray:
        way = weights * vector.ravel()
        way = STEP * way / np.linalg.norm(way)
        forces = []
        for sign in (1, -1):
            moved.positions = atoms.positions
            moved.set_positions(atoms.positions + sign * way.reshape(-1, 3))
            forces.append(moved.get_forces().ravel())
        if on_push is not None:
            on_push(next(done))
        slope = (forces[1] - forces[0]) / (2 * STEP)
        return weights * slope * np.linalg.norm(weights * vector.ravel())

    n = 3 * len(atoms)
    if len(atoms) <= FEW_ATOMS:
        hessian = np.array([product(vector) for vector in np.eye(n)])
        values = np.linalg.eigvalsh((hessian + hessian.T) / 2)[:2]
    else:
        operator = LinearOperator((n, n), product, dtype=float)
        start = np.random.default_rng(0).normal(size=n)  # the same every time
        try:
            values = eigsh(
                operator, 2, which="SA", v0=start, ncv=SUBSPACE, maxiter=ROUNDS, tol=1e-3,
                return_eigenvectors=False,
            )  # fmt: skip
        except ArpackNoConvergence:
            return None
    return np.sort(np.sign(values) * np.sqrt(abs(values)) * _THZ)
