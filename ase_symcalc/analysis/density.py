"""What surrounds an atom, as a function on space around it: one signal for each element."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from ase.data import atomic_numbers
from jaxtyping import Float
from torch import Tensor

from ase_symcalc.analysis.memory import check_memory
from ase_symcalc.analysis.radial import GaussianBasis
from ase_symcalc.errors import InputError, UnsupportedElementError
from ase_symcalc.graph import AtomicGraph, edge_vectors
from ase_symcalc.nn.angular import edge_harmonics

CHUNK = 4096
"""Edges whose products are held at a time: so few that they stay in a processor's cache."""


def project(
    graph: AtomicGraph, elements: Sequence[str], basis: GaussianBasis
) -> list[Float[Tensor, "n_atoms n_channels n_m"]]:
    """Project the density around each atom on radial functions and spherical harmonics.

    Parameters
    ----------
    graph : AtomicGraph
        With the cutoff of the basis. The atom itself is not among its neighbours.
    elements : sequence of str
        Chemical symbols; every one in the graph must be there.
    basis : GaussianBasis

    Returns
    -------
    list of (n_atoms, n_elements * n_max, 2l + 1) tensors, l = 0, 1, ...
        c_(Zn)lm = Σ_j R_nl(r_ij) Y_lm(r_ij) over neighbours of element Z, in e3nn's basis of real
        harmonics, normalised on the sphere. Differentiable in positions and cell.

    Raises
    ------
    InputError
        If the cutoffs differ, or the coefficients need more than 4 GB.
    UnsupportedElementError
        If an element is not in the list.

    Notes
    -----
    Bartók, Kondor and Csányi, Phys. Rev. B 87, 184115 (2013), equation 24.
    """
    if graph.cutoff != basis.cutoff:
        raise InputError(
            f"the graph was built with a cutoff of {graph.cutoff} Å, the basis has "
            f"{basis.cutoff} Å; expected the same"
        )
    n_m = (basis.lmax + 1) ** 2
    # coefficients, and the harmonics of the edges, in parts and joined
    held = graph.n_atoms * len(elements) * basis.n_max + 2 * min(graph.n_edges, CHUNK)
    check_memory(held * n_m * graph.positions.element_size(), f"lmax={basis.lmax}")
    vectors = edge_vectors(graph)
    lengths = torch.linalg.vector_norm(vectors, dim=1)
    centre, neighbour = graph.edge_index
    rows = centre * len(elements) + _element_index(graph, elements)[neighbour]
    sums = [
        vectors.new_zeros(graph.n_atoms * len(elements), basis.n_max, 2 * l + 1)
        for l in range(basis.lmax + 1)
    ]
    for start in range(0, max(graph.n_edges, 1), CHUNK):
        part = slice(start, start + CHUNK)
        r = lengths[part]
        harmonics = edge_harmonics(vectors[part] / r[:, None], basis.lmax)
        harmonics = harmonics * (basis.weight(r) / math.sqrt(4 * math.pi))[:, None]
        for l in range(basis.lmax + 1):
            radial = basis.without_weight(r, l)
            terms = radial[:, :, None] * harmonics[:, None, l * l : (l + 1) ** 2]
            sums[l].index_add_(0, rows[part], terms)
    return [each.reshape(graph.n_atoms, -1, each.shape[2]) for each in sums]


def _element_index(graph: AtomicGraph, elements: Sequence[str]) -> Tensor:
    known = torch.tensor([atomic_numbers[symbol] for symbol in elements]).to(graph.atomic_numbers)
    same = graph.atomic_numbers[:, None] == known
    if not bool(same.any(dim=1).all()):
        raise UnsupportedElementError(
            f"the structure holds elements that are not among {', '.join(elements)}; name them all"
        )
    return same.int().argmax(dim=1)
