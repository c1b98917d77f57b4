"""Voronoi cells of a crystal, differentiable in positions and cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
    Which atoms share a face, and which third atom k bounds each side of it, is found by Qhull.
    Given that, a corner x of the face between i and j lies on three planes, that of the face and
    those of the sides before and after it, each half-way between i and another atom:

        (p_k - p_i) · (x - p_i) = ½ |p_k - p_i|².

    In perfect crystals more than four atoms may have the same distance from a corner. Displaced
    by d, they leave the three planes of a face where they are but for an area of order d², so
    first derivatives of areas and angles are exact there too; second ones jump.

    Along a side more than three cells may meet, as in a simple cubic crystal. A displacement d
    then opens a face between two of them on one side, of an area of order |d|, which has no
    derivative; faces of no area are left out. The line of such a side is the mean over the atoms
    beyond it. With two, derivatives of single areas and angles are so the means of the derivatives
    from both sides, which central differences give; but sums over the faces of an atom miss those
    that open.

    Volumes have first derivatives everywhere. A face of area A between i and j, with its middle
    at c, adds

        dV_i = A/|p_j - p_i| ((c - p_i) · dp_i - (c - p_j) · dp_j),

    what its plane sweeps. These are used whatever meets at corners and sides.

    Solid angles are sums over triangles: van Oosterom and Strackee, IEEE Trans. Biomed. Eng. 30,
    125 (1983).
    """
    here, box = (t.detach().cpu().double().numpy() for t in (positions, cell))
    if not pbc.all():
        raise InputError(_unbounded_in_words(unbounded_atoms(here, box, pbc)))
    faces = find_faces(here, box)
    points = positions[torch.as_tensor(faces.point_atoms)]
    points = points + torch.as_tensor(faces.point_shifts).to(cell) @ cell
    return _measured(positions, points, faces)


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


def _measured(positions: Tensor, points: Tensor, faces: Faces) -> VoronoiCells:
    """Areas, solid angles and volumes of faces as fans of triangles about their middles."""
    edge_index, other = torch.as_tensor(faces.edge_index), torch.as_tensor(faces.other_points)
    face, following = torch.as_tensor(faces.sides)
    n_faces = edge_index.shape[1]
    own, apart = points[edge_index[0]], points[other] - points[edge_index[0]]
    a = _corners(points, own, apart, faces)
    b = a[following]
    counts = torch.bincount(face, minlength=n_faces).to(points)[:, None]
    middles = points.new_zeros(n_faces, 3).index_add(0, face, a) / counts
    to_a, to_b = a - middles[face], b - middles[face]
    triangles = torch.linalg.cross(to_a, to_b) / 2
    sums = points.new_zeros(n_faces, 3).index_add(0, face, triangles)
    areas = torch.linalg.vector_norm(sums, dim=1)
    parts = (triangles * (sums / areas[:, None])[face]).sum(dim=1, keepdim=True)
    moments = points.new_zeros(n_faces, 3).index_add(0, face, parts * (to_a + to_b) / 3)
    centroids = own + middles + moments / areas[:, None]
    angles = points.new_zeros(n_faces).index_add(0, face, _solid_angle(middles[face], a, b))
    pyramids = _Pyramids.apply(own, own + apart, areas, centroids)
    return VoronoiCells(
        edge_index=edge_index,
        unit_shifts=torch.as_tensor(faces.unit_shifts),
        reverse=torch.as_tensor(faces.reverse),
        areas=areas,
        solid_angles=angles,
        volumes=points.new_zeros(len(positions)).index_add(0, edge_index[0], pyramids),
    )


def _corners(points: Tensor, own: Tensor, apart: Tensor, faces: Faces) -> Tensor:
    """Where each side of a face ends and the next begins, seen from its atom: (n_sides, 3)."""
    face, following = torch.as_tensor(faces.sides)
    side, point = torch.as_tensor(faces.side_points)
    distance = torch.linalg.vector_norm(apart, dim=1, keepdim=True)
    normal = apart / distance
    towards = points[point] - own[face[side]]
    n = normal[face[side]]
    # so scaled, planes through one line of the face have a mean that no atom dominates
    across = torch.linalg.vector_norm(torch.linalg.cross(towards, n), dim=1, keepdim=True)
    planes = torch.cat([towards, towards.square().sum(dim=1, keepdim=True) / 2], dim=1) / across
    counts = torch.bincount(side, minlength=len(face)).to(points)[:, None]
    lines = points.new_zeros(len(face), 4).index_add(0, side, planes) / counts
    plane = torch.cat([normal, distance / 2], dim=1)[face]
    three = torch.stack([plane, lines, lines[following]], dim=1)
    return torch.linalg.solve(three[:, :, :3], three[:, :, 3])


class _Pyramids(torch.autograd.Function):
    """Volumes between atoms and their faces; derivatives are those of sums over whole cells."""

    @staticmethod
    def forward(own: Tensor, other: Tensor, areas: Tensor, centroids: Tensor) -> Tensor:
        return areas * torch.linalg.vector_norm(other - own, dim=1) / 6

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        own, other, areas, centroids = ctx.saved_tensors
        swept = (gradient * areas / torch.linalg.vector_norm(other - own, dim=1))[:, None]
        return swept * (centroids - own), swept * (other - centroids), None, None


def _solid_angle(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Solid angles of triangles seen from the origin."""
    x, y, z = (torch.linalg.vector_norm(v, dim=1) for v in (a, b, c))
    triple = (torch.linalg.cross(a, b) * c).sum(dim=1)
    rest = x * y * z + (a * b).sum(dim=1) * z + (a * c).sum(dim=1) * y + (b * c).sum(dim=1) * x
    return 2 * torch.atan2(triple.abs(), rest)
