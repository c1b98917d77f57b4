"""What every good potential passes, as checks that anyone can run on theirs.

Each takes an ASE calculator (ours or another) and a structure, which it leaves as it is, and
raises AssertionError with the numbers that differ.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from ase_symcalc.calculator import SymCalc
from ase_symcalc.evaluation import PotentialLike, evaluate

FAR = 1000.0  # Å, more than any interaction reaches


def assert_forces_are_gradients(
    calc: BaseCalculator, atoms: Atoms, *, step: float = 2e-5, tolerance: float = 1e-6
) -> None:
    """Check that forces, and stress where there is a volume, are derivatives of the energy.

    Parameters
    ----------
    calc : ASE calculator
    atoms : Atoms
        Its constraints are not looked at. Costs six energies per atom.
    step : float
        Of the central differences: Å for positions, none for strains.
    tolerance : float
        Relative to the largest component; below 0.01 eV/Å or 0.001 eV/Å³, to these.
    """
    ours = _free_copy(calc, atoms)
    forces, stress = ours.get_forces(), _stress(ours)
    expected = calculate_numerical_forces(ours, eps=step)
    _assert_close("forces", forces, expected, tolerance * max(0.01, np.abs(expected).max()))
    if stress is not None:
        expected = calculate_numerical_stress(ours, eps=step, force_consistent=False)
        _assert_close("stress", stress, expected, tolerance * max(0.001, np.abs(expected).max()))


def assert_invariant(
    calc: BaseCalculator,
    atoms: Atoms,
    *,
    mirror: bool = True,
    tolerance: float = 1e-10,
    seed: int = 0,
) -> None:
    """Check that turning, mirroring, moving or renumbering changes nothing of substance.

    Forces and stress must turn with the structure. Moving single atoms by cell vectors must
    change nothing at all.

    Parameters
    ----------
    calc : ASE calculator
    atoms : Atoms
    mirror : bool
        False for a potential that is not meant to be the same for mirror images.
    tolerance : float
        eV/atom, eV/Å and eV/Å³.
    seed : int
        Of the rotation, the translation and the permutation.
    """
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation *= np.linalg.det(rotation)
    nothing, order = np.eye(3), np.arange(len(atoms))
    _assert_same(calc, atoms, _turned(atoms, rotation), "rotation", rotation, order, tolerance)
    if mirror:
        turned = _turned(atoms, -rotation)
        _assert_same(calc, atoms, turned, "mirror", -rotation, order, tolerance)
    moved = atoms.copy()
    moved.positions += rng.uniform(-5, 5, 3)
    _assert_same(calc, atoms, moved, "translation", nothing, order, tolerance)
    shuffled = rng.permutation(len(atoms))
    _assert_same(calc, atoms, atoms[shuffled], "permutation", nothing, shuffled, tolerance)
    shifted = atoms.copy()
    cells = rng.integers(-2, 3, (len(atoms), 3)) * atoms.pbc
    shifted.positions += cells @ atoms.cell.array
    _assert_same(calc, atoms, shifted, "lattice shift", nothing, order, tolerance)


def assert_extensive(calc: BaseCalculator, atoms: Atoms, *, tolerance: float = 1e-10) -> None:
    """Check that two of the same have twice the energy, and the same forces each.

    The second is the next cell along each periodic direction in turn, and 1000 Å away across
    those.

    Parameters
    ----------
    calc : ASE calculator
    atoms : Atoms
    tolerance : float
        eV/atom and eV/Å.
    """
    pairs = {
        f"supercell along {axis}": atoms * tuple(1 + (np.arange(3) == axis))
        for axis in np.flatnonzero(atoms.pbc)
    }
    if not atoms.pbc.all():
        across = np.linalg.svd(atoms.cell.array[atoms.pbc])[2][-1]
        far = atoms.copy()
        far.positions += (FAR + np.ptp(atoms.positions @ across)) * across
        pairs["far copy"] = atoms + far
    one = _free_copy(calc, atoms)
    energy, forces = one.get_potential_energy(), one.get_forces()
    for name, double in pairs.items():
        both = _free_copy(calc, double)
        excess = both.get_potential_energy() - 2 * energy
        _assert_close(f"energy, {name}", excess / len(both), 0.0, tolerance)
        _assert_close(f"forces, {name}", both.get_forces(), np.vstack([forces] * 2), tolerance)


def assert_batching_agrees(
    potential: PotentialLike, structures: Sequence[Atoms], *, tolerance: float = 1e-10
) -> None:
    """Check that structures evaluated together and one by one have the same results.

    Parameters
    ----------
    potential : str, path or Potential
    structures : sequence of Atoms
    tolerance : float
        eV/atom, eV/Å and eV/Å³.
    """
    for index, (atoms, together) in enumerate(
        zip(structures, evaluate(structures, potential), strict=True)
    ):
        alone = evaluate(atoms, potential)[0]
        for name in ("atomic_energies", "forces", "stress", "stresses"):
            one, other = getattr(together, name), getattr(alone, name)
            assert (one is None) == (other is None), f"{name} of structure {index}: one is missing"
            if one is not None:
                _assert_close(f"{name} of structure {index}", one, other, tolerance)


def assert_hessian_symmetric(
    calc: SymCalc, atoms: Atoms, *, step: float = 1e-6, tolerance: float = 1e-6
) -> None:
    """Check that a Hessian is symmetric, blind to translations, and the forces' derivative.

    Parameters
    ----------
    calc : SymCalc
    atoms : Atoms
    step : float, Å
        Of the central differences of the forces.
    tolerance : float
        Of those, relative to the largest component or 0.01 eV/Å²; the symmetry and the sum
        over atoms must be right to a ten-thousandth of it.
    """
    hessian = calc.get_hessian(atoms)
    scale = max(0.01, np.abs(hessian).max())
    rounding = 1e-4 * tolerance * scale
    _assert_close("hessian", hessian, hessian.transpose(2, 3, 0, 1), rounding)
    _assert_close("sum of the hessian", hessian.sum(axis=0), 0.0, rounding * len(atoms))
    moved, numerical = _free_copy(calc, atoms), np.empty_like(hessian)
    for atom, axis in np.ndindex(len(atoms), 3):
        sides = []
        for displacement in (-step, step):
            moved.positions = atoms.positions
            moved.positions[atom, axis] += displacement
            sides.append(moved.get_forces())
        numerical[:, :, atom, axis] = (sides[0] - sides[1]) / (2 * step)
    _assert_close("hessian", hessian, numerical, tolerance * scale)


def _free_copy(calc: BaseCalculator, atoms: Atoms) -> Atoms:
    copy = atoms.copy()
    copy.set_constraint()
    copy.calc = calc
    return copy


def _stress(atoms: Atoms, voigt: bool = True) -> np.ndarray | None:
    try:
        return atoms.get_stress(voigt=voigt)
    except PropertyNotImplementedError:
        return None


def _turned(atoms: Atoms, matrix: np.ndarray) -> Atoms:
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ matrix)
    turned.positions = atoms.positions @ matrix
    return turned


def _assert_same(
    calc: BaseCalculator,
    before: Atoms,
    after: Atoms,
    name: str,
    matrix: np.ndarray,
    order: np.ndarray,
    tolerance: float,
) -> None:
    one, other = _free_copy(calc, before), _free_copy(calc, after)
    energy, forces, stress = one.get_potential_energy(), one.get_forces(), _stress(one, voigt=False)
    change = (other.get_potential_energy() - energy) / len(before)
    _assert_close(f"energy after {name}", change, 0.0, tolerance)
    _assert_close(f"forces after {name}", other.get_forces(), forces[order] @ matrix, tolerance)
    if stress is not None:
        turned = matrix.T @ stress @ matrix
        _assert_close(f"stress after {name}", _stress(other, voigt=False), turned, tolerance)


def _assert_close(
    name: str, got: np.ndarray | float | None, expected: np.ndarray | float, tolerance: float
) -> None:
    assert got is not None, f"{name}: missing"
    np.testing.assert_allclose(
        np.asarray(got), np.asarray(expected), rtol=0, atol=tolerance, err_msg=name
    )
