"""Elastic constants from second derivatives of a network's energy."""

from __future__ import annotations

from typing import Any

import numpy as np
from ase import Atoms
from jaxtyping import Float64

from ase_symcalc.calculator import SymCalc
from ase_symcalc.errors import InputError
from ase_symcalc.symmetry.operations import find_operations
from ase_symcalc.units import EV_PER_CUBIC_ANGSTROM_IN_GPA

FREE = 1e-6
"""eV/Å²; a displacement with less curvature costs nothing, so no strain needs it to relax."""

_ROWS, _COLUMNS = np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1])


def analytic_constants(
    atoms: Atoms, *, clamped: bool, tolerance: float
) -> tuple[Float64[np.ndarray, "6 6"], Float64[np.ndarray, "6 6"] | None, float | None]:
    """Elastic constants at fixed ions; and with relaxed ones, with the softest mode.

    With A, Λ and the Hessian H of `response` for one primitive cell of volume V,

        C = (A - Λ H⁺ Λᵀ) / V

    (M. Born and K. Huang, Dynamical Theory of Crystal Lattices (1954)), to which
    `stress_terms` adds what a stress adds. H⁺ leaves out the three translations.

    Parameters
    ----------
    atoms : Atoms
        A crystal at rest, its calculator a `SymCalc`.
    clamped : bool
        Fixed ions only.
    tolerance : float, Å
        Within which translations make the cell a primitive one.

    Returns
    -------
    fixed : (6, 6) array, GPa
    relaxed : (6, 6) array, GPa, or None
    softest : float or None
        eV/Å², the lowest eigenvalue of H, translations left out; None for one atom.

    Raises
    ------
    InputError
        If the calculator is another.
    """
    calculator: Any = atoms.calc
    if not isinstance(calculator, SymCalc):
        raise InputError(
            "analytic elastic constants need second derivatives by strain, which only SymCalc "
            f"has, not {type(calculator).__name__}; use method='strain' (--method strain)"
        )
    cell = primitive(atoms, tolerance)
    cell.calc = calculator
    gpa = EV_PER_CUBIC_ANGSTROM_IN_GPA / cell.get_volume()
    twice, mixed = calculator.get_strain_derivatives(cell)
    by_stress = stress_terms(cell.get_stress(voigt=False)) * EV_PER_CUBIC_ANGSTROM_IN_GPA
    fixed = twice * gpa + by_stress
    if clamped:
        return fixed, None, None
    if len(cell) == 1:
        return fixed, fixed, None
    values, vectors = _modes(calculator.get_hessian(cell).reshape(3 * len(cell), -1))
    couplings = mixed.reshape(6, -1) @ vectors
    stiff = abs(values) > FREE
    couplings = couplings[:, stiff]
    relaxed = fixed - (couplings / values[stiff]) @ couplings.T * gpa
    return fixed, relaxed, float(values[0])


def primitive(atoms: Atoms, tolerance: float) -> Atoms:
    """Cut a crystal to its primitive cell, in the same orientation.

    Parameters
    ----------
    atoms : Atoms
    tolerance : float, Å
        Within which an atom is a translational image of another.
    """
    found = find_operations(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers, tolerance)
    if found is None or found.n_translations == 1:
        return atoms.copy()
    first = np.unique(found.primitive)
    lattice = found.lattice @ found.box.vectors
    return Atoms(atoms.numbers[first], atoms.positions[first], cell=lattice, pbc=True)


def stress_terms(stress: Float64[np.ndarray, "3 3"]) -> Float64[np.ndarray, "6 6"]:
    """Difference between derivatives of the stress and second derivatives of the energy.

    For h' = h(1 + ε) with ε symmetric, B = ∂σ/∂ε and A = ∂²E/∂ε² / V,

        B_ijkl = A_ijkl + (σ_ik δ_jl + σ_il δ_jk + σ_jk δ_il + σ_jl δ_ik)/4 - σ_ij δ_kl,

    as follows for this strain from J. Wang, J. Li, S. Yip, S. Phillpot and D. Wolf, Phys. Rev. B
    52, 12627 (1995). The part that changes sign with ij ↔ kl is left out.
    """
    one = np.eye(3)
    sides = np.einsum("ik,jl->ijkl", stress, one)
    sides = sides + sides.transpose(0, 1, 3, 2)
    sides = (sides + sides.transpose(1, 0, 2, 3)) / 4
    sides = sides - np.einsum("ij,kl->ijkl", stress, one)
    terms = sides[_ROWS[:, None], _COLUMNS[:, None], _ROWS, _COLUMNS]
    return (terms + terms.T) / 2


def _modes(hessian: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues, rising, and eigenvectors of a Hessian among those without translation."""
    n = len(hessian) // 3
    translations = np.tile(np.eye(3), (n, 1)) / np.sqrt(n)
    rest = np.linalg.svd(translations)[0][:, 3:]
    values, vectors = np.linalg.eigh(rest.T @ (hessian + hessian.T) @ rest / 2)
    return values, rest @ vectors
