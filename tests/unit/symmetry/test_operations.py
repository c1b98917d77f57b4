import logging

import numpy as np
import pytest
import spglib
from ase import Atoms
from ase.build import bulk
from ase.spacegroup import crystal

from ase_symcalc.symmetry.operations import find_operations
from ase_symcalc.symmetry.orbits import find_symmetry
from tests import symmetry_zoo

TOLERANCE = 1e-7


def operations(atoms, tolerance=TOLERANCE, **kwargs):
    return find_operations(
        atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers, tolerance, **kwargs
    )


def count(atoms, **kwargs):
    found = operations(atoms, **kwargs)
    return len(found.images) * found.n_translations


def by_spglib(atoms):
    return spglib.get_symmetry_dataset(
        (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=1e-5
    )


@pytest.mark.parametrize("system", symmetry_zoo.SYSTEMS)
def test_crystals_have_the_operations_and_orbits_that_spglib_finds(system):
    numbers = set()
    for number in symmetry_zoo.SYSTEMS[system]:
        atoms = symmetry_zoo.of_group(number)
        expected = by_spglib(atoms)
        numbers.add(expected.number)
        assert count(atoms) == len(expected.rotations), number
        orbits = len(set(expected.equivalent_atoms.tolist()))
        found = symmetry_of(atoms, TOLERANCE)
        assert (len(atoms) if found is None else found.n_orbits) == orbits, number
    # places of few images may have more symmetry than their group
    assert len(numbers) > 0.5 * len(symmetry_zoo.SYSTEMS[system])


@pytest.mark.parametrize("name", symmetry_zoo.VARIANTS)
def test_supercells_and_strained_cells_too(name):
    atoms = symmetry_zoo.variants()[name]
    if atoms.pbc.all():
        assert count(atoms) == len(by_spglib(atoms).rotations)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ni_slab", 4 * 12),
        ("ni_slab_without_third_vector", 2 * 4),
        ("wire", 2 * 10 * 2),
        ("wire_in_line", 2 * 2),
        ("methane", 24),
        ("benzene", 24),
        ("carbon_dioxide", 4),
        ("icosahedron", 120),
    ],
)
def test_slabs_wires_and_molecules(name, expected):
    assert count(symmetry_zoo.variants()[name]) == expected


def test_operations_map_atoms_onto_their_images():
    atoms = symmetry_zoo.of_group(178) * (1, 2, 1)
    found = operations(atoms)
    x = found.box.coordinates(atoms.positions)
    firsts = np.unique(found.primitive)
    for k in range(len(found.images)):
        apart = x[firsts] @ found.matrices[k] + found.shifts[k] - x[firsts[found.images[k]]]
        steps = apart @ np.linalg.inv(found.lattice)
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-10)
        turned = np.linalg.inv(found.box.vectors) @ found.matrices[k] @ found.box.vectors
        np.testing.assert_allclose(turned, found.rotations[k].T, atol=1e-12)
    np.testing.assert_allclose(found.rotations[0], np.eye(3), atol=0)


def test_rotations_are_orthogonal_to_the_last_digits():
    atoms = symmetry_zoo.of_group(227)
    atoms.set_cell(atoms.cell.array * (1 + 3e-4, 1, 1), scale_atoms=True)
    rotations = operations(atoms, tolerance=1e-2).rotations
    assert len(rotations) == 48
    products = rotations @ np.swapaxes(rotations, 1, 2)
    np.testing.assert_allclose(products, np.broadcast_to(np.eye(3), products.shape), atol=1e-14)


@pytest.mark.parametrize(("size", "expected"), [(1e-3, 1), (1e-5, 192)])
def test_a_tolerance_is_a_distance(size, expected):
    atoms = bulk("Si", cubic=True)
    atoms.rattle(size, seed=2)
    assert count(atoms, tolerance=1e-4) == expected


@pytest.mark.parametrize(("strain", "expected"), [(1e-3, 64), (1e-6, 192)])
def test_so_it_is_for_the_lattice(strain, expected):
    atoms = bulk("Si", cubic=True)
    atoms.set_cell(atoms.cell.array * (1 + strain, 1, 1), scale_atoms=True)
    assert count(atoms, tolerance=1e-4) == expected


def test_proper_operations_only():
    assert (np.linalg.det(operations(symmetry_zoo.of_group(225), proper=True).rotations) > 0).all()


def test_elements_are_told_apart():
    atoms = bulk("Si", cubic=True)
    atoms.symbols[0] = "Ge"
    assert count(atoms) == 24


def test_a_supercell_with_one_atom_moved_has_no_translations():
    atoms = bulk("Si", cubic=True) * (3, 3, 3)
    atoms.positions[100] += 0.1
    assert operations(atoms).n_translations == 1
    assert count(atoms) == 6


def test_translations_of_one_sublattice_are_not_those_of_the_crystal():
    atoms = Atoms("LiSi2", [(0, 0, 0), (1.5, 1.4, 1), (1.5, 1.4, 3)], cell=(3, 3, 4), pbc=True)
    atoms = atoms * (1, 1, 2)
    atoms.positions[5, 0] += 0.3
    assert operations(atoms).n_translations == 1


def test_far_from_the_origin():
    atoms = symmetry_zoo.of_group(194)
    expected = count(atoms)
    atoms.translate((1e4, -2e4, 3e4))
    assert count(atoms) == expected


@pytest.mark.parametrize(
    "atoms",
    [
        Atoms("Si2", [(0, 0, 0), (0, 0, 0.05)], cell=(5, 5, 5), pbc=True),
        Atoms("Si2", [(0, 0, 0), (0, 0, 2)], cell=(300, 300, 300), pbc=True),
    ],
    ids=["too close", "too large"],
)
def test_a_search_that_fails_says_so_in_the_log(atoms, caplog):
    with caplog.at_level(logging.INFO):
        assert symmetry_of(atoms, TOLERANCE) is None
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("tolerance", [1e-3, 5e-3, 9e-3])
def test_operations_at_the_edge_of_the_tolerance_are_left_out(tolerance):
    """Each step along the chain is within it, all of them together are not."""
    x = 2.0 * np.arange(8) + 0.004 * np.array([0, 1, 2, 3, 3, 2, 1, 0])
    atoms = Atoms("Si8", [(place, 0, 0) for place in x], cell=(16, 6, 7), pbc=True)
    found = symmetry_of(atoms, tolerance)
    assert found.n_orbits == 4
    assert found.holds(atoms.positions, atoms.cell.array, tolerance)


def symmetry_of(atoms, tolerance):
    return find_symmetry(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers, tolerance)


def test_nothing_is_written_to():
    atoms = crystal("Si", [(0.1, 0.2, 0.3)], spacegroup=14, cellpar=[5, 6, 7, 90, 100, 90])
    before = atoms.copy()
    operations(atoms)
    assert atoms == before
