import numpy as np
import pytest
from ase.build import bulk

from ase_symcalc.errors import InputError
from ase_symcalc.evaluation.reduced_edges import ReducedEdges, unfold
from ase_symcalc.structures import from_ase, neighbour_pairs
from ase_symcalc.symmetry.bases import invariant_basis
from ase_symcalc.symmetry.groups import Group
from ase_symcalc.symmetry.orbits import find_symmetry
from ase_symcalc.symmetry.representations import V
from ase_symcalc.symmetry.tolerance import tolerance_of
from tests import symmetry_zoo


def symmetry_of(atoms, tolerance=1e-7):
    return find_symmetry(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers, tolerance)


@pytest.mark.parametrize("number", [14, 62, 136, 152, 166, 186, 198, 227])
def test_orbits_fill_the_structure_and_stabilisers_the_group(number):
    atoms = symmetry_zoo.of_group(number) * (1, 1, 2)
    found = symmetry_of(atoms)
    assert found.multiplicity.sum() == len(atoms)
    np.testing.assert_array_equal(np.bincount(found.orbit), found.multiplicity)
    np.testing.assert_array_equal(
        found.multiplicity * found.stabilisers.sum(axis=1), found.n_operations
    )
    assert (atoms.numbers == atoms.numbers[found.representatives][found.orbit]).all()
    assert (found.operation[found.representatives] == 0).all()


@pytest.mark.parametrize("number", [47, 99, 152, 194, 216, 227])
def test_projectors_are_those_of_the_equivariant_bases(number):
    found = symmetry_of(symmetry_zoo.of_group(number))
    rotations = found.rotations.matrices
    for n, kept in enumerate(found.stabilisers):
        site = Group("site", np.empty((0, 3, 3)), rotations[kept])
        for rep, projectors in ((V, found.vector_projectors), (V**2, found.tensor_projectors)):
            basis = invariant_basis(rep, site)
            np.testing.assert_allclose(projectors[n], basis @ basis.T, rtol=0, atol=1e-11)


def test_it_holds_while_the_structure_keeps_it():
    atoms = symmetry_zoo.of_group(136)
    found = symmetry_of(atoms)
    assert found.holds(atoms.positions, atoms.cell.array, 1e-9)
    atoms.set_cell(atoms.cell.array * (1.02, 1.02, 0.97), scale_atoms=True)
    atoms.positions[0] += atoms.cell.array[1]
    assert found.holds(atoms.positions, atoms.cell.array, 1e-9)


@pytest.mark.parametrize("shift", [2e-9, 1e-3])
def test_it_breaks_when_any_atom_moves(shift):
    atoms = symmetry_zoo.of_group(136)
    found = symmetry_of(atoms)
    for atom in range(len(atoms)):
        for axis in range(3):
            moved = atoms.positions.copy()
            moved[atom, axis] += shift
            assert not found.holds(moved, atoms.cell.array, 1e-9)


def test_it_breaks_when_the_cell_does():
    atoms = symmetry_zoo.of_group(136)
    found = symmetry_of(atoms)
    atoms.set_cell(atoms.cell.array * (1.0001, 1, 1), scale_atoms=True)
    assert not found.holds(atoms.positions, atoms.cell.array, 1e-7)


def test_a_structure_without_images_has_no_use_of_symmetry():
    atoms = symmetry_zoo.of_group(2)
    atoms.rattle(0.1, seed=1)
    assert symmetry_of(atoms) is None


def test_edges_of_a_supercell_lead_to_few_rows():
    atoms = bulk("Si", cubic=True) * (3, 3, 3)
    edges, found = reduced(atoms)
    assert found.n_orbits == 1
    assert len(edges.row_orbit) == 2  # itself, and the other sublattice
    assert (edges.centre == 0).all()
    assert edges.row_operation[0] == 0


def test_forces_of_pairs_are_those_of_all_atoms():
    """A pair energy without any network: Σ over edges of r⁻⁶."""
    atoms = symmetry_zoo.of_group(152)
    edges, found = reduced(atoms)
    weights = found.multiplicity[edges.centre]
    distances = np.linalg.norm(edges.vectors, axis=1)
    gradient = -6 * (weights * distances**-8)[:, None] * edges.vectors
    forces, shares = unfold(found, edges, gradient)
    pairs = neighbour_pairs(atoms.positions, atoms.cell.array, atoms.pbc, 4.0)
    vectors = (
        atoms.positions[pairs.neighbour]
        - atoms.positions[pairs.centre]
        + pairs.unit_shifts @ atoms.cell.array
    )
    slopes = -6 * np.linalg.norm(vectors, axis=1)[:, None] ** -8 * vectors
    expected = np.zeros((len(atoms), 3))
    np.add.at(expected, pairs.centre, 2 * slopes)
    np.testing.assert_allclose(forces, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        shares.sum(axis=0), np.einsum("ei,ej->ij", vectors, slopes), atol=1e-12
    )


def test_pairs_of_a_list_with_a_skin_give_the_same():
    atoms = symmetry_zoo.of_group(152) * (1, 1, 2)
    edges, found = reduced(atoms)
    wide = neighbour_pairs(atoms.positions, atoms.cell.array, atoms.pbc, 4.7)
    pairs = wide.centre, wide.neighbour, wide.unit_shifts
    within = ReducedEdges.of(found, atoms.positions, atoms.cell.array, *pairs, cutoff=4.0)
    np.testing.assert_array_equal(within.vectors, edges.vectors)
    np.testing.assert_array_equal(within.centre, edges.centre)
    for one, other in ((edges, within), (within, edges)):
        np.testing.assert_array_equal(one.row_orbit[one.row], other.row_orbit[other.row])
    gradient = np.random.default_rng(0).normal(size=edges.vectors.shape)
    for one, other in zip(
        unfold(found, edges, gradient), unfold(found, within, gradient), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-13)
    moved = atoms.positions * 1.001
    again = ReducedEdges.of(found, moved, atoms.cell.array * 1.001, *pairs, cutoff=4.0)
    assert again.pairs is within.pairs
    other = ReducedEdges.of(found, moved, atoms.cell.array, *(each.copy() for each in pairs))
    assert other.pairs is not within.pairs


def reduced(atoms):
    arrays = from_ase(atoms)
    pairs = neighbour_pairs(arrays.positions, arrays.cell, arrays.pbc, 4.0)
    found = symmetry_of(atoms)
    edges = ReducedEdges.of(
        found, arrays.positions, arrays.cell, pairs.centre, pairs.neighbour, pairs.unit_shifts
    )
    return edges, found


@pytest.mark.parametrize("setting", [0, -1e-3, float("nan"), 0.2, "on", True, None, "1e-3"])
def test_a_tolerance_without_meaning_is_refused(setting):
    with pytest.raises(InputError, match=r"tolerance above 0 and up to 0.1 Å, got"):
        tolerance_of(setting)


def test_settings_and_what_they_stand_for():
    assert tolerance_of("off") is None
    assert 0 < tolerance_of("auto") < 1e-6
    assert tolerance_of(np.float64(0.01)) == 0.01
