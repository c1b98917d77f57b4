"""What the network must see of a symmetric structure, and what follows for all atoms.

Let v_e be the vector of an edge from representative r to an atom j, which is the image of
representative r(j) under R_j and a translation, m_r the size of the orbit of r, and
g_e = ∂/∂v_e of E = Σ_r m_r E_r. If representatives move by u_r, each within what its site
leaves free, and all other atoms as their images, an edge changes by R_j u_r(j) - u_r, hence

    F_r = -(1/m_r) P_r [ Σ_{e: r(j)=r} R_jᵀ g_e - Σ_{e: centre r} g_e ],    F_a = R_a F_r(a),

P_r the mean of the rotations of the site's stabiliser. P_r is needed: the network is only
differentiated along the moves of representatives, one edge at a time, and the single g_e do
not know that equivalent edges move together. Shares of the stress go the same way, with
½ sym(v ⊗ g) of an edge for either end in the place of g.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from ase_symcalc.nn.kernels.sequence import address
from ase_symcalc.nn.kernels.unfolding import reduced_pick_kernel, unfolding_kernel
from ase_symcalc.symmetry.orbits import SymmetryMap
from ase_symcalc.symmetry.pairs import ReducedPairs


@dataclass(frozen=True, slots=True, eq=False)
class ReducedEdges:
    """Edges of the representatives, and the rows they lead to (see `ReducedPairs`)."""

    vectors: Float64[np.ndarray, "n_edges 3"]
    """Å"""
    centre: Int64[np.ndarray, "n_edges"]
    """Orbit of the representative"""
    row: Int64[np.ndarray, "n_edges"]
    pairs: ReducedPairs
    """What the edges are picked from"""
    n_full: int
    """Edges of all atoms together"""
    shortest: float
    """Å, infinite if there are none"""

    @property
    def row_orbit(self) -> Int64[np.ndarray, "n_rows"]:
        """Orbit of each row."""
        return self.pairs.row_orbit

    @property
    def row_operation(self) -> Int64[np.ndarray, "n_rows"]:
        """The rotation that turns the representative's surroundings into those of the row."""
        return self.pairs.row_operation

    @classmethod
    def of(
        cls,
        symmetry: SymmetryMap,
        positions: Float64[np.ndarray, "n_atoms 3"],
        cell: Float64[np.ndarray, "3 3"],
        centre: Int64[np.ndarray, "n_edges_full"],
        neighbour: Int64[np.ndarray, "n_edges_full"],
        unit_shifts: Int64[np.ndarray, "n_edges_full 3"],
        cutoff: float = np.inf,
    ) -> ReducedEdges:
        """Pick from all pairs of a structure, sorted by centre.

        Parameters
        ----------
        symmetry : SymmetryMap
            Must hold for the structure.
        positions : (n_atoms, 3) array, Å
        cell : (3, 3) array, Å
        centre, neighbour, unit_shifts : arrays
            As in `graph.AtomicGraph`. While they are the same objects from call to call, as
            those of a neighbour list with a skin are, little is done again; rows then stay
            the same too, also those that no edge within the cutoff leads to.
        cutoff : float, Å
            Longer pairs are left out.
        """
        pairs = symmetry.reduced_pairs(centre, neighbour, unit_shifts)
        fixed, n_pairs = _fixed(symmetry, pairs), len(pairs.centre)
        # one row more: the kernel writes each pair before it knows whether it counts
        indices, vectors = np.empty((2, n_pairs + 1), dtype=np.int64), np.empty((n_pairs + 1, 3))
        counts, limits = np.empty(2, dtype=np.int64), np.array([cutoff, 0.0])
        places = (positions, cell)
        positions, cell = (np.ascontiguousarray(each, dtype=np.float64) for each in places)
        written = map(address, (indices, indices[1], counts, positions))
        read = map(address, (cell, limits, vectors))
        reduced_pick_kernel()(0, n_pairs, *fixed.pairs, *written, *fixed.shifts, *read)
        n, n_full = counts.tolist()
        shortest = float(limits[1]) ** 0.5
        return cls(vectors[:n], indices[0, :n], indices[1, :n], pairs, n_full, shortest)


def unfold(
    symmetry: SymmetryMap, edges: ReducedEdges, gradient: Float64[np.ndarray, "n_edges 3"]
) -> tuple[Float64[np.ndarray, "n_atoms 3"], Float64[np.ndarray, "n_atoms 3 3"]]:
    """Return forces on all atoms, and their shares of ∂E/∂ε.

    Parameters
    ----------
    symmetry : SymmetryMap
    edges : ReducedEdges
    gradient : (n_edges, 3) array, eV/Å
        Of the energy of the whole structure, Σ_r m_r E_r, by the edge vectors.

    Returns
    -------
    forces : (n_atoms, 3) array, eV/Å
    shares : (n_atoms, 3, 3) array, eV
        Divided by the volume, shares of the stress.
    """
    fixed, n_atoms = _fixed(symmetry, edges.pairs), len(symmetry.orbit)
    orbits = np.empty((symmetry.n_orbits, 12))
    forces, shares = np.empty((n_atoms, 3)), np.empty((n_atoms, 3, 3))
    indices = map(address, (edges.centre, edges.row))
    reals = map(address, (edges.vectors, np.ascontiguousarray(gradient)))
    pulls = address(orbits)
    virials = pulls + 24 * len(orbits)
    written = (pulls, virials, address(forces), address(shares))
    arguments = (*indices, *fixed.indices, *reals, *fixed.reals, *written)
    unfolding_kernel()(0, len(edges.centre), *arguments)
    return forces, shares


class _Fixed(NamedTuple):
    """Addresses of what stays the same from step to step, as the kernels take them."""

    pairs: tuple[int, ...]
    shifts: tuple[int, ...]
    indices: tuple[int, ...]
    reals: tuple[int, ...]
    kept: list[np.ndarray]


def _fixed(symmetry: SymmetryMap, pairs: ReducedPairs) -> _Fixed:
    if found := pairs.kept.get(_Fixed):
        return found
    kept: list[np.ndarray] = []

    def addresses(*arrays: np.ndarray) -> tuple[int, ...]:
        kept.extend(np.ascontiguousarray(array) for array in arrays)
        return tuple(array.ctypes.data for array in kept[-len(arrays) :])

    fixed = pairs.kept[_Fixed] = _Fixed(
        addresses(*pairs.atoms, pairs.centre, pairs.row, symmetry.multiplicity),
        addresses(pairs.unit_shifts),
        addresses(
            pairs.row_orbit, pairs.row_operation, symmetry.multiplicity, symmetry.site,
            symmetry.site_orbits, np.array([symmetry.n_orbits, len(symmetry.orbit)]),
        ),
        addresses(
            symmetry.rotations.matrices, symmetry.vector_projectors, symmetry.tensor_projectors,
            symmetry.site_turns,
        ),
        kept,
    )  # fmt: skip
    return fixed
