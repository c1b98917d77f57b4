"""Pairs of elements that no training data had: named once, and only where they are near."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list

from ase_symcalc import SymCalc, evaluate
from ase_symcalc.errors import OutsideTrainingWarning
from ase_symcalc.evaluation import unseen_pairs
from ase_symcalc.structures import from_ase, neighbour_pairs

KNOWN = ("Si-Si", "Ni-Ni", "Cu-Cu", "Si-Cu")
NI_CU = "No Ni was near Cu where small was trained, and here they are within its cutoff"


@pytest.fixture
def taught(potential):
    """The small potential, with a card that lists pairs."""
    return replace(potential, card=replace(potential.card, pairs=KNOWN))


@pytest.fixture
def alloy():
    atoms = bulk("Cu", cubic=True)
    atoms[0].symbol = "Ni"
    return atoms


def caught(call):
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        call()
    assert {warning.category for warning in found} <= {OutsideTrainingWarning}
    return [str(warning.message) for warning in found]


def near(distance, symbols=("Ni", "Cu")):
    return Atoms(symbols, [(0, 0, 0), (0, 0, distance)])


def test_each_calculator_names_a_pair_once(taught, alloy):
    calc = SymCalc(taught)
    alloy.calc = calc
    (message,) = caught(alloy.get_potential_energy)
    assert message.startswith(NI_CU)
    assert calc.unseen_pairs == ("Ni-Cu",)
    alloy.rattle(0.01)
    assert caught(alloy.get_forces) == []
    alloy[1].symbol = "Ge"
    alloy.rattle(0.01)
    found = [text.split(" where ")[0] for text in caught(alloy.get_forces)]
    assert found == ["No Cu was near Ge", "No Ge was near Ge", "No Ni was near Ge"]
    alloy.calc = SymCalc(taught)
    assert len(caught(alloy.get_potential_energy)) == 4


def test_another_potential_is_another_matter(taught, alloy):
    alloy.calc = SymCalc(taught)
    caught(alloy.get_potential_energy)
    alloy.calc.set(symmetry="off")
    assert caught(alloy.get_potential_energy) == []
    card = replace(taught.card, name="other", pairs=("Ni-Ni", "Ni-Cu"))
    alloy.calc.set(potential=replace(taught, card=card))
    (message,) = caught(alloy.get_potential_energy)
    assert message.startswith("No Cu was near Cu where other was trained")


def test_atoms_that_come_near_are_seen_though_the_list_is_old(taught):
    atoms = near(4.3)
    atoms.calc = SymCalc(taught, symmetry="off")
    assert caught(atoms.get_forces) == []
    atoms.positions[1, 2] = 3.9
    assert [text[: len(NI_CU)] for text in caught(atoms.get_forces)] == [NI_CU]
    assert not atoms.calc.evaluation.list_rebuilt


def test_a_pair_of_one_element(potential):
    calc = SymCalc(replace(potential, card=replace(potential.card, pairs=("Cu-Cu",))))
    alone = Atoms("Si", calculator=calc)
    assert caught(alone.get_potential_energy) == []
    crystal = bulk("Si")
    crystal.calc = calc
    assert "No Si was near Si" in caught(crystal.get_potential_energy)[0]


def test_a_card_without_pairs_says_nothing(calc, alloy):
    alloy.calc = calc
    assert caught(alloy.get_potential_energy) == []
    assert calc.unseen_pairs == ()


def test_of_a_committee_those_are_named_that_have_not_seen_it(taught, potential, alloy):
    more = replace(potential, card=replace(potential.card, name="more", pairs=(*KNOWN, "Ni-Cu")))
    third = replace(potential, card=replace(taught.card, name="third"))
    alloy.calc = SymCalc([taught, more, third])
    (message,) = caught(alloy.get_potential_energy)
    assert message.startswith("No Ni was near Cu where small and third was trained")


def test_many_structures_name_a_pair_once(taught, alloy, silicon):
    (message,) = caught(lambda: evaluate([silicon, alloy, alloy], taught))
    assert message.startswith(NI_CU)
    assert caught(lambda: evaluate([near(4.1), silicon], taught)) == []


@pytest.mark.parametrize("seed", range(5))
def test_they_are_those_of_another_neighbour_list(taught, seed):
    rng = np.random.default_rng(seed)
    symbols = rng.choice(taught.card.elements, 6)
    atoms = Atoms(symbols, cell=9 * np.eye(3) + rng.normal(0, 0.5, (3, 3)), pbc=True)
    atoms.set_scaled_positions(rng.random((6, 3)))
    cutoff = taught.model.cutoff
    i, j = neighbor_list("ij", atoms, cutoff)
    met = {tuple(sorted((atoms.numbers[a], atoms.numbers[b]))) for a, b in zip(i, j, strict=True)}
    names = {"-".join(Atoms(pair).symbols) for pair in met}
    arrays = from_ase(atoms, taught.card.elements)
    pairs = neighbour_pairs(arrays.positions, arrays.cell, arrays.pbc, cutoff + 1)
    assert unseen_pairs(arrays, pairs, taught) == names - set(KNOWN)
    assert unseen_pairs(arrays, pairs, taught, names) == set()
