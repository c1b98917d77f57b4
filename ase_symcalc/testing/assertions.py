"""What every good potential passes, as checks that anyone can run on theirs.

Each takes an ASE calculator (ours or another) and a structure, which it leaves as it is, and
raises AssertionError with the numbers that differ.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_forces, calculate_numerical_stress

from ase_symcalc.calculator import SymCalc
from ase_symcalc.evaluation import PotentialLike, evaluate
from ase_symcalc.symmetry import find_operations

FAR = 1000.0  # Å, more than any interaction reaches
EXACT = 1e-7  # Å, within which symmetry is not told from exact


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
    calc: BaseCalculator,
    atoms: Atoms,
    *,
    steps: Sequence[float] = (1e-3, 1e-4, 1e-5, 1e-6),
    tolerance: float = 1e-6,
) -> None:
    """Check that the derivative of the forces is symmetric, and blind to translations.

    It is taken by central differences of several steps, and the best must do: from long to
    short, what they are off falls with the square of the step, then rounding makes it grow
    again. For forces that are no gradient it stays where it is. A Hessian that the calculator
    itself gives must be that derivative, and exactly symmetric.

    Parameters
    ----------
    calc : ASE calculator
    atoms : Atoms
        Costs six evaluations of the forces per atom and step, of those needed.
    steps : sequence of float, Å
    tolerance : float
        Relative to the largest component, or to 0.01 eV/Å². The symmetry and the sum over atoms
        of the calculator's own must be right to a ten-thousandth of it.
    """
    own = calc.get_hessian(atoms) if hasattr(calc, "get_hessian") else None
    off = {}
    for step in steps:
        numerical = _numerical_hessian(calc, atoms, step)
        scale = max(0.01, np.abs(numerical).max())
        parts = [
            numerical - numerical.transpose(2, 3, 0, 1),
            numerical.sum(axis=2),
            *([] if own is None else [numerical - own]),
        ]
        off[step] = max(float(np.abs(part).max()) for part in parts) / scale
        if off[step] <= tolerance:
            break
    else:
        told = ", ".join(f"{value:.1e} with {step:g} Å" for step, value in off.items())
        raise AssertionError(
            f"hessian: expected differences of the forces to be symmetric, blind to translations "
            f"and the calculator's own Hessian within {tolerance:.1e}, relatively; got {told}"
        )
    if own is not None:
        rounding = 1e-4 * tolerance * scale
        _assert_close("hessian", own, own.transpose(2, 3, 0, 1), rounding)
        _assert_close("sum of the hessian", own.sum(axis=0), 0.0, rounding * len(atoms))


def assert_symmetry_exact(
    calc: BaseCalculator, atoms: Atoms, *, mirror: bool = True, tolerance: float = 1e-8
) -> None:
    """Check that every operation of the structure's space group leaves the results as they are.

    Forces on images of each other must be images, and the stress its own. Whatever a `SymCalc`
    saves by the symmetry must leave what it gives without.

    Parameters
    ----------
    calc : ASE calculator
    atoms : Atoms
        The operations are those that hold within 1e-7 Å.
    mirror : bool
        As for `assert_invariant`.
    tolerance : float
        eV/atom, eV/Å and eV/Å³.
    """
    own = _free_copy(calc, atoms)
    energy, forces, stress = own.get_potential_energy(), own.get_forces(), _stress(own, voigt=False)
    found = find_operations(
        atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers, EXACT, proper=not mirror
    )
    if found is not None:
        firsts, order = np.unique(found.primitive, return_inverse=True)
        _assert_close("forces a translation apart", forces, forces[firsts][order], tolerance)
        for rotation, images in zip(found.rotations, found.images, strict=True):
            turned = forces[firsts] @ rotation.T
            _assert_close("forces of images", forces[images], turned, tolerance)
            if stress is not None:
                _assert_close("stress", stress, rotation @ stress @ rotation.T, tolerance)
    if isinstance(calc, SymCalc):
        full = _free_copy(_without_symmetry(calc), atoms)
        excess = (energy - full.get_potential_energy()) / len(atoms)
        _assert_close("energy, without use of symmetry", excess, 0.0, tolerance)
        _assert_close("forces, without use of symmetry", forces, full.get_forces(), tolerance)
        if stress is not None:
            whole = full.get_stress(voigt=False)
            _assert_close("stress, without use of symmetry", stress, whole, tolerance)


def _without_symmetry(calc: SymCalc) -> SymCalc:
    twin = copy.deepcopy(calc)
    twin.set(symmetry="off")
    return twin


def _numerical_hessian(calc: BaseCalculator, atoms: Atoms, step: float) -> np.ndarray:
    moved = _free_copy(calc, atoms)
    hessian = np.empty((len(atoms), 3, len(atoms), 3))
    for atom, axis in np.ndindex(len(atoms), 3):
        sides = []
        for displacement in (-step, step):
            moved.positions = atoms.positions
            moved.positions[atom, axis] += displacement
            sides.append(moved.get_forces())
        hessian[:, :, atom, axis] = (sides[0] - sides[1]) / (2 * step)
    return hessian


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
