"""Which Voronoi cells of a crystal touch, and where: whole numbers, from Qhull."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import Voronoi, cKDTree

from ase_symcalc.errors import InputError
from ase_symcalc.structures import neighbour_pairs
from ase_symcalc.structures.neighbours import TOO_CLOSE

SAME = 1e-6
"""Å: vertices closer than this are one, as are lines that bound a face; sides shorter, and faces
narrower, are none."""

MOVES = 1e-8  # Å; beyond rounding and within `SAME`

PARALLEL = 1e-12


@dataclass(frozen=True, slots=True, eq=False)
class Faces:
    """Topology of the Voronoi cells of the atoms in one unit cell."""

    point_atoms: Int64[np.ndarray, "n_points"]
    """the atoms themselves, then images around them: of which atom each point is"""
    point_shifts: Int64[np.ndarray, "n_points 3"]
    """and in which cell"""
    sides: Int64[np.ndarray, "2 n_sides"]
    """face, and the side of it that follows this one in order around the face"""
    side_points: Int64[np.ndarray, "2 n_incidences"]
    """side, and a point whose cell meets both cells of the face along it: one as a rule"""
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
    atom is not cut by points further than R. Qhull tells which cells may touch, of atoms moved by
    `MOVES`: where many have the same distance from a vertex but for rounding, it loses some.
    Sides of faces are found here, from the positions as given.

    Raises
    ------
    InputError
        If the geometry has no meaning, or two atoms are closer than 0.1 Å.
    """
    n_atoms = len(positions)
    _check_apart(positions, cell)
    moves = np.random.default_rng(0).normal(0, MOVES, positions.shape)
    reach = 2.5 * (abs(np.linalg.det(cell)) / n_atoms) ** (1 / 3)
    while True:
        atoms, shifts = _points(positions, cell, reach)
        points = positions[atoms] + shifts @ cell
        furthest = np.inf
        if len(points) > 4:
            diagram = Voronoi(points + moves[atoms])
            furthest = _furthest_vertex(diagram, n_atoms)
        if 2 * furthest <= reach:
            return _faces(diagram, points, atoms, shifts)
        reach *= 1.4


def _check_apart(positions: np.ndarray, cell: np.ndarray) -> None:
    pairs = neighbour_pairs(positions, cell, np.ones(3, dtype=bool), TOO_CLOSE)
    if len(pairs.centre):
        i, j = pairs.centre[0], pairs.neighbour[0]
        raise InputError(
            f"atoms {i} and {j} are closer than {TOO_CLOSE} Å, so no plane between them can be "
            "told; delete one of two copies, or check the cell and the units of the positions"
        )


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


def _faces(diagram: Voronoi, points: np.ndarray, atoms: np.ndarray, shifts: np.ndarray) -> Faces:
    n_atoms = int(atoms.max()) + 1
    names, around = _points_around(diagram)
    rows, rings = [], []
    for r in np.flatnonzero((diagram.ridge_points < n_atoms).any(axis=1)).tolist():
        corners, ends = diagram.ridge_vertices[r], diagram.ridge_points[r].tolist()
        others = set().union(*(around[name] for name in names[corners])) - set(ends)
        ring = _sides(points, ends, np.array(sorted(others)), diagram.vertices[corners])
        for i, other in (ends, ends[::-1]):
            if i < n_atoms and ring:
                rows.append((i, atoms[other], *shifts[other], other))
                rings.append(ring)
    table = np.array(rows)
    keep, reverse = _pair_up(table[:, :5])
    sides, side_points = _numbered([rings[k] for k in keep])
    return Faces(
        point_atoms=atoms,
        point_shifts=shifts,
        sides=sides,
        side_points=side_points,
        edge_index=table[keep, :2].T.copy(),
        unit_shifts=table[keep, 2:5],
        other_points=table[keep, 5],
        reverse=reverse,
    )


def _points_around(diagram: Voronoi) -> tuple[np.ndarray, list[set[int]]]:
    """Give vertices numbers, equal ones if they coincide; and the points around each number."""
    pairs = cKDTree(diagram.vertices).query_pairs(SAME, output_type="ndarray")
    n = len(diagram.vertices)
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    n_names, names = connected_components(links, directed=False)
    around: list[set[int]] = [set() for _ in range(n_names)]
    for ends, corners in zip(diagram.ridge_points.tolist(), diagram.ridge_vertices, strict=True):
        for corner in corners:
            if corner >= 0:
                around[names[corner]].update(ends)
    return names, around


def _sides(
    points: np.ndarray, ends: list[int], others: np.ndarray, corners: np.ndarray
) -> list[np.ndarray]:
    """Points beyond each side of a face, in order around it; none if it has no area.

    In the plane of the face each of the other points is beyond a line, u · z = h.
    """
    own, axis = points[ends[0]], points[ends[1]] - points[ends[0]]
    middle = corners.mean(axis=0)
    extent = np.linalg.norm(corners - middle, axis=1).max()
    if extent < SAME:
        return []
    middle += axis * (0.5 - (middle - own) @ axis / (axis @ axis))
    towards = points[others] - own
    flat = towards @ _across(axis)
    sizes = np.linalg.norm(flat, axis=1)
    cut = sizes > PARALLEL
    heights = (towards**2).sum(axis=1) / 2 - towards @ (middle - own)
    lines = np.column_stack([flat, heights])[cut] / sizes[cut, None]
    groups = _alike(lines * [extent, extent, 1])
    if len(groups) < len(lines):
        lines = np.array([lines[group].mean(axis=0) for group in groups])
    order = np.argsort(np.arctan2(lines[:, 1], lines[:, 0]))
    lengths = _lengths(lines[order])
    if lengths.max() < SAME:  # nothing is behind all lines
        return []
    order = order[lengths > -SAME]
    if len(order) < len(lengths):
        lengths = _lengths(lines[order])
    while len(order) > 2 and lengths.min() < SAME:
        order = np.delete(order, int(lengths.argmin()))
        lengths = _lengths(lines[order])
    if len(order) < 3 or not np.isfinite(lengths).all():
        return []
    # a triangle between the middle and each side
    if lines[order, 2] @ lengths / 2 < SAME * lengths.sum():
        return []
    return [others[cut][groups[k]] for k in order]


def _across(axis: np.ndarray) -> np.ndarray:
    """Two unit vectors normal to an axis and to each other, as columns: Householder's mirror."""
    mirror = axis / np.linalg.norm(axis)
    first = int(np.abs(mirror).argmax())
    mirror[first] += np.copysign(1, mirror[first])
    matrix = np.eye(3) - np.outer(mirror, mirror) * (2 / (mirror @ mirror))
    return matrix[:, [first - 2, first - 1]]


def _alike(lines: np.ndarray) -> list[np.ndarray]:
    """Group lines that are the same within `SAME`."""
    same = np.abs(lines[:, None] - lines).max(axis=2) < SAME
    firsts = same.argmax(axis=1)
    return [np.flatnonzero(firsts == k) for k in np.unique(firsts)]


def _lengths(lines: np.ndarray) -> np.ndarray:
    """Length (Å) of the part of each line that is behind all others; negative if none is."""
    normals, heights = lines[:, :2], lines[:, 2]
    slopes = normals[:, ::-1] * [-1, 1] @ normals.T
    slack = heights - heights[:, None] * (normals @ normals.T)
    np.fill_diagonal(slack, 0)
    parallel = np.abs(slopes) <= PARALLEL
    at = slack / np.where(parallel, 1, slopes)
    stops = np.where(slopes > PARALLEL, at, np.inf).min(axis=1)
    starts = np.where(slopes < -PARALLEL, at, -np.inf).max(axis=1)
    beyond = (parallel & (slack < -SAME)).any(axis=1)
    return np.where(beyond, -np.inf, stops - starts)


def _numbered(rings: list[list[np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """`sides` and `side_points` of `Faces`."""
    sides: list[tuple[int, int]] = []
    side_points: list[tuple[int, int]] = []
    for face, ring in enumerate(rings):
        start = len(sides)
        for k, points in enumerate(ring):
            side_points += [(len(sides), point) for point in points]
            sides.append((face, start + (k + 1) % len(ring)))
    return np.array(sides).T.copy(), np.array(side_points).T.copy()


def _pair_up(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Faces that are seen from both sides, in order, and for each the other side."""
    index = {tuple(row): k for k, row in enumerate(rows.tolist())}
    other = {(i, j, a, b, c): (j, i, -a, -b, -c) for i, j, a, b, c in index}
    seen = [face for face in sorted(index) if other[face] in index]
    place = {face: n for n, face in enumerate(seen)}
    keep = [index[face] for face in seen]
    return np.array(keep), np.array([place[other[face]] for face in seen])
