"""Which vibrations infrared light does not see, by the symmetry of the molecule alone."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from jaxtyping import Bool, Float64

from ase_symcalc.symmetry.operations import find_operations

TOLERANCE = 0.01
"""Å, within which atoms are images of each other"""

SILENT = 1e-4
"""Part of a mode, squared, that may move the charges as a vector does: what relaxations and
differences of forces leave."""

LARGER = (4, 1)
"""Scales tried for finding operations, which looks for directions at 0.5 Å from the centre."""


def silent_in_infrared(
    atoms: Atoms, modes: Float64[np.ndarray, "n_modes n_atoms 3"]
) -> Bool[np.ndarray, "n_modes"] | None:
    """Find the modes that leave the dipole moment as it is, whatever the charges.

    The derivative of the dipole is a linear map L of displacements u to vectors that follows
    every operation g of the point group, L(D(g)u) = R(g) L(u). All such maps are means over the
    group of R(g)ᵀ A D(g); a mode is silent if all of them give zero, that is if its irreducible
    representations have nothing in common with that of a vector.

    Parameters
    ----------
    atoms : Atoms
        A molecule, taken for neutral: moving it as a whole changes no dipole.
    modes : (n_modes, n_atoms, 3) array
        Displacements.

    Returns
    -------
    (n_modes,) bool array or None
        None if the operations cannot be told.
    """
    group = _of_line(atoms) or _of_others(atoms)
    if group is None:
        return None
    rotations, images = group
    inner = modes - modes.mean(axis=1, keepdims=True)
    inner = inner / np.linalg.norm(inner, axis=(1, 2), keepdims=True)
    maps = np.zeros((len(modes), 3, 3, len(atoms), 3))
    for rotation, image in zip(rotations, images, strict=True):
        carried = np.empty_like(inner)
        carried[:, image] = inner @ rotation.T
        maps += np.einsum("ki,mac->mkiac", rotation, carried) / len(rotations)
    return (maps**2).sum(axis=(1, 2, 3, 4)) < SILENT


def _of_others(atoms: Atoms) -> tuple[np.ndarray, np.ndarray] | None:
    for scale in LARGER:
        found = find_operations(
            scale * atoms.positions, np.zeros((3, 3)), np.zeros(3, dtype=bool), atoms.numbers,
            scale * TOLERANCE,
        )  # fmt: skip
        if found is not None:
            return found.rotations, found.images
    return None


def _of_line(atoms: Atoms) -> tuple[np.ndarray, np.ndarray] | None:
    """Return D2h or C2v for atoms in a line: of all turns about it, a half one tells enough."""
    offsets = atoms.positions - atoms.positions.mean(axis=0)
    frame = np.linalg.svd(offsets)[2]  # rows: along the line, and across
    along = offsets @ frame[0]
    if np.linalg.norm(offsets - np.outer(along, frame[0]), axis=1).max() > TOLERANCE:
        return None
    order = np.argsort(along)
    back = order[::-1]
    same = (atoms.numbers[order] == atoms.numbers[back]).all()
    turnable = same and (abs(along[order] + along[back]) < TOLERANCE).all()
    signs, images = [], []
    for end in (1, -1) if turnable else (1,):
        image = np.arange(len(atoms))
        if end < 0:
            image[order] = back
        for across in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            signs.append((end, *across))
            images.append(image)
    rotations = np.array([frame.T @ np.diag(sign) @ frame for sign in signs])
    return rotations, np.array(images)
