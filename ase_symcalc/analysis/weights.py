"""Weights of a graph's edges as differentiable functions of the geometry, and its Laplacian."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ase_symcalc.analysis.voronoi import VoronoiCells
from ase_symcalc.errors import InputError
from ase_symcalc.graph import AtomicGraph, edge_vectors

DECAYS = ("inverse-square", "exponential", "polynomial")

SMOOTHNESS = 6
"""p of the polynomial: two derivatives vanish at the cutoff."""


def weights_cutoff(
    graph: AtomicGraph,
    *,
    decay: str = "polynomial",
    length: float = 1.0,
    normalise: bool = True,
) -> Float[Tensor, "n_edges"]:
    """Weight of every edge by its length, differentiable in positions and cell.

    Parameters
    ----------
    graph : AtomicGraph
    decay : "inverse-square", "exponential" or "polynomial"
        (length/r)², exp(-r/length), or the envelope of Gasteiger, Groß and Günnemann, ICLR
        2020 (arXiv:2003.03123), equation 8. The first two end with a step at the cutoff, so
        that a pair which crosses it changes the graph suddenly; the last does not.
    length : float, Å
        Of the first two.
    normalise : bool
        Divide by the root of the degrees of both ends, see `normalised`.

    Returns
    -------
    (n_edges,) tensor
        In the order of the graph's edges; the same in both directions of a pair.

    Raises
    ------
    InputError
        If the decay is unknown or the length is not above 0.
    """
    if decay not in DECAYS:
        raise InputError(f"expected the decay to be one of {', '.join(DECAYS)}; got {decay!r}")
    if not length > 0:
        raise InputError(f"expected a length above 0 Å, got {length} Å")
    r = torch.linalg.vector_norm(edge_vectors(graph), dim=1)
    if decay == "inverse-square":
        weights = (length / r) ** 2
    elif decay == "exponential":
        weights = torch.exp(-r / length)
    else:
        weights = _envelope(r / graph.cutoff)
    return normalised(weights, graph.edge_index, graph.n_atoms) if normalise else weights


def weights_voronoi(
    cells: VoronoiCells, *, kind: str = "solid angle", normalise: bool = True
) -> Float[Tensor, "n_faces"]:
    """Weight of every face between two Voronoi cells, differentiable like the cells.

    Parameters
    ----------
    cells : VoronoiCells
        As `voronoi_cells` returns them.
    kind : "solid angle" or "area"
        The part of the full sphere that the face covers, averaged over both sides, as in
        O'Keeffe, Acta Cryst. A 35, 772 (1979); or the area over the sum of the areas of a cell,
        averaged likewise.
    normalise : bool
        Divide by the root of the degrees of both ends, see `normalised`.

    Returns
    -------
    (n_faces,) tensor
        In the order of the faces; the same seen from both sides.

    Raises
    ------
    InputError
        If the kind is unknown.
    """
    centre = cells.edge_index[0]
    n_atoms = len(cells.volumes)
    if kind == "solid angle":
        parts = cells.solid_angles / (4 * torch.pi)
    elif kind == "area":
        sums = cells.areas.new_zeros(n_atoms).index_add(0, centre, cells.areas)
        parts = cells.areas / sums[centre]
    else:
        raise InputError(f"expected the kind to be 'solid angle' or 'area', got {kind!r}")
    weights = (parts + parts[cells.reverse]) / 2
    return normalised(weights, cells.edge_index, n_atoms) if normalise else weights


def normalised(
    weights: Float[Tensor, "n_edges"], edge_index: Int64[Tensor, "2 n_edges"], n_atoms: int
) -> Float[Tensor, "n_edges"]:
    """Weights w_ij / (d_i d_j)^½, where the degree d_i is the sum of an atom's weights.

    They stay symmetric, and the largest eigenvalue of their matrix is 1: Chung, Spectral Graph
    Theory (1997), chapter 1. An atom all of whose weights are 0 keeps them.
    """
    degrees = weights.new_zeros(n_atoms).index_add(0, edge_index[0], weights)
    degrees = torch.where(degrees > 0, degrees, torch.ones_like(degrees))
    return weights / (degrees[edge_index[0]] * degrees[edge_index[1]]).sqrt()


def _envelope(x: Tensor) -> Tensor:
    """Take the triple root out of the polynomial: rounding leaves no negative weights."""
    rest = sum(math.comb(k + 2, 2) * x**k for k in range(SMOOTHNESS))
    return (1 - x).clamp(min=0) ** 3 * rest


def adjacency(
    weights: Float[Tensor, "n_edges"], edge_index: Int64[Tensor, "2 n_edges"], n_atoms: int
) -> Float[Tensor, "n_atoms n_atoms"]:
    """Weights as a matrix; edges between the same atoms through several images are added."""
    flat = weights.new_zeros(n_atoms * n_atoms)
    return flat.index_add(0, edge_index[0] * n_atoms + edge_index[1], weights).view(n_atoms, -1)


def laplacian(
    weights: Float[Tensor, "n_edges"],
    edge_index: Int64[Tensor, "2 n_edges"],
    n_atoms: int,
    *,
    normalise: bool = False,
) -> Float[Tensor, "n_atoms n_atoms"]:
    """Graph Laplacian D - W, or I - D^(-½) W D^(-½) if normalised; differentiable.

    Its eigenvalues are zero or more, and as many are zero as the graph has parts. In the
    normalised one an atom without edges has a row of zeros. Chung, Spectral Graph Theory
    (1997), chapter 1.
    """
    matrix = adjacency(weights, edge_index, n_atoms)
    degrees = matrix.sum(dim=1)
    if not normalise:
        return torch.diag(degrees) - matrix
    bound = degrees > 0
    roots = torch.where(bound, degrees, torch.ones_like(degrees)).sqrt()
    return torch.diag(bound.to(matrix)) - matrix / (roots[:, None] * roots)
