"""What is asked of a structure before its response as a crystal is computed."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from jaxtyping import Float64

from ase_symcalc.errors import InputError, NumericalError
from ase_symcalc.units import EV_PER_CUBIC_ANGSTROM_IN_GPA

VACUUM = 8.0
"""Å; no layer of a crystal is so far from the next that the two would not be two pieces."""

AT_MINIMUM = 0.02
"""eV/Å, twice what `relax` leaves by default."""


def check_crystal(atoms: Atoms, what: str) -> None:
    """Refuse what repeats in fewer than three directions, or only formally.

    Parameters
    ----------
    atoms : Atoms
        With a calculator attached.
    what : str
        That is to be computed, as "an equation of state".

    Raises
    ------
    InputError
        For a structure without atoms or calculator, a molecule, a wire or a slab, also one
        that is periodic across 8 Å of vacuum or more.
    """
    if len(atoms) == 0:
        raise InputError(f"expected a crystal with at least one atom for {what}, got no atoms")
    if atoms.calc is None:
        raise InputError(
            "the structure has no calculator; attach one first: atoms.calc = SymCalc()"
        )
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        kind = ("a molecule", "a wire", "a slab")[min(int(atoms.pbc.sum()), 2)]
        raise InputError(
            f"{what} needs a crystal, which repeats along all three directions; this is {kind} "
            f"(pbc {atoms.pbc.tolist()}). If it is a crystal, set its cell and atoms.pbc = True"
        )
    gap, axis = max((_gap(atoms, axis), "abc"[axis]) for axis in range(3))
    if gap > VACUUM:
        raise InputError(
            f"{what} needs a crystal, and this looks like a molecule or a slab in a box: {gap:.1f} "
            f"Å along {axis} hold no atom. Take the vacuum out"
        )


def check_minimum(atoms: Atoms, what: str) -> None:
    """Refuse atoms that are pushed.

    Raises
    ------
    InputError
        If a force is above `AT_MINIMUM`.
    NumericalError
        If a force is not a number.
    """
    largest = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    if not np.isfinite(largest):
        raise NumericalError(f"the largest force on an atom is {largest} eV/Å; look at the atoms")
    if largest > AT_MINIMUM:
        raise InputError(
            f"{what} belong to a minimum, and this structure is not at one: the largest force is "
            f"{largest:.3f} eV/Å, more than {AT_MINIMUM:g}. Relax it first (--relax, or "
            "ase_symcalc.apps.relax)"
        )


def stress_of(atoms: Atoms, what: str) -> Float64[np.ndarray, "3 3"]:
    """Stress of a crystal, GPa.

    Raises
    ------
    InputError
        If the calculator has none.
    NumericalError
        If it is not a number.
    """
    try:
        stress = atoms.get_stress(voigt=False) * EV_PER_CUBIC_ANGSTROM_IN_GPA
    except PropertyNotImplementedError as error:
        raise InputError(
            f"{what} need the stress, which this calculator does not compute for this structure "
            f"({error})"
        ) from error
    if not np.isfinite(stress).all():
        raise NumericalError(f"the stress is not a number: {stress.tolist()} GPa")
    return stress


def _gap(atoms: Atoms, axis: int) -> float:
    """Find the widest layer without atoms across a cell vector, Å."""
    thickness = atoms.get_volume() / np.linalg.norm(
        np.cross(*np.delete(atoms.cell.array, axis, axis=0))
    )
    heights = np.sort(atoms.get_scaled_positions()[:, axis])
    return float(np.diff(heights, append=heights[0] + 1).max() * thickness)
