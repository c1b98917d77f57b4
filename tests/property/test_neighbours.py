"""Neighbour pairs against ASE's own list, and the identities that any right list obeys."""

from collections import Counter

import numpy as np
from ase.geometry import complete_cell
from ase.neighborlist import primitive_neighbor_list
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_symcalc.structures import Pairs, StructureArrays, neighbour_pairs
from tests.property.strategies import integers, lattice_changes, numbers, structures, vectors

CUTOFFS = numbers(0.5, 6.0)
bounded = settings(max_examples=60)


def search(arrays: StructureArrays, cutoff: float) -> Pairs:
    return neighbour_pairs(arrays.positions, arrays.cell, arrays.pbc, cutoff)


def edges(arrays: StructureArrays, pairs: Pairs) -> np.ndarray:
    ends = arrays.positions[pairs.neighbour] - arrays.positions[pairs.centre]
    return ends + pairs.unit_shifts @ arrays.cell


def pair_counts(centre, neighbour, unit_shifts, lengths, cutoff) -> Counter:
    """Pairs as a multiset, but for those so close to the cutoff that rounding decides."""
    clear = lengths < cutoff - 1e-8
    return Counter(
        zip(
            centre[clear].tolist(),
            neighbour[clear].tolist(),
            map(tuple, unit_shifts[clear].tolist()),
            strict=True,
        )
    )


def counts(arrays: StructureArrays, pairs: Pairs) -> Counter:
    lengths = np.linalg.norm(edges(arrays, pairs), axis=1)
    return pair_counts(pairs.centre, pairs.neighbour, pairs.unit_shifts, lengths, pairs.cutoff)


@bounded
@given(structures(), CUTOFFS)
def test_same_pairs_as_ase(arrays, cutoff):
    # ASE 3.29 loses pairs of a cell with a zero vector when rounding makes its inverse huge
    cell = complete_cell(arrays.cell)
    i, j, shifts, lengths = primitive_neighbor_list(
        "ijSd", arrays.pbc, cell, arrays.positions, cutoff, self_interaction=False
    )
    expected = pair_counts(i, j, shifts, lengths, cutoff)
    assert counts(arrays, search(arrays, cutoff)) == expected


@bounded
@given(structures(), CUTOFFS)
def test_list_is_full_strict_sorted_and_free_of_self_pairs(arrays, cutoff):
    pairs = search(arrays, cutoff)
    rows = np.column_stack([pairs.centre, pairs.neighbour, pairs.unit_shifts])
    back = np.column_stack([pairs.neighbour, pairs.centre, -pairs.unit_shifts])
    assert Counter(map(tuple, rows.tolist())) == Counter(map(tuple, back.tolist()))
    assert len(np.unique(rows, axis=0)) == len(rows)
    n_atoms = len(arrays.positions)
    np.testing.assert_array_equal(
        np.bincount(pairs.centre, minlength=n_atoms),
        np.bincount(pairs.neighbour, minlength=n_atoms),
    )
    assert (np.diff(pairs.centre * n_atoms + pairs.neighbour) >= 0).all()
    assert (np.linalg.norm(edges(arrays, pairs), axis=1) < cutoff + 1e-12).all()
    assert not pairs.unit_shifts[:, ~arrays.pbc].any()
    assert (pairs.unit_shifts[pairs.centre == pairs.neighbour] != 0).any(axis=1).all()


@bounded
@given(structures(), CUTOFFS)
def test_edge_vectors_sum_to_zero_and_balance_on_each_pair_of_atoms(arrays, cutoff):
    pairs = search(arrays, cutoff)
    np.testing.assert_allclose(edges(arrays, pairs).sum(axis=0), 0, atol=1e-9)


@bounded
@given(structures(), CUTOFFS, st.data())
def test_moving_atoms_by_lattice_vectors_only_moves_the_shifts(arrays, cutoff, data):
    crossed = data.draw(integers(len(arrays.positions), 50)) * arrays.pbc
    moved = StructureArrays(
        arrays.positions + crossed @ arrays.cell, arrays.cell, arrays.pbc, arrays.atomic_numbers
    )
    pairs = search(moved, cutoff)
    shifts = pairs.unit_shifts + crossed[pairs.neighbour] - crossed[pairs.centre]
    back = Pairs(pairs.centre, pairs.neighbour, shifts, cutoff)
    assert counts(arrays, back) == counts(arrays, search(arrays, cutoff))


@bounded
@given(structures(), CUTOFFS, st.data())
def test_other_vectors_of_the_same_lattice_give_the_same_edges(arrays, cutoff, data):
    change = data.draw(lattice_changes(arrays.pbc))
    other = StructureArrays(
        arrays.positions, change @ arrays.cell, arrays.pbc, arrays.atomic_numbers
    )
    pairs = search(other, cutoff)
    back = Pairs(pairs.centre, pairs.neighbour, pairs.unit_shifts @ change, cutoff)
    assert counts(arrays, back) == counts(arrays, search(arrays, cutoff))


@bounded
@given(structures(), CUTOFFS, st.data())
def test_renumbering_the_atoms_renumbers_the_pairs(arrays, cutoff, data):
    order = np.array(data.draw(st.permutations(range(len(arrays.positions)))))
    other = StructureArrays(arrays.positions[order], arrays.cell, arrays.pbc, arrays.atomic_numbers)
    pairs = search(other, cutoff)
    back = Pairs(order[pairs.centre], order[pairs.neighbour], pairs.unit_shifts, cutoff)
    assert counts(arrays, back) == counts(arrays, search(arrays, cutoff))


@bounded
@given(structures(), CUTOFFS, vectors(1, -1e5, 1e5))
def test_moving_everything_changes_nothing(arrays, cutoff, vector):
    moved = StructureArrays(
        arrays.positions + vector, arrays.cell, arrays.pbc, arrays.atomic_numbers
    )
    assert counts(arrays, search(arrays, cutoff)) == counts(moved, search(moved, cutoff))
