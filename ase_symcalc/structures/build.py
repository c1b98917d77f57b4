"""Arrays and pairs to the tensors of an `AtomicGraph`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ase import Atoms

from ase_symcalc.graph import AtomicGraph, join_graphs
from ase_symcalc.structures.from_ase import StructureArrays, from_ase
from ase_symcalc.structures.neighbours import Pairs, check_separation, fold, neighbour_pairs


def graph_from_pairs(
    arrays: StructureArrays,
    pairs: Pairs,
    *,
    dtype: torch.dtype,
    device: torch.device | str,
) -> AtomicGraph:
    """Graph of one structure; shares no memory with the arrays.

    In less than float64 the positions are first brought near the origin, by whole cell
    vectors and one translation, and the shifts with them: the same edges, but without the
    digits that large coordinates would cost.
    """
    positions, unit_shifts = arrays.positions, pairs.unit_shifts
    if dtype != torch.float64:
        positions, crossed = fold(positions, arrays.cell, arrays.pbc)
        positions = positions - positions.mean(axis=0)
        unit_shifts = unit_shifts + crossed[pairs.neighbour] - crossed[pairs.centre]
    return AtomicGraph(
        positions=torch.tensor(positions, dtype=dtype, device=device),
        cell=torch.tensor(arrays.cell[None], dtype=dtype, device=device),
        pbc=torch.tensor(arrays.pbc[None], device=device),
        atomic_numbers=torch.tensor(arrays.atomic_numbers, device=device),
        structure_index=torch.zeros(len(positions), dtype=torch.int64, device=device),
        edge_index=torch.tensor(np.stack([pairs.centre, pairs.neighbour]), device=device),
        unit_shifts=torch.tensor(unit_shifts, dtype=dtype, device=device),
        cutoff=pairs.cutoff,
    )


def build_graph(
    structures: Atoms | Sequence[Atoms],
    cutoff: float,
    *,
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
) -> AtomicGraph:
    """Graph of one structure, or of many joined in order.

    Parameters
    ----------
    structures : ase.Atoms or sequence of ase.Atoms
    cutoff : float, Å
    dtype : torch.dtype
        Of positions, cell and shifts.
    device : torch.device or str

    Raises
    ------
    InputError
        If there is no structure, one has no meaning (`from_ase`, `neighbour_pairs`), or two
        of its atoms are closer than 0.1 Å.
    """
    if isinstance(structures, Atoms):
        structures = [structures]
    graphs = []
    for atoms in structures:
        arrays = from_ase(atoms)
        pairs = neighbour_pairs(arrays.positions, arrays.cell, arrays.pbc, cutoff)
        check_separation(arrays, pairs)
        graphs.append(graph_from_pairs(arrays, pairs, dtype=dtype, device=device))
    return join_graphs(graphs)
