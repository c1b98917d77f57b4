"""Force constants of a crystal from displacements that symmetry leaves, through phonopy."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from jaxtyping import Float64, Int
from spglib import get_symmetry_dataset

from ase_symcalc.apps.crystal import AT_MINIMUM
from ase_symcalc.apps.relax import SYMPREC
from ase_symcalc.apps.supercell import choose_supercell, determinant, keeps_symmetry
from ase_symcalc.errors import InputError, NumericalError

if TYPE_CHECKING:
    from phonopy.structure.atoms import PhonopyAtoms

Supercell = Sequence[int] | Int[np.ndarray, "3 3"]

MIN_LENGTH = 12.0
"""Å; with 16 Å the corners of the zones of Si, Cu and MgO move by at most 0.27 THz."""

PHONOPY_SYMPREC = 1e-5
"""Å"""


@dataclass(frozen=True, slots=True)
class ForcesStep:
    """One supercell is done."""

    done: int
    total: int
    n_atoms: int
    key: str
    """Names the supercell by its content; the key of `forces` in ``known``"""
    forces: Float64[np.ndarray, "n_atoms 3"] = field(repr=False)
    """eV/Å"""


@dataclass(frozen=True, slots=True)
class HarmonicCrystal:
    """A crystal whose force constants are known."""

    phonopy: Any
    """`phonopy.Phonopy` with forces and force constants, for anything phonopy can do"""
    n_displacements: int
    residual_force: float
    """eV/Å, the largest one before any displacement"""
    warnings: tuple[str, ...]


def force_constants(
    atoms: Atoms,
    *,
    supercell: Supercell | None = None,
    min_length: float = MIN_LENGTH,
    displacement: float = 0.01,
    known: Mapping[str, np.ndarray] | None = None,
    on_step: Callable[[ForcesStep], None] | None = None,
) -> HarmonicCrystal:
    """Displace one atom at a time and fit the harmonic model.

    Parameters
    ----------
    atoms : Atoms
        A crystal at a minimum of the energy, with any calculator. Not changed; constraints
        are not looked at.
    supercell : three whole numbers, or a 3 by 3 matrix of them, optional
        Multiples of the cell of ``atoms``; columns of a matrix are the vectors of the supercell
        in those of the cell. If left out, `supercell.choose_supercell` decides.
    min_length : float, Å
        How far an atom is at least from its own images in a supercell that is chosen here.
    displacement : float, Å
    known : dict, optional
        Forces of supercells that were done before, by `ForcesStep.key`.
    on_step : callable, optional
        Receives a `ForcesStep` after every supercell, the undisplaced one first.

    Raises
    ------
    InputError
        For a structure that is no crystal, is not at a minimum or has isotopes, for an
        argument out of range, or if phonopy is not installed.
    NumericalError
        If the calculator returns a force that is not a number.

    Notes
    -----
    Displacements are those symmetry leaves, in both directions where they differ (phonopy,
    Togo et al., J. Phys.: Condens. Matter 35, 353001 (2023)). The forces of the undisplaced
    supercell are subtracted. Force constants obey the acoustic sum rule and are symmetric.
    """
    _check(atoms, supercell, min_length, displacement)
    dataset = symmetry_of(atoms)
    phonopy = _phonopy(atoms, supercell, min_length, dataset)
    phonopy.generate_displacements(distance=displacement)
    cells = [phonopy.supercell, *phonopy.supercells_with_displacements]
    forces = []
    for cell in cells:
        key, found = _forces(cell, atoms.calc, known or {})
        forces.append(found)
        if len(forces) == 1:
            _refuse_slope(found)
        if on_step is not None:
            on_step(ForcesStep(len(forces), len(cells), len(found), key, found))
    phonopy.forces = np.array(forces[1:]) - forces[0]
    phonopy.produce_force_constants()
    phonopy.symmetrize_force_constants()
    return HarmonicCrystal(
        phonopy=phonopy,
        n_displacements=len(cells) - 1,
        residual_force=_largest(forces[0]),
        warnings=tuple(_about_symmetry(atoms, dataset, phonopy)),
    )


def symmetry_of(atoms: Atoms, symprec: float = PHONOPY_SYMPREC) -> Any:
    """Return spglib's description of a crystal, a `spglib.SpglibDataset`.

    Raises
    ------
    InputError
        If spglib cannot make sense of it.
    """
    crystal = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    dataset = get_symmetry_dataset(crystal, symprec=symprec)
    if dataset is None:
        raise InputError(
            "spglib finds no space group for this structure; check that no two atoms are in the "
            "same place"
        )
    return dataset


def as_atoms(cell: PhonopyAtoms) -> Atoms:
    """Turn phonopy's structure into ASE's."""
    return Atoms(
        numbers=cell.numbers,
        cell=cell.cell,
        scaled_positions=cell.scaled_positions,
        masses=cell.masses,
        pbc=True,
    )


def _check(
    atoms: Atoms, supercell: Supercell | None, min_length: float, displacement: float
) -> None:
    if len(atoms) == 0:
        raise InputError("expected a crystal with at least one atom, got none")
    if atoms.calc is None:
        raise InputError(
            "the structure has no calculator; attach one first: atoms.calc = SymCalc()"
        )
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        raise InputError(
            "phonons need a crystal that repeats along all three directions; got pbc "
            f"{atoms.pbc.tolist()}. For a molecule there is `vibrations`; for a slab, set pbc True "
            "and keep the vacuum, with a supercell of 1 along it"
        )
    if supercell is not None and not _is_supercell(np.array(supercell)):
        raise InputError(
            "expected a supercell of three whole numbers from 1, or a matrix of 3 by 3 whole "
            f"numbers with a determinant from 1; got {np.array(supercell).tolist()}"
        )
    for name, value in (("min_length", min_length), ("displacement", displacement)):
        if not 0 < value < np.inf:
            raise InputError(f"expected {name} above 0 and finite, got {value}")
    masses = atoms.get_masses()
    for symbol in sorted(set(atoms.symbols)):
        if np.ptp(masses[atoms.symbols == symbol]) > 0:
            raise InputError(
                f"the {symbol} atoms have different masses, but symmetry maps them onto each "
                "other; give all of them one mass, the natural mean for a mixture of isotopes"
            )


def _is_supercell(matrix: np.ndarray) -> bool:
    if matrix.dtype.kind != "i" or matrix.shape not in ((3,), (3, 3)):
        return False
    return bool((matrix >= 1).all() if matrix.ndim == 1 else np.linalg.det(matrix) > 0.5)


def _phonopy(atoms: Atoms, supercell: Supercell | None, min_length: float, dataset: Any) -> Any:
    try:
        from phonopy import Phonopy
        from phonopy.structure.atoms import PhonopyAtoms
        from phonopy.structure.cells import guess_primitive_matrix
    except ImportError as error:
        raise InputError(
            "phonons are computed with phonopy, which is not installed; "
            "`pip install 'ase-symcalc[phonons]'` brings it"
        ) from error
    unit_cell = PhonopyAtoms(
        numbers=atoms.numbers,
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
        masses=atoms.get_masses(),
    )
    primitive = guess_primitive_matrix(unit_cell, symprec=PHONOPY_SYMPREC)
    matrix = (
        choose_supercell(atoms.cell.array, dataset, primitive, float(min_length))
        if supercell is None
        else np.array(supercell)
    )
    with warnings.catch_warnings():  # `_about_symmetry` says it, and what to do
        warnings.filterwarnings("ignore", "Warning: Point group symmetries")
        return Phonopy(
            unit_cell,
            supercell_matrix=matrix,
            primitive_matrix=primitive,
            symprec=PHONOPY_SYMPREC,
        )


def _forces(
    cell: PhonopyAtoms, calculator: Any, known: Mapping[str, np.ndarray]
) -> tuple[str, np.ndarray]:
    atoms = as_atoms(cell)
    content = (atoms.numbers.tobytes(), atoms.cell.array.tobytes(), atoms.positions.tobytes())
    key = hashlib.sha256(b"".join(content)).hexdigest()
    if key in known:
        return key, np.asarray(known[key], dtype=float)
    atoms.calc = calculator
    forces = np.asarray(atoms.get_forces(), dtype=float)
    if not np.isfinite(forces).all():
        raise NumericalError(
            "the calculator returned a force that is not a number for a supercell of "
            f"{len(atoms)} atoms; check that it can compute the crystal itself"
        )
    return key, forces


def _refuse_slope(forces: np.ndarray) -> None:
    """Vibrations are about a minimum; on a slope their frequencies mean nothing."""
    if (largest := _largest(forces)) > AT_MINIMUM:
        raise InputError(
            f"the structure is not at a minimum of the energy: the largest force is {largest:.3f} "
            f"eV/Å, expected at most {AT_MINIMUM:g}. Relax it first (--relax, or "
            "ase_symcalc.apps.relax)"
        )


def _largest(forces: np.ndarray) -> float:
    return float(np.linalg.norm(forces, axis=1).max())


def _about_symmetry(atoms: Atoms, dataset: Any, phonopy: Any) -> list[str]:
    said = []
    coarse = symmetry_of(atoms, SYMPREC)
    if coarse.number != dataset.number:
        said.append(
            f"the crystal has {coarse.international} ({coarse.number}) within {SYMPREC:g} Å but "
            f"only {dataset.international} ({dataset.number}) within {PHONOPY_SYMPREC:g} Å, which "
            "was used: bands that should touch may be split. Make its symmetry exact first, with "
            "--symprec or symmetry.idealise"
        )
    matrix = phonopy.supercell_matrix
    if not keeps_symmetry(matrix, dataset.rotations):
        said.append(
            f"the supercell, {determinant(matrix)} times the cell, does not have the symmetry of "
            "the crystal, so neither have its phonons; choose another with --supercell"
        )
    return said
