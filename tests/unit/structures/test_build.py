"""Arrays and pairs to graphs."""

import numpy as np
import pytest
import torch
from ase import Atoms

from ase_symcalc.errors import InputError
from ase_symcalc.graph import edge_vectors
from ase_symcalc.structures import build_graph, from_ase, graph_from_pairs, neighbour_pairs
from tests.zoo import NAMES, zoo


@pytest.mark.parametrize("name", NAMES)
def test_the_graph_holds_the_structure_and_its_edges(name):
    atoms = zoo()[name]
    graph = build_graph(atoms, 4.5)
    np.testing.assert_array_equal(graph.positions, atoms.positions)
    np.testing.assert_array_equal(graph.cell[0], atoms.cell.array)
    np.testing.assert_array_equal(graph.pbc[0], atoms.pbc)
    np.testing.assert_array_equal(graph.atomic_numbers, atoms.numbers)
    assert graph.positions.dtype == graph.cell.dtype == graph.unit_shifts.dtype == torch.float64
    assert graph.edge_index.shape == (2, graph.n_edges)
    lengths = edge_vectors(graph).norm(dim=1)
    assert (lengths < 4.5).all()
    assert graph.cutoff == 4.5


def test_many_structures_are_joined_in_order():
    structures = list(zoo().values())
    graph = build_graph(structures, 4.0)
    alone = [build_graph(atoms, 4.0) for atoms in structures]
    assert graph.n_structures == len(structures)
    assert graph.n_edges == sum(part.n_edges for part in alone)
    torch.testing.assert_close(edge_vectors(graph), torch.cat([edge_vectors(g) for g in alone]))


def test_the_graph_shares_no_memory_with_the_arrays():
    arrays = from_ase(zoo()["nimo_rocksalt"])
    pairs = neighbour_pairs(arrays.positions, arrays.cell, arrays.pbc, 4.0)
    graph = graph_from_pairs(arrays, pairs, dtype=torch.float64, device="cpu")
    for tensor, array in [
        (graph.positions, arrays.positions),
        (graph.cell, arrays.cell),
        (graph.pbc, arrays.pbc),
        (graph.atomic_numbers, arrays.atomic_numbers),
        (graph.unit_shifts, pairs.unit_shifts),
    ]:
        assert not np.shares_memory(tensor.numpy(), array)


@pytest.mark.parametrize("name", NAMES)
def test_single_precision_keeps_its_edges_far_from_the_origin(name):
    atoms = zoo()[name]
    expected = edge_vectors(build_graph(atoms, 4.5))
    crossed = np.random.default_rng(1).integers(-900, 900, (len(atoms), 3)) * atoms.pbc
    atoms.positions += crossed @ atoms.cell.array + (1e4, 2e4, -3e4)
    graph = build_graph(atoms, 4.5, dtype=torch.float32)
    assert graph.positions.dtype == torch.float32
    torch.testing.assert_close(edge_vectors(graph).double(), expected, atol=2e-5, rtol=0)


def test_default_dtype_is_left_alone():
    before = torch.get_default_dtype()
    build_graph(zoo()["cu_fcc_one_atom"], 4.0, dtype=torch.float32)
    assert torch.get_default_dtype() == before


def test_atoms_on_top_of_each_other_are_refused():
    with pytest.raises(InputError, match=r"atoms 0 \(Cu\) and 1 \(Cu\) are 0 Å apart"):
        build_graph(Atoms("Cu2"), 4.0)


def test_nothing_to_build_is_refused():
    with pytest.raises(InputError, match="at least one graph"):
        build_graph([], 4.0)
