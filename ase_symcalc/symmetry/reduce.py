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

import numpy as np
from jaxtyping import Float64, Int64

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
    kept: Int64[np.ndarray, "n_edges"] | None
    """Which of the pairs are edges; None if all are"""

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
        vectors = pairs.vectors(positions, cell)
        if cutoff == np.inf:
            return cls(vectors, pairs.centre, pairs.row, pairs, None)
        kept = np.flatnonzero(np.einsum("ei,ei->e", vectors, vectors) < cutoff**2)
        return cls(
            vectors.take(kept, axis=0), pairs.centre.take(kept), pairs.row.take(kept), pairs, kept
        )


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
    vectors, n_orbits = edges.vectors, symmetry.n_orbits
    if edges.kept is not None:
        both = np.zeros((2, len(edges.pairs.centre), 3))
        both[0, edges.kept], both[1, edges.kept] = vectors, gradient
        vectors, gradient = both
    pulls, virials = edges.pairs.sums(vectors, gradient, n_orbits)
    counts = symmetry.multiplicity[:, None, None]
    pulls = symmetry.vector_projectors @ (pulls[:, :, None] / counts)
    strains = ((virials + virials.transpose(0, 2, 1)) / (4 * counts)).reshape(-1, 9, 1)
    strains = (symmetry.tensor_projectors @ strains).reshape(-1, 3, 3)
    turn, orbit = symmetry.site_turns, symmetry.site_orbits
    forces = (turn @ pulls.take(orbit, axis=0))[:, :, 0]
    shares = turn @ strains.take(orbit, axis=0) @ turn.transpose(0, 2, 1)
    return forces.take(symmetry.site, axis=0), shares.take(symmetry.site, axis=0)
