"""Join graphs into one, so that the network runs once for many structures."""

from collections.abc import Sequence

import torch

from ase_symcalc.errors import InputError
from ase_symcalc.graph.atomic_graph import AtomicGraph


def join_graphs(graphs: Sequence[AtomicGraph]) -> AtomicGraph:
    """One graph of all structures, in order; atoms and structures are renumbered.

    Raises
    ------
    InputError
        If there is no graph, or the cutoffs differ.
    """
    if not graphs:
        raise InputError("expected at least one graph to join, got none")
    cutoffs = {graph.cutoff for graph in graphs}
    if len(cutoffs) > 1:
        raise InputError(f"graphs to join must share one cutoff; got {sorted(cutoffs)} Å")
    atoms_before, structures_before = 0, 0
    edges, structures = [], []
    for graph in graphs:
        edges.append(graph.edge_index + atoms_before)
        structures.append(graph.structure_index + structures_before)
        atoms_before += graph.n_atoms
        structures_before += graph.n_structures
    return AtomicGraph(
        positions=torch.cat([g.positions for g in graphs]),
        cell=torch.cat([g.cell for g in graphs]),
        pbc=torch.cat([g.pbc for g in graphs]),
        atomic_numbers=torch.cat([g.atomic_numbers for g in graphs]),
        structure_index=torch.cat(structures),
        edge_index=torch.cat(edges, dim=1),
        unit_shifts=torch.cat([g.unit_shifts for g in graphs]),
        cutoff=cutoffs.pop(),
    )
