"""The smallest supercell in which no atom is near its own image, and symmetry is whole."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase.geometry import minkowski_reduce
from jaxtyping import Float64, Int, Int64

from ase_symcalc.errors import InputError

STRETCHES = np.arange(1, 4, 0.02)


def choose_supercell(
    cell: Float64[np.ndarray, "3 3"],
    dataset: Any,
    primitive: Float64[np.ndarray, "3 3"],
    min_length: float,
) -> Int64[np.ndarray, "3 3"]:
    """Find a supercell whose images of an atom are at least ``min_length`` apart.

    Multiples of the given cell, of the primitive and of the conventional one are tried.
    Those that keep the point group come first, among them the one with fewest atoms.

    Parameters
    ----------
    cell : (3, 3) array, Å
        Rows are the cell vectors.
    dataset : spglib.SpglibDataset
        Symmetry of the crystal in that cell.
    primitive : (3, 3) array
        Columns are the vectors of the primitive cell in those of ``cell``.
    min_length : float, Å

    Returns
    -------
    (3, 3) array
        Columns are the vectors of the supercell in those of ``cell``.

    Raises
    ------
    InputError
        If the cell is so flat or skewed that none is found.
    """
    bases = (np.eye(3), primitive, np.linalg.inv(dataset.transformation_matrix))
    found = [m for base in bases if (m := _multiple(cell, base, min_length)) is not None]
    if not found:
        raise InputError(
            f"no multiple of the cell with vectors of {np.round(cell, 3).tolist()} Å keeps images "
            f"{min_length:g} Å apart; give a less skewed cell (ase.build.niggli_reduce), or the "
            "supercell itself"
        )
    return min(found, key=lambda m: (not keeps_symmetry(m, dataset.rotations), determinant(m)))


def keeps_symmetry(
    supercell: Int[np.ndarray, "3 3"], rotations: Int[np.ndarray, "n_operations 3 3"]
) -> bool:
    """Whether every rotation maps the supercell's lattice onto itself."""
    turned = np.linalg.inv(supercell) @ rotations @ supercell
    return bool(np.allclose(turned, np.rint(turned), atol=1e-6))


def determinant(supercell: Int[np.ndarray, "3 3"]) -> int:
    """How many cells the supercell holds."""
    return abs(round(np.linalg.det(supercell)))


def _multiple(cell: np.ndarray, base: np.ndarray, min_length: float) -> np.ndarray | None:
    """Stretch each vector of ``base`` by a whole number, all to about the same length."""
    lengths = np.linalg.norm(cell.T @ base, axis=0)
    for reach in min_length * STRETCHES:
        matrix = base * np.ceil(reach / lengths - 1e-6)
        whole = np.rint(matrix).astype(np.int64)
        if np.allclose(matrix, whole, atol=1e-4) and _nearest_image(cell, whole) >= min_length:
            return whole
    return None


def _nearest_image(cell: np.ndarray, supercell: np.ndarray) -> float:
    reduced, _ = minkowski_reduce(supercell.T @ cell)
    return float(np.linalg.norm(reduced, axis=1).min()) + 1e-6
