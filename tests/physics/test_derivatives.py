"""Forces, stress and Hessian are the derivatives of the energy."""

import numpy as np
import pytest

from ase_symcalc.testing import assert_forces_are_gradients, assert_hessian_symmetric
from tests.tolerances import DERIVATIVE, TIGHT
from tests.zoo import NAMES, zoo


@pytest.mark.parametrize("name", NAMES)
def test_forces_and_stress_are_central_differences_of_the_energy(calc, name):
    assert_forces_are_gradients(calc, zoo()[name], tolerance=DERIVATIVE)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_pushes_or_turns_a_structure_as_a_whole(calc, name):
    atoms = zoo()[name]
    atoms.calc = calc
    forces = atoms.get_forces()
    np.testing.assert_allclose(forces.sum(axis=0), 0, atol=TIGHT)
    if not atoms.pbc.any():
        torque = np.cross(atoms.positions - atoms.positions[0], forces).sum(axis=0)
        np.testing.assert_allclose(torque, 0, atol=TIGHT)


@pytest.mark.parametrize(
    "name",
    ["cu_fcc_one_atom", "ge_chiral", "ni_slab_without_third_vector", "si_cluster", "li_sheared"],
)
def test_hessian_is_symmetric_and_the_derivative_of_the_forces(calc, name):
    assert_hessian_symmetric(calc, zoo()[name], tolerance=DERIVATIVE)


def test_hessian_of_atoms_without_neighbours_is_zero(calc):
    assert not calc.get_hessian(zoo()["mo_isolated"]).any()


def test_hessian_of_a_committee_is_the_derivative_of_its_forces(committee):
    assert_hessian_symmetric(committee, zoo()["li_bcc_cubic"], tolerance=DERIVATIVE)


def test_a_true_gradient_makes_the_asymmetry_of_a_numerical_hessian_fall_with_the_step(calc):
    """Forces that are no gradient leave it flat (complaint 22 of the border checklist)."""
    atoms = zoo()["si_cluster"]
    atoms.calc = calc
    start = atoms.positions.copy()

    def asymmetry(step):
        columns = []
        for component in range(6):
            sides = []
            for sign in (1, -1):
                atoms.positions = start
                atoms.positions.ravel()[component] += sign * step
                sides.append(atoms.get_forces().ravel()[:6])
            columns.append((sides[1] - sides[0]) / (2 * step))
        return np.abs(np.array(columns) - np.transpose(columns)).max()

    assert asymmetry(1e-5) < 1e-2 * asymmetry(1e-2)
