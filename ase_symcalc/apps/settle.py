"""Let atoms, and the shape of their cell, come to rest at a given volume."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from ase.optimize import BFGS, LBFGS

from ase_symcalc.apps.cell_filter import CellFilter
from ase_symcalc.errors import NumericalError

FEW = 50
"""Atoms up to which diagonalising the Hessian of BFGS takes less time than their forces; near a
minimum LBFGS takes the same steps."""


def settle(atoms: Atoms, *, fmax: float, max_steps: int, shape: bool = False) -> bool:
    """Move atoms, in place, until no force exceeds ``fmax`` (eV/Å).

    Many short relaxations need no log: `relax` without trajectory and space groups.

    Parameters
    ----------
    atoms : Atoms
        With a calculator attached. Changed.
    fmax : float, eV/Å
        With the shape also the largest component of the stress, without its pressure, times
        the volume per atom (eV).
    max_steps : int
    shape : bool
        Change the cell too, at constant volume.

    Returns
    -------
    bool
        Whether they came to rest.

    Raises
    ------
    NumericalError
        If a force is not a number.
    """
    target: Any = atoms
    if shape:
        scale = float(np.sqrt(len(atoms)))  # as in `relax`
        target = CellFilter(atoms, constant_volume=True, exp_cell_factor=scale)
    optimiser: Any = BFGS if len(atoms) <= FEW else LBFGS
    for _ in optimiser(target, logfile=None).irun(0.0, max_steps):
        largest = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
        if shape:
            shear = without_pressure(atoms.get_stress(voigt=False))
            largest = max(largest, abs(shear).max() * atoms.get_volume() / len(atoms))
        if not np.isfinite(largest):
            raise NumericalError(
                f"the largest force on an atom is {largest} eV/Å; look at the structure, and try "
                "smaller strains or volumes nearer to it"
            )
        if largest < fmax:
            return True
    return False


def without_pressure(stress: np.ndarray) -> np.ndarray:
    """Remove the mean of the diagonal of a (3, 3) stress."""
    return stress - np.trace(stress) / 3 * np.eye(3)
