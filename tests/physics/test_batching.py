"""Together or one by one: the same."""

import numpy as np
import pytest

from ase_symcalc import SymCalc, evaluate
from ase_symcalc.testing import assert_batching_agrees
from tests.tolerances import EXACT, TIGHT
from tests.zoo import NAMES, zoo


def test_structures_evaluated_together_are_as_if_alone(potential):
    assert_batching_agrees(potential, list(zoo().values()), tolerance=TIGHT)


@pytest.mark.parametrize("max_edges", [1, 150, 10_000_000])
def test_the_size_of_batches_changes_neither_numbers_nor_order(potential, max_edges):
    structures = list(zoo().values())[::-1]
    expected = [evaluate(atoms, potential)[0].energy for atoms in structures]
    results = evaluate(structures, potential, max_edges=max_edges)
    np.testing.assert_allclose([r.energy for r in results], expected, rtol=0, atol=TIGHT)
    assert [len(r.forces) for r in results] == [len(atoms) for atoms in structures]


def test_no_force_leaks_from_one_structure_to_another(potential):
    """The same molecule twice at the same place, and a crystal that overlaps with both."""
    cluster, crystal = zoo()["si_cluster"], zoo()["si_diamond_primitive"]
    alone = evaluate(cluster, potential)[0]
    first, _, second = evaluate([cluster, crystal, cluster], potential)
    np.testing.assert_allclose(first.forces, alone.forces, rtol=0, atol=TIGHT)
    np.testing.assert_allclose(second.forces, alone.forces, rtol=0, atol=TIGHT)


@pytest.mark.parametrize("name", NAMES)
def test_calculator_and_evaluate_say_the_same(potential, name):
    atoms = zoo()[name]
    result = evaluate(atoms, potential)[0]
    atoms.calc = SymCalc(potential, symmetry="off")
    np.testing.assert_allclose(atoms.get_forces(), result.forces, rtol=0, atol=EXACT)
    assert atoms.get_potential_energy() == result.energy
    if result.stress is not None:
        np.testing.assert_allclose(atoms.get_stress(voigt=False), result.stress, rtol=0, atol=EXACT)
