"""What a network sees: the surroundings of the atoms it evaluates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float, Int64
from torch import Tensor

from ase_symcalc.graph.atomic_graph import AtomicGraph
from ase_symcalc.graph.geometry import edge_vectors

Expansion = Callable[[Tensor, str], Tensor]
"""Features of the centres, and their irreps as text, to features of all rows."""


def identity(features: Tensor, irreps: str) -> Tensor:
    """Every row is a centre: nothing to add."""
    return features


@dataclass(frozen=True, slots=True)
class Environments:
    """The evaluated atoms (centres), and the rows their neighbour indices point to.

    The first ``n_centres`` rows are the centres themselves. ``expand`` is the one hook
    between layers: it turns features of the centres into features of all rows. For a plain
    call rows and centres are the same; symmetry reduction appends rotated images, domain
    decomposition appends atoms owned by other processes.
    """

    edge_vectors: Float[Tensor, "n_edges 3"]
    centre: Int64[Tensor, "n_edges"]
    neighbour: Int64[Tensor, "n_edges"]
    atomic_numbers: Int64[Tensor, "n_rows"]
    n_centres: int
    expand: Expansion = identity

    @classmethod
    def of(cls, graph: AtomicGraph) -> Environments:
        """Every atom of a graph is a centre."""
        return cls(
            edge_vectors=edge_vectors(graph),
            centre=graph.edge_index[0],
            neighbour=graph.edge_index[1],
            atomic_numbers=graph.atomic_numbers,
            n_centres=graph.n_atoms,
        )
