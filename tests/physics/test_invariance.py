"""What may be done to a structure without changing anything of substance."""

import numpy as np
import pytest

from ase_symcalc import SymCalc
from ase_symcalc.testing import assert_invariant
from tests.tolerances import SINGLE, TIGHT
from tests.zoo import NAMES, zoo


@pytest.mark.parametrize("name", NAMES)
def test_turning_mirroring_moving_and_renumbering_changes_nothing(calc, name):
    assert_invariant(calc, zoo()[name], tolerance=TIGHT)


def test_other_vectors_of_the_same_lattice_change_nothing(calc):
    atoms = zoo()["si_outside_the_cell"]
    other = atoms.copy()
    other.set_cell(np.array([[1, 0, 0], [2, 1, 0], [-1, 3, 1]]) @ atoms.cell.array)
    atoms.calc = other.calc = calc
    energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    assert other.get_potential_energy() == pytest.approx(energy, abs=TIGHT * len(atoms))
    np.testing.assert_allclose(other.get_forces(), forces, atol=TIGHT)
    np.testing.assert_allclose(other.get_stress(), stress, atol=TIGHT)


def test_swapping_the_handedness_of_the_cell_changes_nothing(calc):
    atoms = zoo()["li_sheared"]
    other = atoms.copy()
    other.set_cell(atoms.cell.array[[1, 0, 2]])
    atoms.calc = other.calc = calc
    energy, stress = atoms.get_potential_energy(), atoms.get_stress()
    assert other.get_potential_energy() == pytest.approx(energy, abs=TIGHT * len(atoms))
    np.testing.assert_allclose(other.get_stress(), stress, atol=TIGHT)


def test_float32_keeps_its_digits_far_from_the_origin_and_outside_the_cell(potential_folder):
    calc = SymCalc(potential_folder, dtype="float32")
    cluster, crystal = zoo()["si_cluster"], zoo()["ge_rattled_supercell"]
    for atoms, vector in ((cluster, (1e4, -2e4, 3e4)), (crystal, 1e5 * crystal.cell.array[0])):
        moved = atoms.copy()
        moved.positions += vector
        atoms.calc = moved.calc = calc
        forces = atoms.get_forces()
        np.testing.assert_allclose(moved.get_forces(), forces, atol=SINGLE["forces"])
