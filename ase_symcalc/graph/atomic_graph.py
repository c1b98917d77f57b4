"""One or many structures as tensors."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor


@dataclass(frozen=True, slots=True)
class AtomicGraph:
    """One or many structures, with every pair of atoms closer than the cutoff.

    The list is full (both directions), strict (nothing beyond the cutoff) and sorted by
    centre. The vector of an edge is
    ``positions[neighbour] - positions[centre] + unit_shifts @ cell``, written in
    `graph.geometry.edge_vectors` and nowhere else. `schema.FIELDS` has a line on each
    field.
    """

    positions: Float[Tensor, "n_atoms 3"]
    cell: Float[Tensor, "n_structures 3 3"]
    pbc: Bool[Tensor, "n_structures 3"]
    atomic_numbers: Int64[Tensor, "n_atoms"]
    structure_index: Int64[Tensor, "n_atoms"]
    edge_index: Int64[Tensor, "2 n_edges"]
    unit_shifts: Float[Tensor, "n_edges 3"]
    cutoff: float

    @property
    def n_atoms(self) -> int:
        """Number of atoms of all structures together."""
        return self.positions.shape[0]

    @property
    def n_edges(self) -> int:
        """Number of ordered pairs within the cutoff."""
        return self.edge_index.shape[1]

    @property
    def n_structures(self) -> int:
        """Number of structures."""
        return self.cell.shape[0]

    def to(self, device: torch.device | str, dtype: torch.dtype) -> AtomicGraph:
        """Return the graph on a device, real numbers in ``dtype``, whole ones untouched."""
        moved: dict[str, Any] = {
            f.name: value.to(device, dtype if value.is_floating_point() else None)
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), Tensor)
        }
        return replace(self, **moved)
