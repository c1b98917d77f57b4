"""The graph: its table, its edges, joining."""

import dataclasses

import pytest
import torch

from ase_symcalc.errors import InputError
from ase_symcalc.graph import AtomicGraph, edge_vectors, join_graphs
from ase_symcalc.graph.schema import FIELDS


def pair(cutoff=2.0):
    """Two atoms in a sheared cell, one edge through its side."""
    return AtomicGraph(
        positions=torch.tensor([[0.1, 0.0, 0.0], [2.8, 0.2, 0.0]]),
        cell=torch.tensor([[[3.0, 0.0, 0.0], [1.0, 3.0, 0.0], [0.0, 0.0, 3.0]]]),
        pbc=torch.tensor([[True, True, True]]),
        atomic_numbers=torch.tensor([14, 29]),
        structure_index=torch.tensor([0, 0]),
        edge_index=torch.tensor([[0, 1], [1, 0]]),
        unit_shifts=torch.tensor([[-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]]),
        cutoff=cutoff,
    )


def test_the_table_names_every_field():
    assert [f.name for f in FIELDS] == [f.name for f in dataclasses.fields(AtomicGraph)]


def test_vectors_point_from_centre_to_neighbour_through_the_cell():
    expected = torch.tensor([[-0.3, 0.2, 0.0], [0.3, -0.2, 0.0]])
    torch.testing.assert_close(edge_vectors(pair()), expected)


def test_joined_graphs_keep_their_edges():
    joined = join_graphs([pair(), pair()])
    assert (joined.n_structures, joined.n_atoms, joined.n_edges) == (2, 4, 4)
    torch.testing.assert_close(edge_vectors(joined), edge_vectors(pair()).repeat(2, 1))
    assert joined.structure_index.tolist() == [0, 0, 1, 1]


def test_graphs_of_different_cutoffs_do_not_join():
    with pytest.raises(InputError, match=r"share one cutoff; got \[2.0, 3.0\]"):
        join_graphs([pair(2.0), pair(3.0)])
    with pytest.raises(InputError, match="at least one graph"):
        join_graphs([])


def test_dtype_changes_real_numbers_only():
    moved = pair().to("cpu", torch.float64)
    assert moved.positions.dtype == moved.unit_shifts.dtype == torch.float64
    assert moved.edge_index.dtype == torch.int64
