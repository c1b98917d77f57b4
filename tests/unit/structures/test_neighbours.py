"""Neighbour pairs where other searches fail, and what they refuse."""

import re
from collections import Counter

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.geometry import complete_cell
from ase.neighborlist import primitive_neighbor_list

from ase_symcalc.errors import InputError
from ase_symcalc.structures import (
    Pairs,
    StructureArrays,
    check_separation,
    from_ase,
    neighbour_pairs,
    pairs_within,
)
from tests.zoo import NAMES, zoo


def search(atoms: Atoms, cutoff: float) -> Pairs:
    return neighbour_pairs(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)


def rows(pairs: Pairs) -> np.ndarray:
    return np.column_stack([pairs.centre, pairs.neighbour, pairs.unit_shifts])


def edges(atoms: Atoms, pairs: Pairs) -> np.ndarray:
    ends = atoms.positions[pairs.neighbour] - atoms.positions[pairs.centre]
    return ends + pairs.unit_shifts @ atoms.cell.array


@pytest.mark.parametrize("cutoff", [2.9, 5.3])
@pytest.mark.parametrize("name", NAMES)
def test_zoo_has_the_pairs_that_ase_finds(name, cutoff):
    atoms = zoo()[name]
    i, j, shifts = primitive_neighbor_list(
        "ijS", atoms.pbc, complete_cell(atoms.cell.array), atoms.positions, cutoff
    )
    expected = np.column_stack([i, j, shifts])
    got = rows(search(atoms, cutoff))
    assert Counter(map(tuple, got.tolist())) == Counter(map(tuple, expected.tolist()))


@pytest.mark.parametrize("name", NAMES)
def test_inputs_are_left_alone(name):
    atoms = zoo()[name]
    given = [atoms.positions.copy(), atoms.cell.array.copy(), atoms.pbc.copy()]
    kept = [array.copy() for array in given]
    for array in given:
        array.setflags(write=False)
    neighbour_pairs(*given, 4.0)
    for array, before in zip(given, kept, strict=True):
        np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize(("cutoff", "shells"), [(2.6, 12), (3.7, 18), (4.5, 42)])
def test_one_atom_of_an_fcc_crystal_has_its_shells_of_images(cutoff, shells):
    pairs = search(bulk("Cu", "fcc", a=3.62), cutoff)
    assert len(pairs.centre) == shells
    assert not pairs.centre.any()
    assert not pairs.neighbour.any()


def test_an_atom_exactly_at_the_cutoff_is_not_a_neighbour():
    crystal = Atoms("Cu", cell=(2, 2, 2), pbc=True)
    assert len(search(crystal, 2.0).centre) == 0
    assert len(search(crystal, np.nextafter(2.0, 3.0)).centre) == 6


@pytest.mark.parametrize("name", ["mo_isolated", "cu_lonely_in_a_box"])
def test_an_isolated_atom_has_no_neighbours(name):
    pairs = search(zoo()[name], 5.0)
    assert pairs.centre.shape == pairs.neighbour.shape == (0,)
    assert pairs.unit_shifts.shape == (0, 3)


@pytest.mark.parametrize("distance", [1e4, 1e5, 1e6])
def test_a_cluster_far_from_the_origin_has_the_same_pairs(distance):
    cluster, near = zoo()["si_cluster"], zoo()["si_cluster"]
    cluster.positions += (distance, -distance, distance / 3)
    np.testing.assert_array_equal(rows(search(cluster, 4.0)), rows(search(near, 4.0)))


@pytest.mark.parametrize("name", ["si_diamond_primitive", "ni_slab", "cu_wire"])
def test_atoms_a_hundred_thousand_cells_outside_keep_their_edges(name):
    atoms = zoo()[name]
    expected = edges(atoms, before := search(atoms, 5.0))
    crossed = np.random.default_rng(0).integers(-100_000, 100_000, (len(atoms), 3)) * atoms.pbc
    atoms.positions += crossed @ atoms.cell.array
    after = search(atoms, 5.0)
    shifts = after.unit_shifts + crossed[after.neighbour] - crossed[after.centre]
    np.testing.assert_array_equal(shifts, before.unit_shifts)
    np.testing.assert_allclose(edges(atoms, after), expected, atol=1e-8)


def test_a_heavily_sheared_description_has_the_edges_of_the_crystal():
    crystal = bulk("Si", cubic=True)
    crystal.rattle(0.05, seed=1)
    change = np.array([[1, 0, 0], [1000, 1, 0], [30_000, -500, 1]])
    sheared = crystal.copy()
    sheared.set_cell(change @ crystal.cell.array)
    pairs = search(sheared, 5.0)
    back = Pairs(pairs.centre, pairs.neighbour, pairs.unit_shifts @ change, 5.0)
    np.testing.assert_array_equal(
        np.unique(rows(back), axis=0), np.unique(rows(search(crystal, 5.0)), axis=0)
    )


@pytest.mark.parametrize("third", [(0, 0, 0), (0, 0, 20), (3, 6, 0), (500, -300, 1e-3)])
def test_a_vector_that_does_not_repeat_does_not_matter(third):
    slab = zoo()["ni_slab"]
    expected = rows(search(slab, 5.0))
    cell = slab.cell.array.copy()
    cell[2] = third
    pairs = neighbour_pairs(slab.positions, cell, slab.pbc, 5.0)
    np.testing.assert_array_equal(rows(pairs), expected)


def test_fragments_far_apart_are_searched_without_the_space_between():
    cluster = zoo()["si_cluster"]
    both = cluster + cluster
    both.positions[len(cluster) :] += (1e5, 1e5, 1e5)
    alone = search(cluster, 5.0)
    pairs = search(both, 5.0)
    assert len(pairs.centre) == 2 * len(alone.centre)
    np.testing.assert_array_equal(
        pairs.neighbour, np.append(alone.neighbour, alone.neighbour + len(cluster))
    )


def test_a_thin_gas_is_searched_with_bins_that_fit_in_memory():
    places = np.random.default_rng(0).uniform(0, 1e6, (1500, 3))
    places[1] = places[0] + (0, 0, 2.0)
    np.testing.assert_array_equal(search(Atoms("Cu1500", places), 5.0).centre, [0, 1])


def test_coincident_atoms_are_found():
    pairs = search(Atoms("Cu2", [(1, 2, 3), (1, 2, 3)]), 5.0)
    np.testing.assert_array_equal(rows(pairs), [(0, 1, 0, 0, 0), (1, 0, 0, 0, 0)])


def test_pairs_within_a_shorter_cutoff_are_those_of_a_search():
    atoms = zoo()["ge_rattled_supercell"]
    shorter = pairs_within(search(atoms, 6.0), atoms.positions, atoms.cell.array, 4.1)
    np.testing.assert_array_equal(rows(shorter), rows(search(atoms, 4.1)))
    assert shorter.cutoff == 4.1


@pytest.mark.parametrize("cutoff", [5.1, 0.0, np.nan])
def test_pairs_cannot_be_widened(cutoff):
    atoms = bulk("Cu")
    with pytest.raises(InputError, match=r"pairs found within 5\.0 Å hold those within a shorter"):
        pairs_within(search(atoms, 5.0), atoms.positions, atoms.cell.array, cutoff)


@pytest.mark.parametrize("cutoff", [0.0, -1.0, np.nan, np.inf])
def test_a_cutoff_that_is_no_distance_is_refused(cutoff):
    with pytest.raises(InputError, match="expected a positive, finite cutoff in Å, got"):
        search(bulk("Cu"), cutoff)


def test_geometry_without_meaning_is_refused():
    atoms = bulk("Cu", cubic=True)
    atoms.positions[2] = np.nan
    with pytest.raises(InputError, match="position of atom 2 is"):
        search(atoms, 5.0)


def test_a_lattice_that_repeats_almost_at_once_is_refused():
    cell = [(3, 0, 0), (3, 0.05, 0), (0, 0, 3)]
    with pytest.raises(InputError, match=r"the lattice repeats after 0\.05 Å, so every atom"):
        search(Atoms("Cu", cell=cell, pbc=True), 5.0)


def check(atoms: Atoms, minimum: float = 0.1) -> None:
    arrays = from_ase(atoms)
    check_separation(arrays, search(atoms, 5.0), minimum)


@pytest.mark.parametrize("name", NAMES)
def test_separate_atoms_pass(name):
    check(zoo()[name])


def test_two_atoms_too_close_are_named_with_their_distance():
    atoms = bulk("Si", cubic=True)
    atoms.append("Ge")
    atoms.positions[8] = atoms.positions[3] + (0, 0.03, 0.04)
    message = "atoms 3 (Si) and 8 (Ge) are 0.05 Å apart; expected at least 0.1 Å"
    with pytest.raises(InputError, match=re.escape(message)):
        check(atoms)


def test_coincidence_through_a_boundary_is_named():
    atoms = Atoms("LiCu", [(0, 0, 0), (0, 0, 12)], cell=(4, 4, 4), pbc=True)
    message = "atoms 0 (Li) and 1 (Cu) are 0 Å apart through a periodic boundary"
    with pytest.raises(InputError, match=re.escape(message)):
        check(atoms)


def test_an_atom_too_close_to_its_own_image_is_named():
    message = "atom 0 (Cu) and its own image are 2.56 Å apart through a periodic boundary"
    with pytest.raises(InputError, match=re.escape(message)):
        check(bulk("Cu", "fcc", a=3.62), minimum=2.6)


def test_cutoffs_and_arrays_of_the_pairs_have_the_promised_types():
    arrays = from_ase(zoo()["nimo_rocksalt"])
    assert isinstance(arrays, StructureArrays)
    pairs = neighbour_pairs(arrays.positions, arrays.cell, arrays.pbc, 4.0)
    assert {array.dtype for array in (pairs.centre, pairs.neighbour, pairs.unit_shifts)} == {
        np.dtype(np.int64)
    }
    assert pairs.cutoff == 4.0
