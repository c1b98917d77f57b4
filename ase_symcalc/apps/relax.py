"""Relax positions, and the cell, with any ASE calculator."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.io.trajectory import Trajectory
from ase.optimize import BFGS, FIRE, LBFGS
from ase.optimize.optimize import Optimizer
from jaxtyping import Bool, Float64
from spglib import get_spacegroup

from ase_symcalc.apps.cell_filter import CellFilter
from ase_symcalc.errors import InputError, NumericalError
from ase_symcalc.units import EV_PER_CUBIC_ANGSTROM_IN_GPA

OPTIMISERS = {"BFGS": BFGS, "LBFGS": LBFGS, "FIRE": FIRE}

MOST_ATOMS_FOR_BFGS = 300  # diagonalising its Hessian takes 0.1 s then, five times as long for 500

SYMPREC = 1e-2
"""Å; forces of 0.01 eV/Å leave atoms some 1e-3 Å from where symmetry wants them."""

_VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True, slots=True)
class Lattice:
    """The cell of a structure, and its symmetry."""

    lengths: Float64[np.ndarray, "3"]
    """Å"""
    angles: Float64[np.ndarray, "3"]
    """degrees"""
    volume: float
    """Å³"""
    space_group: str | None
    """International symbol and number within `SYMPREC`; None unless periodic in 3D."""


@dataclass(frozen=True, slots=True)
class RelaxStep:
    """One row of the log."""

    step: int
    energy: float
    """eV"""
    fmax: float
    """eV/Å, the largest force on an atom, constraints applied"""
    max_stress: float | None
    """GPa, the largest stress component along periodic directions; None if not computed"""


@dataclass(frozen=True, slots=True)
class RelaxResult:
    """A relaxed structure, and the way there. The first entry of each list is the start."""

    atoms: Atoms
    """The last structure, with the caller's calculator attached."""
    converged: bool
    steps: int
    target_fmax: float
    """eV/Å"""
    energies: Float64[np.ndarray, "n_images"]
    """eV"""
    fmax: Float64[np.ndarray, "n_images"]
    """eV/Å"""
    max_stress: Float64[np.ndarray, "n_images"] | None
    """GPa; None if the calculator did not compute it"""
    initial: Lattice | None
    """None for a structure without a full cell"""
    final: Lattice | None

    def __repr__(self) -> str:
        words = [
            self.atoms.get_chemical_formula(),
            f"{'' if self.converged else 'not '}converged in {self.steps} steps",
            f"energy {self.energies[-1]:.6f} eV",
            f"largest force {self.fmax[-1]:.5f} eV/Å",
        ]
        if self.final is not None:
            words.append(f"volume {self.final.volume:.3f} Å³")
            words.append(f"space group {self.final.space_group}")
        return f"RelaxResult({', '.join(words)})"


def relax(
    atoms: Atoms,
    *,
    fmax: float = 0.01,
    cell: bool = True,
    max_steps: int = 500,
    optimizer: str = "auto",
    trajectory: str | Path | None = None,
    on_step: Callable[[RelaxStep], None] | None = None,
) -> RelaxResult:
    """Move atoms, and the cell, downhill until forces and stress vanish.

    Parameters
    ----------
    atoms : Atoms
        With a calculator attached, any one. Not changed; its constraints are respected.
    fmax : float, eV/Å
        Converged when no force exceeds it and, with the cell, no stress component times the
        volume per atom (eV) does either: 0.01 is about 0.1 GPa in a metal.
    cell : bool
        Relax the cell too, along the periodic directions only.
    max_steps : int
        Steps before giving up.
    optimizer : {"auto", "BFGS", "LBFGS", "FIRE"}
        BFGS takes few steps and leaves saddles, at a cost that grows with the cube of the
        number of atoms. LBFGS costs little and takes the same steps near a minimum, but can
        walk to and fro far from one. FIRE takes about twice as many and forgives a rough
        landscape. "auto" is BFGS up to 300 atoms, then LBFGS.
    trajectory : path, optional
        An ASE trajectory with every step. Nothing is written before the calculator has
        answered once.
    on_step : callable, optional
        Receives a `RelaxStep` after every step, the start included.

    Returns
    -------
    RelaxResult

    Raises
    ------
    InputError
        For a structure without atoms or calculator, an argument out of range, a cell whose
        periodic directions cannot be strained alone, or a calculator without stress when
        the cell is to relax.
    NumericalError
        If the calculator returns an energy or a force that is not a number.

    Notes
    -----
    Cell and positions move together in `ase.filters.FrechetCellFilter`, the cell scaled by
    the square root of the number of atoms. The energy's curvature in strain is the volume
    times an elastic constant, so this scale makes it comparable to that of an atom for any
    size: from strained and shaken EMT metals of 4 to 500 atoms (L)BFGS needs 2 to 6 times
    fewer steps than with ASE's default, the number of atoms.
    """
    _check(atoms, fmax, max_steps, optimizer)
    moving = atoms.copy()
    moving.calc = atoms.calc
    strained = strainable(moving) if cell and moving.pbc.any() else None
    target = moving if strained is None else _cell_filter(moving, strained)
    steps: list[RelaxStep] = []
    converged = False
    with ExitStack() as files:
        images = None
        # fmax=0: the optimiser's own test depends on the scale of the cell, so ours decides
        for _ in _optimiser(optimizer, target, len(atoms)).irun(0.0, max_steps):
            steps.append(_measure(moving, len(steps), strained))
            if trajectory is not None:
                images = images or files.enter_context(Trajectory(str(trajectory), "w"))
                images.write(moving)
            if on_step is not None:
                on_step(steps[-1])
            converged = _is_converged(moving, steps[-1], fmax, strained is not None)
            if converged:
                break
    return RelaxResult(
        atoms=moving,
        converged=converged,
        steps=len(steps) - 1,
        target_fmax=fmax,
        energies=np.array([step.energy for step in steps]),
        fmax=np.array([step.fmax for step in steps]),
        max_stress=_column(steps),
        initial=_lattice(atoms),
        final=_lattice(moving),
    )


def space_group(atoms: Atoms) -> str | None:
    """International symbol and number within `SYMPREC`; None unless periodic in 3D."""
    if atoms.cell.rank < 3 or not atoms.pbc.all():
        return None
    crystal = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    return get_spacegroup(crystal, symprec=SYMPREC)


def check_target(fmax: float, max_steps: int) -> None:
    """Refuse a largest force (eV/Å) or a number of steps without meaning.

    Raises
    ------
    InputError
    """
    if not 0 < fmax < math.inf:
        raise InputError(
            f"expected fmax above 0 eV/Å and finite, got {fmax}; 0.01 is a common choice"
        )
    if max_steps < 0:
        raise InputError(f"expected max_steps of 0 or more, got {max_steps}")


def _check(atoms: Atoms, fmax: float, max_steps: int, optimizer: str) -> None:
    if len(atoms) == 0:
        raise InputError("expected a structure with at least one atom to relax, got none")
    if atoms.calc is None:
        raise InputError(
            "the structure has no calculator; attach one first: atoms.calc = SymCalc()"
        )
    check_target(fmax, max_steps)
    if optimizer not in ("auto", *OPTIMISERS):
        known = ", ".join(["auto", *OPTIMISERS])
        raise InputError(f"there is no optimizer {optimizer!r}; choose one of {known}")


def _optimiser(name: str, target: Any, n_atoms: int) -> Optimizer:
    if name == "auto":
        name = "BFGS" if n_atoms <= MOST_ATOMS_FOR_BFGS else "LBFGS"
    return OPTIMISERS[name](target, logfile=None)


def strainable(atoms: Atoms) -> Bool[np.ndarray, "3"]:
    """Cartesian axes along which the cell may change: those that repeat.

    Raises
    ------
    InputError
        If the cell has no volume, or what repeats lies along no Cartesian axes or planes.
    """
    if atoms.cell.rank < 3:
        raise InputError(
            "relaxing the cell needs a volume, but a cell vector has zero length or lies in the "
            "plane of the others; give the non-periodic directions a vacuum, or keep the cell "
            "fixed (cell=False, --no-cell)"
        )
    along = np.linalg.qr(atoms.cell.array[atoms.pbc].T)[0]
    projector = along @ along.T  # onto the span of the periodic vectors
    axes = np.diag(projector) > 0.5
    if not np.allclose(projector, np.diag(axes), atol=1e-6):
        raise InputError(
            "relaxing the cell of a structure that repeats in one or two directions needs those "
            "vectors along Cartesian axes or planes (a slab in the xy plane, say); rotate the "
            "structure, or keep the cell fixed (cell=False, --no-cell)"
        )
    return axes


def _cell_filter(atoms: Atoms, strained: np.ndarray) -> CellFilter:
    try:
        atoms.get_stress()
    except PropertyNotImplementedError as error:
        raise InputError(
            "relaxing the cell needs the stress, which this calculator does not compute for "
            f"this structure ({error}); keep the cell fixed (cell=False, --no-cell)"
        ) from error
    mask = [bool(strained[i] and strained[j]) for i, j in _VOIGT]
    return CellFilter(atoms, mask=mask, exp_cell_factor=float(np.sqrt(len(atoms))))


def _measure(atoms: Atoms, step: int, strained: np.ndarray | None) -> RelaxStep:
    energy = float(atoms.get_potential_energy())
    fmax = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
    if not np.isfinite([energy, fmax]).all():
        raise NumericalError(
            f"step {step} of the relaxation gave an energy of {energy} eV and a largest force of "
            f"{fmax} eV/Å; look at the structure of the step before, and start closer to a minimum"
        )
    return RelaxStep(step, energy, fmax, _max_stress(atoms, strained))


def _max_stress(atoms: Atoms, strained: np.ndarray | None) -> float | None:
    if strained is not None:
        stress: Any = atoms.get_stress(voigt=False)[np.ix_(strained, strained)]
    else:  # not needed: shown only if the calculator has it already
        stress = getattr(atoms.calc, "results", {}).get("stress")
    if stress is None:
        return None
    return float(np.abs(stress).max()) * EV_PER_CUBIC_ANGSTROM_IN_GPA


def _is_converged(atoms: Atoms, step: RelaxStep, fmax: float, cell: bool) -> bool:
    if not cell or step.max_stress is None:
        return step.fmax < fmax
    volume = atoms.get_volume() / len(atoms)
    return bool(max(step.fmax, step.max_stress / EV_PER_CUBIC_ANGSTROM_IN_GPA * volume) < fmax)


def _column(steps: list[RelaxStep]) -> np.ndarray | None:
    stresses = [step.max_stress for step in steps if step.max_stress is not None]
    return np.array(stresses) if len(stresses) == len(steps) else None


def _lattice(atoms: Atoms) -> Lattice | None:
    if atoms.cell.rank < 3:
        return None
    lengths, angles = np.split(atoms.cell.cellpar(), 2)
    return Lattice(lengths, angles, float(atoms.get_volume()), space_group(atoms))
