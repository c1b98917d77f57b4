"""What a `SymCalc` can do beside ASE's protocol."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import InputError, PropertyNotImplementedError

from ase_symcalc import SymCalc
from tests.tolerances import TIGHT
from tests.zoo import zoo


def test_a_committee_says_the_mean(committee, potential_folder, other_folder, silicon):
    members = [SymCalc(folder) for folder in (potential_folder, other_folder)]
    for name in SymCalc.implemented_properties:
        mean = np.mean([member.get_property(name, silicon) for member in members], axis=0)
        np.testing.assert_allclose(committee.get_property(name, silicon), mean, atol=TIGHT)


def test_the_spread_of_a_committee_is_the_deviation_of_its_forces(
    committee, potential_folder, other_folder, silicon
):
    forces = [
        SymCalc(folder).get_property("forces", silicon)
        for folder in (potential_folder, other_folder)
    ]
    spread = committee.get_uncertainty(silicon)
    np.testing.assert_allclose(
        spread, np.linalg.norm(forces[0] - forces[1], axis=1) / np.sqrt(2), atol=TIGHT
    )
    turned = silicon.copy()
    turned.rotate(77, (1, 2, 3), rotate_cell=True)
    np.testing.assert_allclose(committee.get_uncertainty(turned), spread, atol=TIGHT)


def test_members_that_agree_have_no_spread(potential_folder, silicon):
    twins = SymCalc([potential_folder, potential_folder])
    assert not twins.get_uncertainty(silicon).any()


def test_one_potential_alone_has_no_uncertainty(potential_folder, silicon):
    for potential in (potential_folder, [potential_folder]):
        with pytest.raises(PropertyNotImplementedError, match="pass a list of at least two"):
            SymCalc(potential).get_uncertainty(silicon)


def test_descriptors_of_atoms_do_not_turn_with_the_structure(calc, silicon):
    features = calc.get_descriptors(silicon)
    assert features.shape[0] == len(silicon)
    assert features.dtype == np.float64
    turned = silicon.copy()
    turned.rotate(77, (1, 2, 3), rotate_cell=True)
    turned.positions += 3
    np.testing.assert_allclose(calc.get_descriptors(turned), features, atol=TIGHT)
    mirrored = silicon.copy()
    mirrored.positions *= (1, 1, -1)
    mirrored.cell[:, 2] *= -1
    np.testing.assert_allclose(calc.get_descriptors(mirrored), features, atol=TIGHT)


def test_descriptors_tell_atoms_apart(calc):
    rattled, perfect = zoo()["ge_rattled_supercell"], zoo()["si_skewed_description"]
    assert np.ptp(calc.get_descriptors(rattled), axis=0).max() > 1e-3
    assert np.ptp(calc.get_descriptors(perfect), axis=0).max() < TIGHT


def test_descriptors_can_be_pooled_and_taken_whole(calc, silicon):
    features = calc.get_descriptors(silicon)
    mean = calc.get_descriptors(silicon, pool="mean")
    np.testing.assert_allclose(mean, features.mean(axis=0), atol=TIGHT)
    whole = calc.get_descriptors(silicon, invariant=False)
    assert whole.shape[1] >= features.shape[1]


def test_descriptors_of_a_committee_stand_side_by_side(committee, potential_folder, silicon):
    first = SymCalc(potential_folder).get_descriptors(silicon)
    both = committee.get_descriptors(silicon)
    np.testing.assert_allclose(both[:, : first.shape[1]], first, atol=TIGHT)
    assert both.shape[1] == 2 * first.shape[1]


def test_methods_leave_results_and_atoms_alone(committee, silicon):
    silicon.calc = committee
    silicon.get_forces()
    only, before = committee.evaluation, silicon.copy()
    other = zoo()["nimo_rocksalt"]
    for ask in (committee.get_hessian, committee.get_descriptors, committee.get_uncertainty):
        ask(other)
        ask(silicon)
    assert silicon == before
    silicon.get_forces()
    assert committee.evaluation is only


def test_the_hessian_is_of_the_last_atoms_if_none_are_given(calc, silicon):
    with pytest.raises(InputError, match="expected atoms, got none"):
        calc.get_hessian()
    calc.get_property("energy", silicon)
    np.testing.assert_array_equal(calc.get_hessian(), calc.get_hessian(silicon))


def test_methods_refuse_what_calculations_refuse(committee):
    for ask in (committee.get_hessian, committee.get_descriptors, committee.get_uncertainty):
        with pytest.raises(InputError, match="no atoms"):
            ask(Atoms())
