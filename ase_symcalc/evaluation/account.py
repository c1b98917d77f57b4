"""What is said of an evaluation afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the last calculation did."""

    n_atoms: int
    n_orbits: int
    """Atoms evaluated; the others are their images."""
    n_operations: int
    """Symmetry operations used; 1 is the identity alone."""
    n_edges: int
    """Pairs of atoms evaluated, by all members of a committee together."""
    n_edges_full: int
    """Pairs of atoms within the cutoff, counted likewise."""
    list_rebuilt: bool
    """False if an older neighbour list was still valid."""
    seconds: Mapping[str, float]
    """Wall time of each hop, by the name of its function."""
