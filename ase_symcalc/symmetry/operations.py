"""Find the isometries that map a structure onto itself.

First the translations, and with them the primitive cell; then, for each isometry of its
lattice, the one translation that may go with it. Whatever cannot be an operation is dropped
by looking at few atoms, so a structure without symmetry is done with after a look at one.

Why no library: for 512 silicon atoms (2 cores, symprec 1e-5) spglib 2.8 takes 60 ms and moyopy
0.21 70 ms; if one atom is displaced, 700 and 60 ms. This search takes 4 ms for either, where one
evaluation takes 50 ms. Both know crystals only, neither slabs, wires nor molecules. The tests
compare with spglib.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from ase_symcalc.symmetry.lattice import isometries, reduced_box, shortest_basis
from ase_symcalc.symmetry.sites import Box, Sites

AT_ONCE = 20_000  # places looked up together


@dataclass(frozen=True, slots=True)
class Operations:
    """A group of isometries of a structure: those listed, times the primitive translations.

    In coordinates of `box`, operation k is ``x' = x @ matrices[k] + shifts[k]``. The first is
    the identity.
    """

    box: Box
    """Rows are the cell vectors where the structure repeats"""
    lattice: Float64[np.ndarray, "3 3"]
    """Rows are primitive translations, in coordinates of the box"""
    rotations: Float64[np.ndarray, "k 3 3"]
    """Orthogonal; they act on columns of Cartesian coordinates"""
    matrices: Float64[np.ndarray, "k 3 3"]
    shifts: Float64[np.ndarray, "k 3"]
    primitive: Int64[np.ndarray, "n_atoms"]
    """For each atom, the first that is a primitive translation away"""
    images: Int64[np.ndarray, "k n_primitive"]
    """For each operation and each atom that `primitive` names, in order, the image, likewise"""

    @property
    def n_translations(self) -> int:
        """Number of primitive translations in the cell."""
        return round(1 / abs(float(np.linalg.det(self.lattice))))


def find_operations(
    positions: Float64[np.ndarray, "n_atoms 3"],
    cell: Float64[np.ndarray, "3 3"],
    pbc: Bool[np.ndarray, "3"],
    atomic_numbers: Int64[np.ndarray, "n_atoms"],
    tolerance: float,
    *,
    proper: bool = False,
) -> Operations | None:
    """Isometries that map each atom onto one of its kind, and the lattice onto itself.

    Parameters
    ----------
    positions : (n_atoms, 3) array, Å
    cell : (3, 3) array, Å
        Rows are the cell vectors; those that do not repeat are not looked at.
    pbc : (3,) bool array
    atomic_numbers : (n_atoms,) array
    tolerance : float, Å
        How far an image may be from its atom, and from a lattice vector.
    proper : bool
        Leave out mirrors and inversions.

    Returns
    -------
    Operations or None
        None if atoms are too close together to be told apart, or so few in so large a box
        that a table of it is too long; or if some images are at the edge of the tolerance,
        so that what is found is no group.
    """
    own, multiples, box = reduced_box(positions, cell, pbc)
    sites = Sites(box.coordinates(positions), atomic_numbers, box, tolerance)
    if not sites.apart:
        return None
    coarse = _coarseness(sites)
    fine = np.linalg.inv(coarse)
    if (coarse != np.eye(3)).any():
        box = Box(fine @ box.vectors, box.pbc)
        sites = Sites(sites.coordinates @ coarse, atomic_numbers, box, tolerance)
    primitive = sites.firsts()
    atoms = np.unique(primitive)
    if len(atoms) * round(abs(np.linalg.det(coarse))) != len(primitive):
        return None
    rotations = isometries(positions[atoms], atomic_numbers[atoms], box, tolerance)
    if proper:
        rotations = rotations[np.linalg.det(rotations) > 0]
    rotations, matrices = _kept_by_lattice(rotations, box, coarse, tolerance)
    kept, shifts, images = _matched(sites, atoms, primitive, matrices)
    rotations, matrices = rotations[kept], matrices[kept]
    if not _is_group(rotations):
        return None
    lattice = fine @ multiples
    back = np.linalg.inv(lattice)
    return Operations(
        box=own,
        lattice=lattice,
        rotations=rotations,
        matrices=back @ matrices @ lattice,
        shifts=shifts @ lattice,
        primitive=primitive,
        images=images,
    )


def _coarseness(sites: Sites) -> np.ndarray:
    """Whole numbers: the rows of the box, in terms of the shortest translations."""
    box, x = sites.box, sites.coordinates
    rarest = _rarest(sites.numbers)
    shifts = box.shortest(x[rarest[1:]] - x[rarest[0]])
    across = np.where(box.pbc, 0.0, shifts)
    shifts = (shifts - across)[box.lengths(across) < sites.tolerance]
    shifts = _surviving(shifts, sites, [int(rarest[-1]), 0, len(x) // 2])
    while len(shifts):
        basis = shortest_basis(shifts, box)
        coarse = np.linalg.inv(basis)
        parts = shifts @ coarse
        strays = shifts[box.lengths((parts - np.round(parts)) @ basis) > sites.tolerance]
        trial = np.concatenate([basis[list(box.pbc)], strays[:1]])
        missing = (sites.at(x[:, None] + trial, sites.numbers[:, None]) < 0).any(axis=1)
        if not missing.any():
            coarse = np.round(coarse)
            whole = not len(strays) and round(abs(np.linalg.det(coarse))) == len(shifts) + 1
            return coarse if whole else np.eye(3)
        shifts = _surviving(shifts, sites, np.flatnonzero(missing)[:4].tolist())
    return np.eye(3)


def _surviving(shifts: np.ndarray, sites: Sites, atoms: list[int]) -> np.ndarray:
    """Shifts that map these atoms onto others."""
    for atom in atoms:
        places = sites.coordinates[atom] + shifts
        shifts = shifts[sites.at(places, sites.numbers[[atom]]) >= 0]
    return shifts


def _kept_by_lattice(
    rotations: np.ndarray, box: Box, coarse: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rotations that map lattice and cell onto themselves, and what they do to coordinates."""
    matrices = box.vectors @ np.swapaxes(rotations, 1, 2) @ np.linalg.inv(box.vectors)
    repeats = np.outer(box.pbc, box.pbc)
    whole = np.where(repeats, np.round(matrices), matrices)
    fits = (box.lengths(whole - matrices) < tolerance).all(axis=1)
    of_cell = coarse @ whole @ np.linalg.inv(coarse)
    fits &= (np.abs(of_cell - np.round(of_cell)) * repeats < 1e-6).all(axis=(1, 2))
    rotations, whole = rotations[fits], whole[fits]
    same = np.argmax(np.trace(rotations, axis1=1, axis2=2))
    order = np.argsort(np.arange(len(whole)) != same, kind="stable")  # the identity first
    rotations, whole = rotations[order], whole[order]
    rotations[0] = whole[0] = np.eye(3)
    return rotations, whole


def _matched(
    sites: Sites, atoms: np.ndarray, primitive: np.ndarray, matrices: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return which matrices go with a translation, it, and the atoms' images (see `images`)."""
    x, numbers = sites.coordinates[atoms], sites.numbers[atoms]
    rarest = _rarest(numbers)
    turned = x @ matrices
    likely = np.ones((len(matrices), len(rarest)), dtype=bool)
    for atom in (rarest[-1], len(x) // 2):
        likely &= sites.occupied(x[rarest], turned[:, atom] - turned[:, rarest[0]])
    k, place = np.nonzero(likely)
    shifts = x[rarest].take(place, axis=0) - turned[:, rarest[0]].take(k, axis=0)
    fits = np.zeros(len(matrices), dtype=bool)
    first = np.zeros((len(matrices), 3))
    images = np.zeros((len(matrices), len(x)), dtype=np.int64)
    size = 1
    while len(k):
        trial = sites.at(turned[k[:size]] + shifts[:size, None], numbers)
        missing = trial < 0
        whole = ~missing.any(axis=1)
        good = k[:size][whole]
        fits[good], first[good], images[good] = True, shifts[:size][whole], trial[whole]
        left = size + np.flatnonzero(~fits[k[size:]])
        for atom in np.flatnonzero(missing.any(axis=0))[:4]:
            places = turned[:, atom].take(k[left], axis=0) + shifts.take(left, axis=0)
            left = left[sites.at(places, numbers[[atom]]) >= 0]
        k, shifts = k[left], shifts.take(left, axis=0)
        size = min(8 * size, max(1, AT_ONCE // len(x)))
    kept = np.flatnonzero(fits)
    images = np.searchsorted(atoms, primitive[images[kept]])
    # least squares: the mean over the atoms
    rest = sites.box.shortest(x[images] - turned[kept] - first[kept, None])
    refined = first[kept] + rest.mean(axis=1)
    refined[0] = 0.0
    return kept, refined, images


def _rarest(numbers: np.ndarray) -> np.ndarray:
    """Atoms of the element with the fewest."""
    elements, counts = np.unique(numbers, return_counts=True)
    return np.flatnonzero(numbers == elements[np.argmin(counts)])


def _is_group(rotations: np.ndarray) -> bool:
    """Whether the product of any two is among them."""
    k = len(rotations)
    products = rotations.reshape(-1, 3) @ rotations.swapaxes(0, 1).reshape(3, -1)
    products = products.reshape(k, 3, k, 3).swapaxes(1, 2).reshape(-1, 9)
    # the trace of P^T R is 3 if they are equal, and 2.73 for a turn by 30° between them
    return bool(((rotations.reshape(-1, 9) @ products.T).max(axis=0) > 2.95).all())
