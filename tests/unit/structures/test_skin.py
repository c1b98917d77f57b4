"""When a list is kept, and when it is not."""

import copy
import pickle

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_symcalc.errors import InputError
from ase_symcalc.structures import SkinList, from_ase, neighbour_pairs, skin
from tests.zoo import NAMES, zoo


def rebuilt(skin_list: SkinList, atoms: Atoms) -> bool:
    """Ask for the pairs, compare them with a fresh search, say whether there was one."""
    arrays = from_ase(atoms)
    pairs = skin_list.pairs(arrays)
    fresh = neighbour_pairs(arrays.positions, arrays.cell, arrays.pbc, skin_list.cutoff)
    np.testing.assert_array_equal(pairs.centre, fresh.centre)
    np.testing.assert_array_equal(pairs.neighbour, fresh.neighbour)
    np.testing.assert_array_equal(pairs.unit_shifts, fresh.unit_shifts)
    return skin_list.rebuilt


@pytest.fixture
def crystal() -> Atoms:
    return bulk("Si", cubic=True)


@pytest.fixture
def skin_list(crystal) -> SkinList:
    """Built for the crystal."""
    skin_list = SkinList(5.0, 1.0)
    assert rebuilt(skin_list, crystal)
    return skin_list


@pytest.mark.parametrize("name", NAMES)
def test_a_structure_at_rest_is_searched_once(name):
    skin_list = SkinList(4.0, 1.0)
    assert rebuilt(skin_list, zoo()[name])
    assert not rebuilt(skin_list, zoo()[name])


def test_a_list_is_kept_until_an_atom_moved_by_half_the_skin(skin_list, crystal):
    crystal.positions[:2] += [(0.49, 0, 0), (-0.49, 0, 0)]
    assert not rebuilt(skin_list, crystal)
    crystal.positions[:2] += [(0.02, 0, 0), (-0.02, 0, 0)]
    assert rebuilt(skin_list, crystal)
    assert not rebuilt(skin_list, crystal)


def test_slow_drift_adds_up(skin_list, crystal):
    moved = [0.0]
    while not skin_list.rebuilt or len(moved) == 1:
        crystal.positions[:2] += [(0.04, 0, 0), (-0.04, 0, 0)]
        moved.append(moved[-1] + 0.04)
        rebuilt(skin_list, crystal)
    assert 0.5 < moved[-1] < 0.55


def test_moving_all_atoms_together_keeps_the_list(skin_list, crystal):
    crystal.positions += (7.0, -30.0, 0.4)
    assert not rebuilt(skin_list, crystal)


def test_a_jump_by_a_lattice_vector_is_seen(skin_list, crystal):
    crystal.positions[0] += crystal.cell[1]
    assert rebuilt(skin_list, crystal)


def test_wrapping_is_seen(skin_list, crystal):
    crystal.positions += (-0.1, 0.0, 0.0)
    assert not rebuilt(skin_list, crystal)
    crystal.wrap()
    assert rebuilt(skin_list, crystal)


def test_a_relaxing_cell_keeps_the_list(skin_list, crystal):
    strain = np.array([[1.03, 0.02, 0.0], [0.0, 0.98, 0.01], [0.01, 0.0, 1.02]])
    crystal.set_cell(crystal.cell.array @ strain, scale_atoms=True)
    assert not rebuilt(skin_list, crystal)


def test_a_collapsing_or_spreading_cell_is_seen(skin_list, crystal):
    crystal.set_cell(crystal.cell.array * 0.8, scale_atoms=True)
    assert rebuilt(skin_list, crystal)


def test_a_cell_that_changes_under_resting_atoms_is_seen(skin_list, crystal):
    crystal.set_cell(crystal.cell.array * (1.0, 1.0, 1.4))
    assert rebuilt(skin_list, crystal)


def test_a_straining_slab_keeps_the_list_whatever_its_third_vector_does():
    slab = zoo()["ni_slab"]
    skin_list = SkinList(4.0, 1.0)
    assert rebuilt(skin_list, slab)
    slab.set_cell(slab.cell.array * (1.01, 1.01, 1.0), scale_atoms=True)
    assert not rebuilt(skin_list, slab)
    cell = slab.cell.array.copy()
    cell[2] = (3, 3, 50)
    slab.set_cell(cell)
    assert not rebuilt(skin_list, slab)


def test_a_straining_wire_keeps_the_list():
    wire = zoo()["cu_wire"]
    skin_list = SkinList(4.0, 1.0)
    assert rebuilt(skin_list, wire)
    wire.positions *= (1, 1, 1.02)
    wire.cell *= 1.02
    assert not rebuilt(skin_list, wire)


def test_another_number_of_atoms_or_periodicity_is_seen(skin_list, crystal):
    crystal.pbc = (True, True, False)
    assert rebuilt(skin_list, crystal)
    del crystal[0]
    assert rebuilt(skin_list, crystal)


def test_without_a_skin_every_call_searches(crystal):
    skin_list = SkinList(5.0, 0.0)
    assert rebuilt(skin_list, crystal)
    assert rebuilt(skin_list, crystal)


def test_writing_into_the_arrays_later_does_not_fool_the_list(crystal):
    arrays = from_ase(crystal)
    skin_list = SkinList(5.0, 1.0)
    skin_list.pairs(arrays)
    arrays.positions[0] += 2.0
    skin_list.pairs(arrays)
    assert skin_list.rebuilt
    arrays.cell[:] = arrays.cell * 0.7
    skin_list.pairs(arrays)
    assert skin_list.rebuilt


def test_a_refused_structure_leaves_the_list_usable(skin_list, crystal):
    arrays = from_ase(crystal)
    arrays.positions[1] = np.nan
    with pytest.raises(InputError, match="position of atom 1"):
        skin_list.pairs(arrays)
    assert not rebuilt(skin_list, crystal)


def test_an_interrupted_search_leaves_nothing_half_done(skin_list, crystal, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    def search(*arguments):
        context.setattr(np.linalg, "pinv", interrupt)
        return found

    crystal.set_cell(crystal.cell * 0.7, scale_atoms=True)
    arrays = from_ase(crystal)
    found = neighbour_pairs(arrays.positions, arrays.cell, arrays.pbc, 6.0)
    with monkeypatch.context() as context:
        context.setattr(skin, "neighbour_pairs", search)
        with pytest.raises(KeyboardInterrupt):
            skin_list.pairs(arrays)
    crystal.set_cell(crystal.cell * 0.7)  # the atoms stay where they are
    assert rebuilt(skin_list, crystal)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_copies_go_on_where_the_original_was(skin_list, crystal, duplicate):
    assert not rebuilt(duplicate(skin_list), crystal)


@pytest.mark.parametrize(
    ("cutoff", "skin"), [(5.0, -0.1), (5.0, np.nan), (0.0, 1.0), (np.inf, 0.0)]
)
def test_lengths_without_meaning_are_refused(cutoff, skin):
    with pytest.raises(InputError, match="expected a positive cutoff and a skin of 0 Å or more"):
        SkinList(cutoff, skin)
