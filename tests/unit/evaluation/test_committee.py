"""Means, spreads, and where members are found again."""

import shutil

import numpy as np
import pytest

from ase_symcalc import load_potential
from ase_symcalc.errors import InputError
from ase_symcalc.evaluation import Committee, StructureResult, force_spread, mean_result


def result(energy, forces=None):
    return StructureResult(energy, np.array([energy]), None if forces is None else np.array(forces))


def test_the_mean_is_of_every_field():
    mean = mean_result([result(1.0, [[0.0, 0.0, 2.0]]), result(3.0, [[2.0, 0.0, 0.0]])])
    assert mean.energy == 2.0
    np.testing.assert_array_equal(mean.atomic_energies, [2.0])
    np.testing.assert_array_equal(mean.forces, [[1.0, 0.0, 1.0]])
    assert mean.stress is mean.stresses is None


def test_the_spread_is_the_sample_deviation_of_the_force_vectors():
    forces = [[[0.0, 0.0, 0.0]], [[3.0, 0.0, 0.0]], [[0.0, 3.0, 0.0]]]
    spread = force_spread([result(0.0, f) for f in forces])
    np.testing.assert_allclose(spread, [np.sqrt((2 + 5 + 5) / 2)])


@pytest.mark.parametrize("results", [[result(0.0, [[0.0, 0.0, 0.0]])], [result(0.0)] * 2])
def test_a_spread_needs_forces_of_two(results):
    with pytest.raises(InputError, match="expected forces from at least two members"):
        force_spread(results)


def test_a_committee_knows_what_all_members_know(potential_folder, other_folder):
    first = load_potential(other_folder)
    first.model.elements = ("Si", "Ge", "Mo")
    second = load_potential(potential_folder)
    second.model.elements = ("Li", "Si", "Mo")
    committee = Committee.load([first, second], "cpu", "float64")
    assert committee.elements == ("Si", "Mo")
    assert committee.cutoff == 4.0


def test_members_are_found_by_name_only_if_they_are_the_installed_ones(
    potential_folder, other_folder, tmp_path, monkeypatch
):
    assert Committee.load(potential_folder, "cpu", "float64").addresses == (str(potential_folder),)
    shutil.copytree(potential_folder, tmp_path / "small")
    monkeypatch.setenv("ASE_SYMCALC_POTENTIALS", str(tmp_path))
    both = Committee.load([potential_folder, other_folder], "cpu", "float64")
    assert both.addresses == ("small", str(other_folder))
