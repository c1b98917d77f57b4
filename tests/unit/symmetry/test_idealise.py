"""Structures with few digits get back the symmetry that was meant."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.constraints import FixAtoms
from ase.io import read, write
from ase.spacegroup import crystal

from ase_symcalc import SymCalc
from ase_symcalc.errors import InputError
from ase_symcalc.symmetry import idealise
from ase_symcalc.symmetry.orbits import find_symmetry
from tests import symmetry_zoo

TIGHT = 1e-7


def hcp(**kwargs):
    sites = [(1 / 3, 2 / 3, 1 / 4), (2 / 3, 1 / 3, 3 / 4)]
    cell = [3.209, 3.209, 5.211, 90, 90, 120]
    return Atoms("Ni2", scaled_positions=sites, cell=cell, pbc=True, **kwargs)


def quartz():
    sites = [(0.4697, 0, 1 / 3), (0.4135, 0.2669, 0.2858)]
    return crystal(["Si", "Li"], sites, spacegroup=152, cellpar=[4.916, 4.916, 5.4054, 90, 90, 120])


def with_digits(atoms, coordinates=4, cell=4):
    few = atoms.copy()
    few.cell[:] = np.round(atoms.cell.array, cell)
    few.set_scaled_positions(np.round(atoms.get_scaled_positions(wrap=False), coordinates))
    return few


def counts(atoms):
    """Orbits and operations, exact ones."""
    found = find_symmetry(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers, TIGHT)
    return (found.n_orbits, found.n_operations) if found else None


@pytest.mark.parametrize(
    "number", [2, 5, 14, 31, 43, 62, 88, 110, 122, 148, 155, 166, 178, 205, 227]
)
def test_crystals_get_back_all_operations(number):
    rng = np.random.default_rng(number)
    atoms = symmetry_zoo.of_group(number) * (1, 1, 2)
    atoms.rotate(33, (1, 2, 3), rotate_cell=True)
    atoms.positions += rng.uniform(-9, 9, 3)
    few = with_digits(atoms)
    ideal = idealise(few, 5e-3)
    assert ideal.space_group.endswith(f"({number})")
    assert counts(ideal.atoms) == counts(atoms) != counts(few)
    assert ideal.atoms_moved < 5e-3
    np.testing.assert_allclose(ideal.atoms.positions, few.positions, rtol=0, atol=1e-2)
    np.testing.assert_array_equal(ideal.atoms.numbers, few.numbers)


def test_a_supercell_that_is_not_as_symmetric_as_its_crystal():
    """The crystal is cubic, and stays so to the last digit."""
    few = with_digits(bulk("Si", cubic=True) * (1, 1, 3))
    ideal = idealise(few, 5e-3)
    assert ideal.space_group == "Fd-3m (227)"
    assert counts(ideal.atoms * (3, 3, 1)) == (1, 9 * 3 * 192)


def test_thirds_are_thirds_and_zero_is_zero():
    ideal = idealise(with_digits(hcp(), cell=9), 1e-3)
    assert ideal.space_group == "P6_3/mmc (194)"
    sites = [(1 / 3, 2 / 3, 1 / 4), (2 / 3, 1 / 3, 3 / 4)]
    np.testing.assert_allclose(ideal.atoms.get_scaled_positions(), sites, rtol=0, atol=1e-15)
    assert ideal.atoms_moved == pytest.approx(np.linalg.norm(3.3e-5 * 3.209 * np.sqrt(3)), rel=0.02)
    assert ideal.cell_moved < 1e-8
    assert (ideal.free_strains, ideal.free_coordinates) == (2, 0)
    few = with_digits(quartz())
    ideal = idealise(few, 1e-3)
    assert ideal.space_group == "P3_121 (152)"
    assert (ideal.free_strains, ideal.free_coordinates) == (2, 4)
    zeros = few.get_scaled_positions() == 0
    assert zeros.any()
    assert abs(ideal.atoms.get_scaled_positions(wrap=False)[zeros]).max() < 1e-15


@pytest.mark.parametrize("make", [hcp, quartz])
def test_reduced_evaluation_follows_a_file_with_few_digits(potential, tmp_path, make):
    few = with_digits(make(), coordinates=4)
    write(tmp_path / "few.extxyz", few)
    few = read(tmp_path / "few.extxyz")
    ideal = idealise(few, 1e-3).atoms
    before, calc = SymCalc(potential), SymCalc(potential)
    before.get_potential_energy(few)
    energy = calc.get_potential_energy(ideal)
    assert (calc.evaluation.n_orbits, calc.evaluation.n_operations) == counts(make())
    assert before.evaluation.n_operations < calc.evaluation.n_operations
    assert energy == pytest.approx(SymCalc(potential, symmetry="off").get_potential_energy(ideal))


def test_what_is_ideal_stays_and_nothing_else_is_lost():
    atoms = hcp(constraint=FixAtoms([0]), info={"name": "nickel"})
    before = atoms.copy()
    atoms.positions += atoms.cell.array[0] * 3  # far from the cell
    ideal = idealise(atoms, 1e-3)
    np.testing.assert_allclose(ideal.atoms.positions, atoms.positions, rtol=0, atol=1e-13)
    np.testing.assert_array_equal(ideal.atoms.cell.array, before.cell.array)
    assert ideal.atoms.info == {"name": "nickel"}
    assert len(ideal.atoms.constraints) == 1
    assert ideal.atoms is not atoms


def test_a_crystal_without_symmetry_is_left_alone():
    atoms = symmetry_zoo.of_group(1)
    ideal = idealise(atoms, 1e-3)
    assert ideal.space_group == "P1 (1)"
    assert ideal.atoms_moved < 1e-13
    assert ideal.free_strains == 6
    assert ideal.free_coordinates == 3 * len(atoms)


@pytest.mark.parametrize("tolerance", [0.0, -1e-3, float("nan"), 0.11, float("inf")])
def test_a_tolerance_without_meaning_is_refused(tolerance):
    with pytest.raises(InputError, match=r"expected a tolerance above 0 and up to 0\.1 Å, got"):
        idealise(hcp(), tolerance)


def test_what_is_no_crystal_is_refused():
    with pytest.raises(InputError, match="repeat along all three directions"):
        idealise(fcc111("Ni", (1, 1, 3), vacuum=7), 1e-3)
    close = Atoms("Ni2", [(0, 0, 0), (0, 0, 1e-4)], cell=[3, 3, 3], pbc=True)
    with pytest.raises(InputError, match=r"no space group was found|told apart"):
        idealise(close, 1e-2)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(wrong):
    atoms = bulk("Si", cubic=True)
    atoms.positions[0] = wrong
    with pytest.raises(InputError, match="finite"):
        idealise(atoms, 1e-3)
    atoms = bulk("Si", cubic=True)
    atoms.cell[2, 2] = wrong
    with pytest.raises(InputError, match="finite"):
        idealise(atoms, 1e-3)


def test_a_flat_cell_is_refused():
    flat = Atoms("Si", cell=[[1, 0, 0], [0, 1, 0], [1, 1, 0]], pbc=True)
    with pytest.raises(InputError, match="independent"):
        idealise(flat, 1e-3)
