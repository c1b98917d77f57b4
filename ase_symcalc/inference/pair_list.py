"""From pairs of atoms to edges, and from the gradient by edges back to atoms."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from ase_symcalc.inference.surroundings import Surroundings
from ase_symcalc.nn.kernels.edges import pick_kernel, spread_kernel
from ase_symcalc.nn.kernels.sequence import address


def edges_within(
    pairs: tuple[
        Int64[np.ndarray, "n_pairs"], Int64[np.ndarray, "n_pairs"], Int64[np.ndarray, "n_pairs 3"]
    ],
    positions: Float64[np.ndarray, "n_atoms 3"],
    cell: Float64[np.ndarray, "3 3"],
    cutoff: float,
) -> tuple[
    Float64[np.ndarray, "n_edges 3"], Int64[np.ndarray, "n_edges"], Int64[np.ndarray, "n_edges"]
]:
    """Return vectors (Å), centres and neighbours of the pairs shorter than the cutoff, in order.

    Parameters
    ----------
    pairs : (centre, neighbour, unit_shifts)
    positions : (n_atoms, 3) array, Å
    cell : (3, 3) array, Å
    cutoff : float, Å
    """
    i, j, unit_shifts = (np.ascontiguousarray(array) for array in pairs)
    n = len(i)
    shifts = unit_shifts.astype(np.float64)
    positions, cell = np.ascontiguousarray(positions), np.ascontiguousarray(cell)
    limit, count = np.array([cutoff]), np.zeros(1, dtype=np.int64)
    # one row more: the kernel writes each pair before it knows whether it counts
    centre, neighbour = np.empty(n + 1, dtype=np.int64), np.empty(n + 1, dtype=np.int64)
    vectors = np.empty((n + 1, 3))
    arrays = (i, j, centre, neighbour, count, positions, shifts, cell, limit, vectors)
    pick_kernel()(0, n, *map(address, arrays))
    n_edges = int(count[0])
    return vectors[:n_edges], centre[:n_edges], neighbour[:n_edges]


def to_atoms(
    seen: Surroundings, gradient: Float64[np.ndarray, "n_edges 3"]
) -> tuple[Float64[np.ndarray, "n_rows 3"], Float64[np.ndarray, "n_rows 3 3"]]:
    """Return forces (eV/Å), and each row's share of ∂E/∂ε (eV): see `response.derivatives`.

    Parameters
    ----------
    seen : Surroundings
    gradient : (n_edges, 3) array, eV/Å
        Of the energy by the edge vectors.
    """
    n = len(seen.atomic_numbers)
    forces, shares = np.zeros((n, 3)), np.zeros((n, 3, 3))
    arrays = (seen.centre, seen.neighbour, seen.edge_vectors, np.ascontiguousarray(gradient))
    addresses = map(address, (*arrays, forces, shares))
    spread_kernel()(0, len(gradient), *addresses)
    return forces, shares
