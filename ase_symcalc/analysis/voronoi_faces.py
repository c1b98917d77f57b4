"""Which Voronoi cells of a crystal touch, and where: whole numbers, from Qhull."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Voronoi, cKDTree

from ase_symcalc.structures import neighbour_pairs

SAME = 1e-5  # Å: vertices closer than this are one


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Topology of the Voronoi cells of the atoms in one unit cell."""

    point_atoms: Int64[np.ndarray, "n_points"]
    """the atoms themselves, then images around them: of which atom each point is"""
    point_shifts: Int64[np.ndarray, "n_points 3"]
    """and in which cell"""
    vertex_points: Int64[np.ndarray, "2 n_incidences"]
    """vertex, and a point at the least distance from it; every such point, four at least"""
    sides: Int64[np.ndarray, "3 n_sides"]
    """face, and the vertices at both ends of a side of it, in order around the face"""
    edge_index: Int64[np.ndarray, "2 n_faces"]
    unit_shifts: Int64[np.ndarray, "n_faces 3"]
    other_points: Int64[np.ndarray, "n_faces"]
    """point on the other side of each face"""
    reverse: Int64[np.ndarray, "n_faces"]
    """the same face from the other side"""


def find_faces(
    positions: Float64[np.ndarray, "n_atoms 3"], cell: Float64[np.ndarray, "3 3"]
) -> Faces:
    """Find the faces of the Voronoi cells of a crystal.

    Images are added until no cell can change: a cell whose vertices are within R/2 of its
    atom is not cut by points further than R.

    Raises
    ------
    InputError
        If the geometry has no meaning.
    """
    n_atoms = len(positions)
    reach = 2.5 * (abs(np.linalg.det(cell)) / n_atoms) ** (1 / 3)
    while True:
        atoms, shifts = _points(positions, cell, reach)
        points = positions[atoms] + shifts @ cell
        furthest = np.inf
        if len(points) > 4:
            diagram = Voronoi(points)
            furthest = _furthest_vertex(diagram, n_atoms)
        if 2 * furthest <= reach:
            return _faces(diagram, n_atoms, atoms, shifts)
        reach *= 1.4


def _points(positions: np.ndarray, cell: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Atoms, and all images within reach of one of them."""
    pairs = neighbour_pairs(positions, cell, np.ones(3, dtype=bool), reach)
    own = np.zeros((len(positions), 4), dtype=np.int64)
    own[:, 0] = np.arange(len(positions))
    images = np.unique(np.column_stack([pairs.neighbour, pairs.unit_shifts]), axis=0)
    images = images[images[:, 1:].any(axis=1)]
    every = np.concatenate([own, images])
    return every[:, 0], every[:, 1:]


def _furthest_vertex(diagram: Voronoi, n_atoms: int) -> float:
    furthest = 0.0
    for i in range(n_atoms):
        region = diagram.regions[diagram.point_region[i]]
        if -1 in region or not region:
            return np.inf
        away = np.linalg.norm(diagram.vertices[region] - diagram.points[i], axis=1)
        furthest = max(furthest, away.max())
    return furthest


def _faces(diagram: Voronoi, n_atoms: int, atoms: np.ndarray, shifts: np.ndarray) -> Faces:
    mine = np.flatnonzero((diagram.ridge_points < n_atoms).any(axis=1))
    used = np.unique(np.concatenate([diagram.ridge_vertices[r] for r in mine]))
    merged = _merge(diagram.vertices, used)
    places = np.empty((merged.max() + 1, 3))
    places[merged[used]] = diagram.vertices[used]
    rows, rings = [], []
    for r in mine:
        corners = np.unique(merged[diagram.ridge_vertices[r]])
        if len(corners) < 3:
            continue
        for i, other in (diagram.ridge_points[r], diagram.ridge_points[r][::-1]):
            if i < n_atoms:
                axis = diagram.points[other] - diagram.points[i]
                rows.append((i, atoms[other], *shifts[other], other))
                rings.append(corners[_around(places[corners], axis)])
    table = np.array(rows)
    keep, reverse = _pair_up(table[:, :5])
    sides = [
        (np.full(len(rings[k]), face), rings[k], np.roll(rings[k], -1))
        for face, k in enumerate(keep)
    ]
    return Faces(
        point_atoms=atoms,
        point_shifts=shifts,
        vertex_points=_incidences(diagram, merged),
        sides=np.concatenate(sides, axis=1),
        edge_index=table[keep, :2].T.copy(),
        unit_shifts=table[keep, 2:5],
        other_points=table[keep, 5],
        reverse=reverse,
    )


def _merge(vertices: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Give numbers to vertices, equal ones if they coincide; -1 to those not used.

    A used one may coincide with some that are not: the points around these are around it too.
    """
    pairs = cKDTree(vertices).query_pairs(SAME, output_type="ndarray")
    n = len(vertices)
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    places = connected_components(links, directed=False)[1]
    numbers = np.full(places.max() + 1, -1)
    occupied = np.unique(places[used])
    numbers[occupied] = np.arange(len(occupied))
    return numbers[places]


def _around(corners: np.ndarray, axis: np.ndarray) -> np.ndarray:
    """Order of a face's corners around it, by angle about its middle."""
    offsets = corners - corners.mean(axis=0)
    u = offsets[0]
    v = np.cross(axis / np.linalg.norm(axis), u)
    return np.argsort(np.arctan2(offsets @ v, offsets @ u))


def _pair_up(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces that are seen from both sides, in order, and for each the other side."""
    index = {tuple(row): k for k, row in enumerate(rows.tolist())}
    other = {(i, j, a, b, c): (j, i, -a, -b, -c) for i, j, a, b, c in index}
    seen = [face for face in sorted(index) if other[face] in index]
    place = {face: n for n, face in enumerate(seen)}
    keep = [index[face] for face in seen]
    return np.array(keep), np.array([place[other[face]] for face in seen])


def _incidences(diagram: Voronoi, merged: np.ndarray) -> np.ndarray:
    """Vertex and point, for all points around each vertex that is used, each once."""
    lengths = [len(ring) for ring in diagram.ridge_vertices]
    corners = np.concatenate([np.asarray(ring) for ring in diagram.ridge_vertices])
    ends = np.repeat(diagram.ridge_points, lengths, axis=0)
    names = np.where(corners >= 0, merged[corners], -1)
    both = np.concatenate([np.column_stack([names, ends[:, k]]) for k in (0, 1)])
    return np.unique(both[both[:, 0] >= 0], axis=0).T.astype(np.int64)
