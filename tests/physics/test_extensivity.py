"""Twice the matter, twice the energy."""

import numpy as np
import pytest

from ase_symcalc.testing import assert_extensive
from tests.tolerances import TIGHT
from tests.zoo import NAMES, zoo


@pytest.mark.parametrize("name", NAMES)
def test_supercells_and_far_copies_cost_as_many_times_the_energy(calc, name):
    assert_extensive(calc, zoo()[name], tolerance=TIGHT)


def test_atoms_of_a_perfect_crystal_have_equal_energies(calc):
    atoms = zoo()["cu_fcc_one_atom"] * (3, 2, 2)
    atoms.calc = calc
    energies = atoms.get_potential_energies()
    np.testing.assert_allclose(energies, energies[0], atol=TIGHT)
    np.testing.assert_allclose(atoms.get_forces(), 0, atol=TIGHT)


def test_stress_of_a_supercell_is_that_of_its_cell(calc):
    atoms = zoo()["li_sheared"]
    double = atoms * (1, 1, 2)
    atoms.calc = double.calc = calc
    stress = atoms.get_stress()
    np.testing.assert_allclose(double.get_stress(), stress, atol=TIGHT)
