"""`strain_derivatives`: the stress and the forces, differentiated by strain."""

import numpy as np
import pytest
import torch

from ase_symcalc.errors import InputError
from ase_symcalc.models import ModelConfig, build_model
from ase_symcalc.response import strain_derivatives
from ase_symcalc.structures import build_graph
from tests.tolerances import DERIVATIVE
from tests.zoo import zoo

STEP = 1e-5
PLACES = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)]


def unit_strain(index):
    strain = np.zeros((3, 3))
    i, j = PLACES[index]
    strain[i, j] += 0.5
    strain[j, i] += 0.5
    return strain


def slopes(calc, atoms, strain):
    """∂E/∂e and ∂E/∂r of the strained crystal, at the coordinates before the strain."""
    deformed = np.eye(3) + strain
    moved = atoms.copy()
    moved.set_cell(atoms.cell.array @ deformed, scale_atoms=True)
    moved.calc = calc
    along = moved.get_volume() * moved.get_stress(voigt=False) @ np.linalg.inv(deformed)
    return [np.sum(along * unit_strain(i)) for i in range(6)], -moved.get_forces() @ deformed


@pytest.mark.parametrize("name", ["ge_chiral", "li_sheared", "cu_fcc_one_atom"])
def test_both_are_central_differences_of_stress_and_forces(calc, name):
    atoms = zoo()[name]
    twice, mixed = calc.get_strain_derivatives(atoms)
    sides = [
        [slopes(calc, atoms, sign * STEP * unit_strain(i)) for i in range(6)] for sign in (1, -1)
    ]
    for got, which in ((twice, 0), (mixed, 1)):
        up, down = (np.array([side[which] for side in part]) for part in sides)
        expected = (up - down) / (2 * STEP)
        scale = max(0.01, abs(expected).max())
        np.testing.assert_allclose(got, expected, rtol=0, atol=10 * DERIVATIVE * scale)
    np.testing.assert_allclose(twice, twice.T, atol=1e-10 * abs(twice).max())
    np.testing.assert_allclose(mixed.sum(axis=1), 0, atol=1e-10)


def test_a_committee_has_the_mean(committee, potential_folder, other_folder):
    from ase_symcalc import SymCalc

    atoms = zoo()["li_bcc_cubic"]
    one, other = (SymCalc(folder).get_strain_derivatives(atoms) for folder in
                  (potential_folder, other_folder))  # fmt: skip
    both = committee.get_strain_derivatives(atoms)
    for mean, first, second in zip(both, one, other, strict=True):
        np.testing.assert_allclose(mean, (first + second) / 2, atol=1e-12)


def test_callers_without_gradients_and_atoms_without_neighbours(calc):
    atoms = zoo()["li_sheared"]
    expected = calc.get_strain_derivatives(atoms)
    with torch.inference_mode():
        got = calc.get_strain_derivatives(atoms)
    np.testing.assert_array_equal(got[0], expected[0])
    twice, mixed = calc.get_strain_derivatives(zoo()["mo_isolated"])
    assert not twice.any()
    assert not mixed.any()


def test_one_structure_at_a_time():
    config = ModelConfig(elements=("Si",), cutoff=4.0, num_channels=4, num_layers=1)
    two = build_graph([zoo()["si_diamond_primitive"]] * 2, 4.0)
    with pytest.raises(InputError, match="one structure, got 2"):
        strain_derivatives(build_model(config).double(), two)
