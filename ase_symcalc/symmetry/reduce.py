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


@dataclass(frozen=True, slots=True, eq=False)
class ReducedEdges:
    """Edges of the representatives, and the rows they lead to.

    Rows are the representatives, in the order of the map, then those images of them that
    edges lead to; images that differ by a translation are one row.
    """

    vectors: Float64[np.ndarray, "n_edges 3"]
    """Å"""
    centre: Int64[np.ndarray, "n_edges"]
    """Orbit of the representative"""
    row: Int64[np.ndarray, "n_edges"]
    row_orbit: Int64[np.ndarray, "n_rows"]
    row_operation: Int64[np.ndarray, "n_rows"]
    """The rotation that turns the representative's surroundings into those of the row"""

    @classmethod
    def of(
        cls,
        symmetry: SymmetryMap,
        positions: Float64[np.ndarray, "n_atoms 3"],
        cell: Float64[np.ndarray, "3 3"],
        centre: Int64[np.ndarray, "n_edges_full"],
        neighbour: Int64[np.ndarray, "n_edges_full"],
        unit_shifts: Int64[np.ndarray, "n_edges_full 3"],
    ) -> ReducedEdges:
        """Pick from all edges of a structure, sorted by centre.

        Parameters
        ----------
        symmetry : SymmetryMap
            Must hold for the structure.
        positions : (n_atoms, 3) array, Å
        cell : (3, 3) array, Å
        centre, neighbour, unit_shifts : arrays
            As in `graph.AtomicGraph`.
        """
        edges = symmetry.edges(centre)
        i, j = centre[edges], neighbour[edges]
        vectors = positions[j] - positions[i] + unit_shifts[edges] @ cell
        n_orbits = symmetry.n_orbits
        # rotation 0 is the identity, so the representatives themselves come first
        kind = symmetry.operation[j] * n_orbits + symmetry.orbit[j]
        needed = np.zeros(n_orbits * len(symmetry.rotations.matrices), dtype=bool)
        needed[:n_orbits] = needed[kind] = True
        row_operation, row_orbit = np.divmod(np.flatnonzero(needed), n_orbits)
        return cls(
            vectors=vectors,
            centre=symmetry.orbit[i],
            row=(np.cumsum(needed) - 1)[kind],
            row_orbit=row_orbit,
            row_operation=row_operation,
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
    n_orbits, rotations = symmetry.n_orbits, symmetry.rotations.matrices
    virial = edges.vectors[:, :, None] * gradient[:, None, :]
    half = (virial + virial.transpose(0, 2, 1)) / 4
    values = np.concatenate([gradient, half.reshape(-1, 9)], axis=1)
    of_centres = _sum_by(edges.centre, values, n_orbits)
    of_rows = _sum_by(edges.row, values, len(edges.row_orbit))
    turn = rotations[edges.row_operation]
    pulled = (of_rows[:, None, :3] @ turn)[:, 0]
    shared = turn.transpose(0, 2, 1) @ of_rows[:, 3:].reshape(-1, 3, 3) @ turn
    back = np.concatenate([pulled, shared.reshape(-1, 9)], axis=1)
    of_images = _sum_by(edges.row_orbit, back, n_orbits)

    counts = symmetry.multiplicity[:, None, None]
    pulls = (of_centres - of_images)[:, :3, None] / counts
    strains = (of_centres + of_images)[:, 3:, None] / counts
    forces = (symmetry.vector_projectors @ pulls)[symmetry.orbit]
    shares = (symmetry.tensor_projectors @ strains).reshape(-1, 3, 3)[symmetry.orbit]
    turn = rotations[symmetry.operation]
    return (turn @ forces)[:, :, 0], turn @ shares @ turn.transpose(0, 2, 1)


def _sum_by(index: np.ndarray, values: np.ndarray, size: int) -> np.ndarray:
    width = values.shape[1]
    places = (index[:, None] * width + np.arange(width)).ravel()
    return np.bincount(places, values.ravel(), size * width).reshape(size, width)
