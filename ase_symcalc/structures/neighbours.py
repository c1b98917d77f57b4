"""Neighbour pairs: a pure function over matscipy, right for any cell and any distance.

matscipy needs a cell with volume in all three directions, slows down when that cell is
sheared or when atoms lie far outside it, and allocates one bin per cutoff³ of it. So the
search runs on a box of its own with the same pairs in it: the shortest vectors of the
lattice where it repeats, and a closely fitted edge where it does not. Whole numbers lead
back to the caller's cell, and the caller's numbers decide what is within the cutoff.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.geometry import minkowski_reduce
from jaxtyping import Bool, Float64, Int64
from matscipy.neighbours import neighbour_list

from ase_symcalc.errors import InputError
from ase_symcalc.structures.from_ase import (
    SHORTEST_PERIOD,
    StructureArrays,
    check_geometry,
    symbol_of,
)

MOST_BINS = 1e7  # of the search box; 80 MB inside matscipy
TOO_CLOSE = 0.1  # Å
ROUNDING = 1e-14  # a generous bound on the relative rounding of a few additions


@dataclass(frozen=True, slots=True)
class Pairs:
    """Ordered pairs within the cutoff: full, strict, sorted by centre.

    Pairs of one centre are in the order of their neighbour, so equal lists are equal arrays.
    """

    centre: Int64[np.ndarray, "n_edges"]
    neighbour: Int64[np.ndarray, "n_edges"]
    unit_shifts: Int64[np.ndarray, "n_edges 3"]
    """Whole cells crossed, centre to neighbour; 0 along directions that do not repeat"""
    cutoff: float
    """Å"""


def neighbour_pairs(
    positions: Float64[np.ndarray, "n_atoms 3"],
    cell: Float64[np.ndarray, "3 3"],
    pbc: Bool[np.ndarray, "3"],
    cutoff: float,
) -> Pairs:
    """Find every ordered pair of atoms closer than the cutoff, through images too.

    Parameters
    ----------
    positions : (n_atoms, 3) array, Å
        Anywhere in space: outside the cell, or far from the origin.
    cell : (3, 3) array, Å
        Rows are the cell vectors, of either handedness and however sheared. Rows where
        `pbc` is false are not looked at.
    pbc : (3,) bool array
    cutoff : float, Å
        May exceed the cell: an atom then neighbours its own images.

    Returns
    -------
    Pairs
        Those for which the length of
        ``positions[neighbour] - positions[centre] + unit_shifts @ cell`` is below the cutoff.

    Raises
    ------
    InputError
        If the cutoff is not positive and finite, the geometry has no meaning
        (`from_ase.check_geometry`), or the lattice repeats within 0.1 Å.

    Notes
    -----
    The lattice is reduced as in Nguyen and Stehlé, ACM Trans. Algorithms 5, 46 (2009), by
    `ase.geometry.minkowski_reduce`; the search is `matscipy.neighbours.neighbour_list`.
    """
    if not 0 < cutoff < np.inf:
        raise InputError(f"expected a positive, finite cutoff in Å, got {cutoff}")
    check_geometry(positions, cell, pbc)
    lattice, reduction = _shortest_vectors(cell, pbc)
    local = positions - positions.mean(axis=0)
    local, crossed = fold(local, lattice, pbc)
    crossed = crossed @ reduction
    # `local` may miss its true place by this much, and must not lose a pair for it
    size = np.abs(positions).max() + (1 + np.abs(crossed).max()) * np.abs(cell[pbc]).sum()
    local, box = _search_box(local, lattice, pbc, reach := cutoff + ROUNDING * (size + cutoff))
    reach = max(reach, (abs(np.linalg.det(box)) / MOST_BINS) ** (1 / 3))
    i, j, shifts = neighbour_list(
        "ijS", positions=local, cell=box, pbc=pbc, cutoff=reach, cell_origin=np.zeros(3)
    )
    i, j = i.astype(np.int64), j.astype(np.int64)
    shifts = shifts.astype(np.int64) @ reduction
    shifts += crossed[i] - crossed[j]
    return _in_order(pairs_within(Pairs(i, j, shifts, reach), positions, cell, cutoff))


def pairs_within(
    pairs: Pairs,
    positions: Float64[np.ndarray, "n_atoms 3"],
    cell: Float64[np.ndarray, "3 3"],
    cutoff: float,
) -> Pairs:
    """Keep the pairs that positions and cell (Å) put within a shorter cutoff (Å), in order.

    Raises
    ------
    InputError
        If the cutoff is not positive, or longer than that of the pairs.
    """
    if not 0 < cutoff <= pairs.cutoff:
        raise InputError(
            f"pairs found within {pairs.cutoff} Å hold those within a shorter, positive cutoff; "
            f"got {cutoff} Å. Search again with neighbour_pairs."
        )
    keep = np.flatnonzero(_lengths(pairs, positions, cell) < cutoff)
    return Pairs(pairs.centre[keep], pairs.neighbour[keep], pairs.unit_shifts[keep], cutoff)


def check_separation(arrays: StructureArrays, pairs: Pairs, minimum: float = TOO_CLOSE) -> None:
    """Refuse a structure in which two atoms, images included, are closer than `minimum` (Å).

    Raises
    ------
    InputError
        Naming the closest pair and its distance.
    """
    lengths = _lengths(pairs, arrays.positions, arrays.cell)
    if lengths.min(initial=np.inf) >= minimum:
        return
    closest = int(np.argmin(lengths))
    i, j = int(pairs.centre[closest]), int(pairs.neighbour[closest])
    first, second = (f"{k} ({symbol_of(int(arrays.atomic_numbers[k]))})" for k in (i, j))
    image = " through a periodic boundary" if pairs.unit_shifts[closest].any() else ""
    who = f"atom {first} and its own image" if i == j else f"atoms {first} and {second}"
    raise InputError(
        f"{who} are {lengths[closest]:.3g} Å apart{image}; expected at least {minimum:g} Å. "
        "Delete one of two copies, or check the cell and the units of the positions."
    )


def fold(
    positions: Float64[np.ndarray, "n_atoms 3"],
    cell: Float64[np.ndarray, "3 3"],
    pbc: Bool[np.ndarray, "3"],
) -> tuple[Float64[np.ndarray, "n_atoms 3"], Int64[np.ndarray, "n_atoms 3"]]:
    """Move atoms into the cell along what repeats; return them (Å), and the cells moved over.

    ``positions = folded + crossed @ cell``.
    """
    crossed = np.zeros(positions.shape, dtype=np.int64)
    crossed[:, pbc] = np.floor(positions @ np.linalg.pinv(cell[pbc]))
    return positions - crossed[:, pbc] @ cell[pbc], crossed


def _shortest_vectors(cell: np.ndarray, pbc: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shortest vectors of the lattice (zero where it does not repeat), and ``R = H @ cell``."""
    periodic = np.where(pbc[:, None], cell, 0.0)
    scale = np.abs(periodic).max(initial=0.0) or 1.0  # its tolerances are absolute
    _, reduction = minkowski_reduce(periodic / scale, pbc)
    lattice = reduction @ periodic
    shortest = np.linalg.norm(lattice[pbc], axis=1).min(initial=np.inf)
    if shortest < SHORTEST_PERIOD:
        raise InputError(
            f"the lattice repeats after {shortest:.3g} Å, so every atom would sit on its own "
            f"image; expected at least {SHORTEST_PERIOD} Å. Check the cell {cell.tolist()} Å."
        )
    return lattice, reduction.astype(np.int64)


def _search_box(
    positions: np.ndarray, lattice: np.ndarray, pbc: np.ndarray, reach: float
) -> tuple[np.ndarray, np.ndarray]:
    """Positions and cell with the same pairs within reach, and no needless emptiness."""
    normals = np.linalg.svd(lattice[pbc])[2][pbc.sum() :]  # orthonormal, across what repeats
    heights = positions @ normals.T
    closed = np.empty_like(heights)
    for column, height in enumerate(heights.T):
        order = np.argsort(height)
        ascending = height[order]
        # no pair spans a gap wider than the reach, so what is left of it may go
        surplus = np.maximum(np.diff(ascending, prepend=ascending[0]) - reach, 0)
        closed[order, column] = ascending - ascending[0] - np.cumsum(surplus)
    box = lattice.copy()
    box[~pbc] = normals * (closed.max(axis=0) + reach)[:, None]
    return positions + (closed - heights) @ normals, box


def _lengths(pairs: Pairs, positions: np.ndarray, cell: np.ndarray) -> np.ndarray:
    """Lengths of the pairs, Å: the same to the last bit for a pair and its reverse."""
    shifts = pairs.unit_shifts.T.astype(np.float64)
    squares = np.zeros(len(pairs.centre))
    for axis in range(3):  # by columns: BLAS would round differently from row to row
        x = np.ascontiguousarray(positions[:, axis])
        component = x[pairs.neighbour] - x[pairs.centre]
        for vector in range(3):
            if cell[vector, axis] != 0:
                component += shifts[vector] * cell[vector, axis]
        squares += component * component
    return np.sqrt(squares)


def _in_order(pairs: Pairs) -> Pairs:
    """Sort by centre, then neighbour, then shift: one list of pairs, one array."""
    n_atoms = pairs.centre.max(initial=0) + 1
    # one number for each image of a neighbour; a million cells between two take an absurd cell
    image = pairs.unit_shifts @ np.array([2**40, 2**20, 1])
    order = np.lexsort((image, pairs.centre * n_atoms + pairs.neighbour))
    return Pairs(
        pairs.centre[order], pairs.neighbour[order], pairs.unit_shifts[order], pairs.cutoff
    )
