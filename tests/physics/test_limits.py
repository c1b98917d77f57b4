"""Where the answer is known without a network."""

import numpy as np
import pytest
from ase import Atoms

from tests.conftest import CUTOFF, ELEMENTS
from tests.tolerances import EXACT, TIGHT


def energy_of(calc, atoms):
    atoms.calc = calc
    return atoms.get_potential_energy()


@pytest.mark.parametrize("element", ELEMENTS)
def test_a_lone_atom_costs_the_same_everywhere_and_feels_nothing(calc, element):
    alone = Atoms(element)
    boxed = Atoms(element, [(1, 2, 3)], cell=(12, 13, 14), pbc=True)
    assert energy_of(calc, boxed) == pytest.approx(energy_of(calc, alone), abs=EXACT)
    assert not alone.get_forces().any()
    assert not boxed.get_stress().any()


@pytest.mark.parametrize("element", ELEMENTS)
def test_two_atoms_at_the_cutoff_or_beyond_are_two_lone_atoms(calc, element):
    lone = energy_of(calc, Atoms(element))
    for distance in (CUTOFF, CUTOFF + 1e-9, CUTOFF + 1):
        pair = Atoms([element] * 2, [(0, 0, 0), (distance, 0, 0)])
        assert energy_of(calc, pair) == pytest.approx(2 * lone, abs=TIGHT)
        np.testing.assert_allclose(pair.get_forces(), 0, atol=TIGHT)


@pytest.mark.parametrize("element", ELEMENTS)
def test_two_atoms_too_close_repel_the_more_the_closer(calc, element):
    pushes, energies = [], []
    for distance in (0.9, 0.6, 0.3, 0.11):
        pair = Atoms([element] * 2, [(0, 0, 0), (distance, 0, 0)])
        energies.append(energy_of(calc, pair))
        pushes.append(pair.get_forces()[1, 0])
    assert (np.diff(energies) > 0).all()
    assert pushes[0] > 0
    assert (np.diff(pushes) > 0).all()
