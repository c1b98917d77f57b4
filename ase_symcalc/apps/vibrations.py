"""Vibrations of a molecule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.thermochemistry import HarmonicThermo
from jaxtyping import Bool, Float64

from ase_symcalc.apps.crystal import AT_MINIMUM
from ase_symcalc.apps.infrared import silent_in_infrared
from ase_symcalc.apps.kept import Parts
from ase_symcalc.apps.short_repr import short_repr
from ase_symcalc.calculator import SymCalc
from ase_symcalc.errors import InputError, NumericalError

IMAGINARY = 10.0
"""cm⁻¹; smaller imaginary wavenumbers are those of very soft modes not quite relaxed."""

RIGID = 1e-3
"""Share of the largest moment of rotation below which there is none: a linear molecule bends
more than this in any relaxation that went wrong."""

_EV = units._hbar * 1e10 / np.sqrt(units._e * units._amu)  # ħω of a √(eV/Å²/u)


@dataclass(frozen=True, slots=True)
class DisplacementStep:
    """The forces of one more displaced molecule are known."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class VibrationResult:
    """Normal modes, ascending; translations and rotations are not among them."""

    __repr__ = short_repr

    atoms: Atoms
    """As given"""
    energies: Float64[np.ndarray, "n_modes"]
    """eV, of a quantum; imaginary ones are negative"""
    modes: Float64[np.ndarray, "n_modes n_atoms 3"] = field(repr=False)
    """Displacements of the atoms, of length 1 for each mode"""
    linear: bool
    rigid: Float64[np.ndarray, "n_rigid"]
    """cm⁻¹, of translations and rotations before they were taken out; small at a minimum"""
    residual_force: float
    """eV/Å"""
    analytic: bool
    """Whether the second derivatives are exact; else they are differences of forces."""
    n_imaginary: int
    """Modes along which the energy falls"""
    silent: Bool[np.ndarray, "n_modes"] | None
    """Whether infrared light does not see a mode, by the symmetry that the molecule has within
    `infrared.TOLERANCE`; None if that cannot be told"""
    warnings: tuple[str, ...]

    @property
    def wavenumbers(self) -> Float64[np.ndarray, "n_modes"]:
        """In cm⁻¹; imaginary ones are negative."""
        return self.energies / units.invcm

    @property
    def zero_point_energy(self) -> float:
        """In eV, of the real modes."""
        return float(self.energies[self.energies > 0].sum() / 2)

    def thermochemistry(self) -> HarmonicThermo:
        """ASE's harmonic thermochemistry of the real modes, the minimum's energy apart.

        Translation and rotation are not in it; ``ase.thermochemistry.IdealGasThermo`` adds
        them for who knows the symmetry number and the spin.

        Raises
        ------
        InputError
            If no mode is real.
        """
        real = self.energies[self.energies > 0]
        if len(real) == 0:
            raise InputError("the molecule has no real vibration, so no heat goes into any")
        return HarmonicThermo(real.tolist())


def vibrations(
    atoms: Atoms,
    *,
    displacement: float = 0.005,
    parts: Parts | None = None,
    on_step: Callable[[DisplacementStep], None] | None = None,
) -> VibrationResult:
    """Compute normal modes of a molecule at a minimum, with any ASE calculator.

    Parameters
    ----------
    atoms : Atoms
        A molecule, not periodic, with a calculator. Not changed; constraints are not looked at.
    displacement : float, Å
        For calculators without second derivatives, of one coordinate at a time, both ways.
        `SymCalc` has them exactly.
    parts : mapping from str, optional
        Rows of the second derivatives that are done, of a run with the same arguments; others
        are added, as what JSON holds.
    on_step : callable, optional
        Receives a `DisplacementStep` before the first displaced molecule and after each; with
        exact second derivatives only the first.

    Returns
    -------
    VibrationResult

    Raises
    ------
    InputError
        For a structure that is periodic, has fewer than two atoms or no calculator, or is not
        at a minimum.
    NumericalError
        If the calculator returns something that is not a number.

    Notes
    -----
    The Hessian, weighted by masses, is diagonalised in what is orthogonal to translations and
    rotations. Intensities need dipoles, which a potential without charges has none of; which
    modes have none at all, symmetry says.
    """
    residual = _check(atoms, displacement)
    analytic = isinstance(atoms.calc, SymCalc)
    show = on_step or (lambda step: None)
    show(DisplacementStep(0, 3 * len(atoms)))
    kept = {} if parts is None else parts
    hessian = _exact(atoms, kept) if analytic else _differences(atoms, displacement, kept, show)
    if not np.isfinite(hessian).all():
        raise NumericalError("a second derivative of the energy is not a number")
    roots = np.repeat(np.sqrt(atoms.get_masses()), 3)
    dynamical = (hessian + hessian.T) / (2 * np.outer(roots, roots))
    still, free = _rigid_and_free(atoms)
    eigenvalues, vectors = np.linalg.eigh(free.T @ dynamical @ free)
    shapes = ((free @ vectors) / roots[:, None]).T.reshape(-1, len(atoms), 3)
    shapes /= np.linalg.norm(shapes, axis=(1, 2), keepdims=True)
    energies = _quantum(eigenvalues)
    rigid = _quantum(np.linalg.eigvalsh(still.T @ dynamical @ still)) / units.invcm
    n_imaginary = int((energies < -IMAGINARY * units.invcm).sum())
    return VibrationResult(
        atoms=atoms.copy(),
        energies=energies,
        modes=shapes,
        linear=still.shape[1] == 5,
        rigid=rigid,
        residual_force=residual,
        analytic=analytic,
        n_imaginary=n_imaginary,
        silent=silent_in_infrared(atoms, shapes),
        warnings=tuple(_about_imaginary(energies / units.invcm, n_imaginary)),
    )


def check_molecule(atoms: Atoms) -> None:
    """Refuse what has no normal modes.

    Raises
    ------
    InputError
        For a structure that is periodic, or has fewer than two atoms or no calculator.
    """
    if len(atoms) < 2:
        raise InputError(f"vibrations need at least two atoms, got {len(atoms)}")
    if atoms.calc is None:
        raise InputError(
            "the structure has no calculator; attach one first: atoms.calc = SymCalc()"
        )
    if atoms.pbc.any():
        raise InputError(
            f"vibrations are those of a molecule, and this structure repeats (pbc "
            f"{atoms.pbc.tolist()}). For a crystal there is `phonons`; for a molecule in a box, "
            "set atoms.pbc = False, or write it as .xyz without a cell"
        )


def _check(atoms: Atoms, displacement: float) -> float:
    check_molecule(atoms)
    if not 0 < displacement < np.inf:
        raise InputError(f"expected displacement above 0 Å and finite, got {displacement}")
    largest = float(np.linalg.norm(_forces(atoms, atoms.positions), axis=1).max())
    if largest > AT_MINIMUM:
        raise InputError(
            f"the molecule is not at a minimum of the energy: the largest force is {largest:.3f} "
            f"eV/Å, expected at most {AT_MINIMUM:g}. Relax it first (--relax, or "
            "ase_symcalc.apps.relax)"
        )
    return largest


def _forces(atoms: Atoms, positions: np.ndarray) -> np.ndarray:
    """Compute forces without constraints."""
    moved = Atoms(atoms.numbers, positions, cell=atoms.cell, pbc=atoms.pbc)
    moved.calc = atoms.calc
    forces = np.asarray(moved.get_forces(), dtype=float)
    if not np.isfinite(forces).all():
        raise NumericalError("the calculator returned a force that is not a number")
    return forces


def _exact(atoms: Atoms, parts: Parts) -> np.ndarray:
    size = 3 * len(atoms)
    calculator: Any = atoms.calc
    if "second derivatives" not in parts:
        hessian = calculator.get_hessian(atoms).reshape(size, size)
        parts["second derivatives"] = {"eV_per_angstrom2": hessian.tolist()}
    return np.array(parts["second derivatives"]["eV_per_angstrom2"])


def _differences(
    atoms: Atoms, displacement: float, parts: Parts, show: Callable[[DisplacementStep], None]
) -> np.ndarray:
    """H = -(F(+d) - F(-d)) / 2d, a row for each coordinate."""
    rows = []
    total = 3 * len(atoms)
    for coordinate in range(total):
        name = f"coordinate {coordinate + 1}"
        if name not in parts:
            moved = np.zeros(total)
            moved[coordinate] = displacement
            there, back = (
                _forces(atoms, atoms.positions + sign * moved.reshape(-1, 3)) for sign in (1, -1)
            )
            row = (back - there).ravel() / (2 * displacement)
            parts[name] = {"eV_per_angstrom2": row.tolist()}
        rows.append(parts[name]["eV_per_angstrom2"])
        show(DisplacementStep(coordinate + 1, total))
    return np.array(rows)


def _rigid_and_free(atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Orthonormal columns, weighted by masses: rigid motions, and all that is left."""
    roots = np.sqrt(atoms.get_masses())[:, None]
    centred = atoms.positions - atoms.get_center_of_mass()
    motions = [roots * axis for axis in np.eye(3)]
    motions += [roots * np.cross(axis, centred) for axis in np.eye(3)]
    columns = np.array(motions).reshape(6, -1).T
    turns, moments, _ = np.linalg.svd(columns[:, 3:], full_matrices=False)
    kept = turns[:, moments > RIGID * moments.max()]
    shifts = columns[:, :3] / np.linalg.norm(columns[:, :3], axis=0)
    rigid = np.hstack([shifts, kept])
    full, _, _ = np.linalg.svd(rigid, full_matrices=True)
    n_rigid = rigid.shape[1]
    return full[:, :n_rigid], full[:, n_rigid:]


def _quantum(eigenvalues: np.ndarray) -> np.ndarray:
    """Turn eigenvalues, eV/Å²/u, into ħω in eV, negative where imaginary."""
    return np.sign(eigenvalues) * np.sqrt(np.abs(eigenvalues)) * _EV


def _about_imaginary(wavenumbers: np.ndarray, n_imaginary: int) -> list[str]:
    if n_imaginary == 0:
        return []
    worst = ", ".join(f"{-each:.1f}i" for each in wavenumbers[:n_imaginary][:5])
    meaning = (
        "this is a saddle point, as between two minima"
        if n_imaginary == 1
        else "this is neither a minimum nor a simple saddle point"
    )
    return [
        f"{n_imaginary} of {len(wavenumbers)} modes are imaginary ({worst} cm⁻¹): along them the "
        f"energy falls, so {meaning}. For a minimum move the atoms along such a mode and relax"
    ]
