"""Voronoi cells of a crystal, differentiable in positions and cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from scipy.spatial import ConvexHull, QhullError
from torch import Tensor

from ase_symcalc.analysis.voronoi_faces import Faces, find_faces
from ase_symcalc.errors import InputError

NAMED = 12  # atoms in a sentence


@dataclass(frozen=True, slots=True, eq=False)
class VoronoiCells:
    """Faces between the cells of atoms, each from both sides, sorted by atom."""

    edge_index: Int64[Tensor, "2 n_faces"]
    """atom whose cell it is, and the atom on the other side"""
    unit_shifts: Int64[Tensor, "n_faces 3"]
    """whole cells crossed, from the first to the second"""
    reverse: Int64[Tensor, "n_faces"]
    """the same face from the other side"""
    areas: Float[Tensor, "n_faces"]
    """Å²"""
    solid_angles: Float[Tensor, "n_faces"]
    """sr, from the first atom; those of an atom sum to 4π"""
    volumes: Float[Tensor, "n_atoms"]
    """Å³, of the cells; they sum to the volume of the crystal"""


def voronoi_cells(
    positions: Float[Tensor, "n_atoms 3"],
    cell: Float[Tensor, "3 3"],
    pbc: Bool[np.ndarray, "3"],
) -> VoronoiCells:
    """Faces, areas, solid angles and volumes of the Voronoi cells of a crystal.

    Parameters
    ----------
    positions : (n_atoms, 3) tensor, Å
    cell : (3, 3) tensor, Å
        Rows are the cell vectors.
    pbc : (3,) bool array

    Raises
    ------
    InputError
        If the structure does not repeat along three directions, naming the atoms whose cells
        are unbounded; or if its geometry has no meaning.

    Notes
    -----
    Which atoms share a face, and which faces meet in a vertex, is found by Qhull. Given that,
    a vertex is the point at equal distance from the atoms p_k around it, four as a rule: with
    p̄ their mean and q_k = p_k - p̄ it is

        x = p̄ + ½ (Σ q_k q_kᵀ)⁻¹ Σ q_k |q_k|²,

    the circumcentre of the tetrahedron. In perfect crystals more atoms than four have the
    same distance from a vertex. The formula then is the least-squares solution for all, which
    exists wherever they span space, so its gradient is finite and keeps the symmetry; the
    limit of four of them would depend on which are chosen, and four in one plane have none.
    Faces of no area, which such a vertex hides, are left out.

    Derivatives are exact where four atoms surround each vertex, as in anything shaken or in
    bcc. At a vertex of more atoms they are those of the least-squares point: finite, but not
    those of volumes and areas, which differ by as much as they are for single cells of
    perfect fcc and diamond.

    Solid angles are sums over triangles: van Oosterom and Strackee, IEEE Trans. Biomed. Eng. 30,
    125 (1983).
    """
    here, box = (t.detach().cpu().double().numpy() for t in (positions, cell))
    if not pbc.all():
        raise InputError(_unbounded_in_words(unbounded_atoms(here, box, pbc)))
    faces = find_faces(here, box)
    points = positions[torch.as_tensor(faces.point_atoms)]
    points = points + torch.as_tensor(faces.point_shifts).to(cell) @ cell
    vertices = _vertices(points, faces)
    return _measured(positions, points, vertices, faces)


def unbounded_atoms(
    positions: Float64[np.ndarray, "n_atoms 3"],
    cell: Float64[np.ndarray, "3 3"],
    pbc: Bool[np.ndarray, "3"],
) -> Int64[np.ndarray, "n_unbounded"]:
    """Atoms whose Voronoi cells have no end: those on the convex hull of all and their images.

    A cell goes on for ever in a direction u if no other atom lies further along u. Where the
    structure repeats, u must be normal to the vectors that repeat it; so the hull is that of
    the positions projected along these.
    """
    if pbc.all():
        return np.zeros(0, dtype=np.int64)
    _, _, axes = np.linalg.svd(cell[pbc], full_matrices=True)
    across = positions @ axes[int(pbc.sum()) :].T
    close = 1e-9 * max(float(np.ptp(across, axis=0).max()), 1.0)
    if across.shape[1] == 1:
        ends = across[:, 0]
        on_hull = (ends > ends.max() - close) | (ends < ends.min() + close)
    else:
        try:
            planes = ConvexHull(across).equations
        except (QhullError, ValueError):  # too few atoms, or flat: all are on the hull
            return np.arange(len(positions))
        on_hull = (across @ planes[:, :-1].T + planes[:, -1]).max(axis=1) > -close
    return np.flatnonzero(on_hull)


def _unbounded_in_words(atoms: np.ndarray) -> str:
    named = ", ".join(map(str, atoms[:NAMED].tolist()))
    more = f" and {len(atoms) - NAMED} more" if len(atoms) > NAMED else ""
    return (
        f"the Voronoi cells of atoms {named}{more} are unbounded, because the structure ends "
        "there; expected one that repeats along three directions. Put it into a cell with "
        "vacuum and set pbc True: their cells then end half-way to the next image."
    )


def _vertices(points: Tensor, faces: Faces) -> Tensor:
    """Circumcentres of the points around each vertex, (n_vertices, 3)."""
    corner, point = torch.as_tensor(faces.vertex_points)
    n = int(corner.max()) + 1
    around = points[point]
    counts = torch.bincount(corner, minlength=n).to(points)[:, None]
    means = points.new_zeros(n, 3).index_add(0, corner, around) / counts
    q = around - means[corner]
    squares = q.square().sum(dim=1, keepdim=True)
    sums = points.new_zeros(n, 3, 3).index_add(0, corner, q[:, :, None] * q[:, None, :])
    moments = points.new_zeros(n, 3).index_add(0, corner, q * squares)
    return means + torch.linalg.solve(sums, moments) / 2


def _measured(positions: Tensor, points: Tensor, vertices: Tensor, faces: Faces) -> VoronoiCells:
    """Areas, solid angles and volumes of faces as fans of triangles about their middles."""
    face, start, end = torch.as_tensor(faces.sides)
    edge_index = torch.as_tensor(faces.edge_index)
    n_faces, n_atoms = edge_index.shape[1], len(positions)
    origin = positions[edge_index[0]]
    a, b = vertices[start] - origin[face], vertices[end] - origin[face]
    counts = torch.bincount(face, minlength=n_faces).to(points)[:, None]
    middle = (points.new_zeros(n_faces, 3).index_add(0, face, a) / counts)[face]
    normals = torch.linalg.cross(a - middle, b - middle) / 2
    sums = points.new_zeros(n_faces, 3).index_add(0, face, normals)
    areas = torch.linalg.vector_norm(sums, dim=1)
    angles = points.new_zeros(n_faces).index_add(0, face, _solid_angle(middle, a, b))
    apart = points[torch.as_tensor(faces.other_points)] - origin
    pyramids = areas * torch.linalg.vector_norm(apart, dim=1) / 6
    return VoronoiCells(
        edge_index=edge_index,
        unit_shifts=torch.as_tensor(faces.unit_shifts),
        reverse=torch.as_tensor(faces.reverse),
        areas=areas,
        solid_angles=angles,
        volumes=points.new_zeros(n_atoms).index_add(0, edge_index[0], pyramids),
    )


def _solid_angle(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Solid angles of triangles seen from the origin."""
    x, y, z = (torch.linalg.vector_norm(v, dim=1) for v in (a, b, c))
    triple = (torch.linalg.cross(a, b) * c).sum(dim=1)
    rest = x * y * z + (a * b).sum(dim=1) * z + (a * c).sum(dim=1) * y + (b * c).sum(dim=1) * x
    return 2 * torch.atan2(triple.abs(), rest)
