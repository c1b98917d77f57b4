"""Edge vectors: the only place where the sign of an edge is written."""

import torch
from jaxtyping import Float
from torch import Tensor

from ase_symcalc.graph.atomic_graph import AtomicGraph


def edge_vectors(graph: AtomicGraph) -> Float[Tensor, "n_edges 3"]:
    """Vectors from centre to neighbour, Å, differentiable in positions and cell."""
    centre, neighbour = graph.edge_index
    edge_structure = graph.structure_index.index_select(0, centre)
    vectors = graph.positions.index_select(0, neighbour) - graph.positions.index_select(0, centre)
    if graph.n_structures == 1:
        return vectors + graph.unit_shifts @ graph.cell[0]
    cells = graph.cell.index_select(0, edge_structure)
    return vectors + torch.einsum("ei,eij->ej", graph.unit_shifts, cells)
