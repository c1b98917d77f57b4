"""A list with a skin gives what a fresh search gives, whatever the atoms do."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_symcalc.structures import SkinList, StructureArrays, neighbour_pairs
from tests.property.strategies import integers, numbers, structures, vectors

bounded = settings(max_examples=60)


def step(draw, arrays: StructureArrays, size: float) -> StructureArrays:
    """Strain the cell, move the atoms, and at times move some by lattice vectors."""
    strain = np.eye(3) + draw(vectors(3, -0.1, 0.1)) * size
    cell = arrays.cell @ strain
    positions = arrays.positions @ (strain if draw(st.booleans()) else np.eye(3))
    positions = positions + draw(vectors(len(positions), -0.5, 0.5)) * size
    if draw(st.booleans()):
        positions += (draw(integers(len(positions), 2)) * arrays.pbc) @ cell
    return StructureArrays(positions, cell, arrays.pbc, arrays.atomic_numbers)


def assert_as_fresh(skin_list: SkinList, arrays: StructureArrays) -> None:
    got = skin_list.pairs(arrays)
    fresh = neighbour_pairs(arrays.positions, arrays.cell, arrays.pbc, skin_list.cutoff)
    np.testing.assert_array_equal(got.centre, fresh.centre)
    np.testing.assert_array_equal(got.neighbour, fresh.neighbour)
    np.testing.assert_array_equal(got.unit_shifts, fresh.unit_shifts)
    assert got.cutoff == fresh.cutoff == skin_list.cutoff


@bounded
@given(structures(), numbers(0.5, 5.0), numbers(0.0, 2.0), st.data())
def test_same_pairs_as_a_fresh_search_after_any_motion(arrays, cutoff, skin, data):
    skin_list = SkinList(cutoff, skin)
    assert_as_fresh(skin_list, arrays)
    for size in (0.02, 0.2, 1.0):
        arrays = step(data.draw, arrays, size)
        assert_as_fresh(skin_list, arrays)


@bounded
@given(structures(), numbers(0.5, 5.0), st.data())
def test_small_motion_and_strain_search_only_once(arrays, cutoff, data):
    skin_list = SkinList(cutoff, 1.0)
    skin_list.pairs(arrays)
    n_atoms = len(arrays.positions)
    for _ in range(3):
        strain = np.eye(3) + data.draw(vectors(3, -0.01, 0.01))
        wiggle = data.draw(vectors(n_atoms, -0.1, 0.1))
        moved = StructureArrays(
            arrays.positions @ strain + wiggle,
            arrays.cell @ strain,
            arrays.pbc,
            arrays.atomic_numbers,
        )
        if not arrays.pbc.all():  # what does not repeat has no strain: motion only
            moved = StructureArrays(
                arrays.positions + wiggle, arrays.cell, arrays.pbc, arrays.atomic_numbers
            )
        assert_as_fresh(skin_list, moved)
        assert not skin_list.rebuilt
