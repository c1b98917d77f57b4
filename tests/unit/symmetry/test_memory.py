import numpy as np
import pytest
from ase.build import bulk

from ase_symcalc.symmetry import memory
from ase_symcalc.symmetry.memory import SymmetryMemory


@pytest.fixture
def searches(monkeypatch):
    """Grows by one with every search."""
    made = []
    search = memory.find_symmetry

    def counted(*args, **kwargs):
        made.append(args)
        return search(*args, **kwargs)

    monkeypatch.setattr(memory, "find_symmetry", counted)
    return made


@pytest.fixture
def remembers():
    return SymmetryMemory(1e-5, proper=False)


def recall(remembers, atoms):
    """Recall, and learn from energies that have the symmetry of the structure and no more."""
    found = remembers.recall(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers)
    distances = np.sort(atoms.get_all_distances(mic=True), axis=1)[:, 1:]
    remembers.learn((distances**-2).sum(axis=1))
    return found


def rattled(atoms, seed, stdev=0.05):
    atoms = atoms.copy()
    atoms.rattle(stdev, seed=seed)
    return atoms


def test_what_was_found_is_verified_and_not_searched_again(remembers, searches):
    atoms = bulk("Si", cubic=True)
    first = recall(remembers, atoms)
    atoms.set_cell(atoms.cell.array * 1.01, scale_atoms=True)
    atoms.wrap()
    assert recall(remembers, atoms) is first
    assert len(searches) == 1


def test_a_structure_that_moves_about_is_searched_once(remembers, searches):
    for seed in range(5):
        assert recall(remembers, rattled(bulk("Si", cubic=True), seed)) is None
    assert len(searches) == 1


def test_one_that_loses_its_symmetry_is_searched_once_more(remembers, searches):
    atoms = bulk("Si", cubic=True)
    assert recall(remembers, atoms).n_orbits == 1
    for seed in range(5):
        assert recall(remembers, rattled(atoms, seed)) is None
    assert len(searches) == 2
    assert recall(remembers, atoms).n_orbits == 1
    assert len(searches) == 2


def test_a_symmetry_that_energies_show_is_searched_for(remembers, searches):
    atoms = bulk("Si", cubic=True)
    assert recall(remembers, rattled(atoms, 1)) is None
    assert recall(remembers, atoms) is None
    assert recall(remembers, atoms).n_orbits == 1
    assert len(searches) == 2


def test_energies_that_coincide_without_symmetry_do_not_search_for_ever(remembers, searches):
    atoms = bulk("Si", cubic=True)
    for seed in range(5):
        moved = rattled(atoms, seed)
        assert remembers.recall(moved.positions, moved.cell.array, moved.pbc, moved.numbers) is None
        remembers.learn(np.zeros(8))
    assert len(searches) == 1


@pytest.mark.parametrize("change", ["elements", "number", "pbc"])
def test_another_structure_is_searched(remembers, searches, change):
    atoms = rattled(bulk("Si", cubic=True), 1)
    recall(remembers, atoms)
    other = {
        "elements": bulk("Ge", cubic=True),
        "number": bulk("Si"),
        "pbc": bulk("Si", cubic=True),
    }[change]
    other.pbc = (True, True, change != "pbc")
    assert recall(remembers, other) is not None
    assert len(searches) == 2


def test_a_lone_atom_and_no_tolerance_are_not_searched(remembers, searches):
    assert recall(SymmetryMemory(None, proper=False), bulk("Si", cubic=True)) is None
    lone = bulk("Cu")
    assert remembers.recall(lone.positions, lone.cell.array, lone.pbc, lone.numbers) is None
    assert not searches
