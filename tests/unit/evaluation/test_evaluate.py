"""Structures in, results out, in order."""

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk

from ase_symcalc import evaluate, load_potential
from ase_symcalc.errors import (
    InputError,
    NumericalError,
    PotentialFileError,
    UnsupportedElementError,
)
from tests.zoo import zoo


def test_one_structure_gives_a_list_of_one(potential, silicon):
    (result,) = evaluate(silicon, potential)
    assert type(result.energy) is float
    for values, shape in (
        (result.atomic_energies, (8,)),
        (result.forces, (8, 3)),
        (result.stress, (3, 3)),
        (result.stresses, (8, 3, 3)),
    ):
        assert values.shape == shape
        assert values.dtype == np.float64
        assert values.flags.owndata
        assert values.flags.writeable
    np.testing.assert_allclose(result.stresses.sum(axis=0), result.stress, atol=1e-14)
    assert result.atomic_energies.sum() == pytest.approx(result.energy)


def test_many_structures_may_come_from_a_generator(potential):
    structures = zoo()
    results = evaluate((structures[name] for name in structures), potential)
    assert [len(r.forces) for r in results] == [len(atoms) for atoms in structures.values()]
    assert evaluate([], potential) == []


def test_the_potential_may_be_a_folder_or_loaded(potential, potential_folder, silicon):
    assert (
        evaluate(silicon, potential_folder)[0].energy
        == evaluate(silicon, str(potential_folder))[0].energy
        == evaluate(silicon, potential)[0].energy
    )


def test_energies_alone_cost_no_backward_pass(potential, silicon):
    with torch.profiler.profile() as profile:
        (result,) = evaluate(silicon, potential, properties=["energy"])
    assert "derivatives" not in {event.key for event in profile.key_averages()}
    assert result.forces is result.stress is result.stresses is None
    assert result.energy == evaluate(silicon, potential)[0].energy


@pytest.mark.parametrize("properties", [["forces"], ["stress"], ["energy", "stress"]])
def test_forces_and_stress_come_together(potential, silicon, properties):
    (result,) = evaluate(silicon, potential, properties=properties)
    assert result.forces is not None
    assert result.stress is not None


def test_a_structure_without_a_volume_has_no_stress(potential):
    (result,) = evaluate(zoo()["si_cluster"], potential)
    assert result.forces is not None
    assert result.stress is None
    assert result.stresses is None


def test_structures_and_their_calculators_are_left_alone(potential, silicon):
    before = silicon.copy()
    evaluate(silicon, potential)
    assert silicon == before
    assert silicon.calc is None


def test_a_bad_structure_among_many_is_named(potential, silicon):
    bad = silicon.copy()
    bad.positions[2, 0] = np.nan
    with pytest.raises(InputError, match="structure 1: the position of atom 2"):
        evaluate([silicon, bad], potential)
    with pytest.raises(UnsupportedElementError, match=r"structure 2: .* not trained on Fe"):
        evaluate([silicon, silicon, bulk("Fe")], potential)
    close = Atoms("Si2", [(0, 0, 0), (0, 0, 0.05)])
    with pytest.raises(InputError, match=r"structure 1: atoms 0 \(Si\) and 1 \(Si\) are 0.05 Å"):
        evaluate([silicon, close], potential)
    with pytest.raises(InputError, match=r"^atoms 0 \(Si\) and 1 \(Si\) are 0.05 Å"):
        evaluate(close, potential)
    with pytest.raises(UnsupportedElementError, match="not trained on Z=200"):
        evaluate(Atoms(numbers=[200]), potential)


def test_the_last_structure_is_refused_before_the_first_is_evaluated(
    potential, silicon, monkeypatch
):
    monkeypatch.setattr(type(potential.model), "forward", lambda *_: pytest.fail("evaluated"))
    for bad in (Atoms("Si2", [(0, 0, 0), (0, 0, 0.05)]), bulk("Fe")):
        with pytest.raises(InputError, match="structure 1: "):
            evaluate([silicon, bad], potential, max_edges=1)


@pytest.mark.parametrize("properties", ["energy", ["energies"], ["energy", "dipole"]])
def test_unknown_properties_are_refused(potential, silicon, properties):
    with pytest.raises(InputError, match="expected properties among energy, forces, stress"):
        evaluate(silicon, potential, properties=properties)


def test_a_batch_has_room_for_an_edge(potential, silicon):
    with pytest.raises(InputError, match="expected max_edges to be at least 1, got 0"):
        evaluate(silicon, potential, max_edges=0)


def test_a_potential_that_is_not_there_is_a_file_error(silicon):
    with pytest.raises(PotentialFileError, match="expected the name of a potential"):
        evaluate(silicon, "no-such-potential")


def test_numbers_that_are_none_are_an_error(potential_folder, silicon):
    broken = load_potential(potential_folder)
    with torch.no_grad():
        next(broken.model.parameters()).fill_(torch.inf)
    with pytest.raises(NumericalError, match="got atomic_energies of atom 0 that are not"):
        evaluate(silicon, broken)
