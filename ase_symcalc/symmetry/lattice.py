"""Isometries that the lattice of a structure, or the spread of its atoms, leaves open."""

from __future__ import annotations

import itertools

import numpy as np
from ase.geometry import minkowski_reduce
from jaxtyping import Bool, Float64, Int64

from ase_symcalc.symmetry.sites import BIN_EDGES, Box

_AROUND = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
_CORNERS = np.array(list(itertools.product((0, 1), repeat=3)))

OFF_CENTRE = 0.5  # Å; an atom closer to the centre says little about directions


def reduced_box(
    positions: Float64[np.ndarray, "n 3"],
    cell: Float64[np.ndarray, "3 3"],
    pbc: Bool[np.ndarray, "3"],
) -> tuple[Box, Float64[np.ndarray, "3 3"], Box]:
    """Box of the cell's rows, whole numbers H, and the box of the shortest lattice vectors.

    The second box is H times the first. Rows that do not repeat are the same in both.
    """
    periodic = np.where(pbc[:, None], cell, 0.0)
    if not pbc.all():
        normals = np.linalg.svd(periodic[pbc])[2][pbc.sum() :]
        extents = np.ptp(positions @ normals.T, axis=0) + 2 * BIN_EDGES[0]
        periodic[~pbc] = normals * extents[:, None]
    _, whole = minkowski_reduce(np.where(pbc[:, None], cell, 0.0), pbc)
    multiples = np.where(np.outer(pbc, pbc), whole, np.eye(3))
    repeats = (bool(pbc[0]), bool(pbc[1]), bool(pbc[2]))
    return Box(periodic, repeats), multiples, Box(multiples @ periodic, repeats)


def shortest_basis(shifts: Float64[np.ndarray, "n 3"], box: Box) -> Float64[np.ndarray, "3 3"]:
    """Shortest independent vectors among lattice points and those shifted; coordinates.

    For a lattice of up to three dimensions these are a basis of it.
    """
    pbc = np.array(box.pbc)
    near = box.shortest(shifts)
    # on either side of the origin along each edge; further images are longer
    across = near[:, None] - _CORNERS * np.where(pbc, np.sign(near), 0.0)[:, None]
    points = np.concatenate([_AROUND * pbc, across.reshape(-1, 3)])
    left = points @ box.vectors
    squares = np.einsum("ni,ni->n", left, left)
    outside = squares > 0
    basis = np.eye(3)
    for axis in np.flatnonzero(pbc):
        chosen = int(np.argmin(np.where(outside, squares, np.inf)))
        basis[axis] = points[chosen]
        direction = left[chosen] / np.linalg.norm(left[chosen])
        left = left - (left @ direction)[:, None] * direction
        outside = np.einsum("ni,ni->n", left, left) > 0.01 * squares
    return basis


def isometries(
    positions: Float64[np.ndarray, "n 3"],
    numbers: Int64[np.ndarray, "n"],
    box: Box,
    tolerance: float,
) -> Float64[np.ndarray, "k 3 3"]:
    """Orthogonal matrices R, acting on columns, that may map the structure onto itself.

    An isometry is given by the images of two vectors and by its handedness. Those of a
    lattice vector of a reduced basis are lattice vectors as long, with coefficients -1, 0
    and 1; those of an atom's place are the places of its kind as far from the centre.
    """
    pbc = np.array(box.pbc)
    rows = box.vectors[pbc]
    offsets = positions - positions.mean(axis=0)
    if 0 < len(rows) < 3:
        normals = np.linalg.svd(rows)[2][len(rows) :]
        offsets = offsets @ normals.T @ normals
    shortest = rows[np.argsort(np.linalg.norm(rows, axis=1))[:2]]
    choices = [_lattice_vectors(rows, row, tolerance) for row in shortest]
    while len(choices) < 2:
        choices.append(_places(offsets, numbers, [first for first, _ in choices], tolerance))
    (first, firsts), (second, seconds) = choices
    slack = tolerance * (np.linalg.norm(first) + np.linalg.norm(second))
    i, j = np.nonzero(np.abs(firsts @ seconds.T - first @ second) < slack)
    turned = _frames(firsts[i], seconds[j])
    mirrored = turned * np.array([1, 1, -1])[:, None]
    frames = np.concatenate([turned, mirrored])
    return np.swapaxes(frames, 1, 2) @ _frames(first[None], second[None])[0]


def _lattice_vectors(
    rows: np.ndarray, row: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return a lattice vector, and all those as long."""
    points = np.array(list(itertools.product((-1, 0, 1), repeat=len(rows)))) @ rows
    lengths = np.linalg.norm(points, axis=1)
    return row, points[np.abs(lengths - np.linalg.norm(row)) < tolerance]


def _places(
    offsets: np.ndarray, numbers: np.ndarray, before: list[np.ndarray], tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the offset that fewest atoms may take, and theirs; a dummy if all lie in line."""
    lengths = np.linalg.norm(offsets, axis=1)
    shells = lengths + numbers * (4 * lengths.max() + 4 * tolerance)  # apart for each element
    ascending = np.sort(shells)
    first, last = (np.searchsorted(ascending, shells + d) for d in (-tolerance, tolerance))
    usable = lengths > OFF_CENTRE
    for vector in before:
        across = offsets - np.outer(offsets @ vector, vector) / (vector @ vector)
        usable &= np.linalg.norm(across, axis=1) > OFF_CENTRE
    if usable.any():
        chosen = int(np.argmin(np.where(usable, last - first, len(offsets) + 1)))
        return offsets[chosen], offsets[np.abs(shells - shells[chosen]) < tolerance]
    normals = np.linalg.svd(np.array(before).reshape(-1, 3))[2]
    return normals[-1], normals[-1:]


def _frames(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Orthonormal rows: along the first vectors, towards the second, and across both."""
    x = first / np.linalg.norm(first, axis=1, keepdims=True)
    y = second - np.sum(second * x, axis=1, keepdims=True) * x
    y /= np.linalg.norm(y, axis=1, keepdims=True)
    return np.stack([x, y, np.cross(x, y)], axis=1)
