"""Make exact the symmetry that a structure has within a tolerance.

All is done in the standard setting of the space group, where its operations x' = R x + t are
tables without rounding. The lattice takes the mean of its metric G over Rᵀ G R, by the stretch S
of space without rotation for which A S S Aᵀ is that mean, A the cell vectors as rows. An atom
takes the mean of all images that fall on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from jaxtyping import Float64, Int64

from ase_symcalc.errors import InputError
from ase_symcalc.symmetry.bases import invariant_basis
from ase_symcalc.symmetry.groups import Group
from ase_symcalc.symmetry.positions import PARTS, space_group_type
from ase_symcalc.symmetry.representations import V
from ase_symcalc.symmetry.setting import StandardSetting, operations_of, standard_setting
from ase_symcalc.symmetry.tolerance import checked


@dataclass(frozen=True, slots=True, eq=False)
class Idealised:
    """A structure with exact symmetry, and how far it is from the one it was made of."""

    atoms: Atoms
    """Order, species and orientation are those given"""
    space_group: str
    """Hermann-Mauguin symbol and number"""
    atoms_moved: float
    """Å, the furthest an atom moved, apart from going along with the cell"""
    cell_moved: float
    """Å, the furthest the end of a cell vector moved"""
    free_strains: int
    """of six, those that keep the space group"""
    free_coordinates: int
    """of the atoms of a primitive cell, those that the space group does not fix"""


def idealise(atoms: Atoms, tolerance: float) -> Idealised:
    """Make exact the space group that a crystal has within a tolerance.

    A file with few digits says 0.3333 for 1/3, or 2.504 and 4.337 for sides whose ratio is
    1/√3. Within exact symmetry such a crystal has less than was meant, and is evaluated atom by
    atom. The crystal stays where it is: cell vectors, orientation, order of the atoms, and
    the origin, which is put on a simple fraction of the cell where it was near one.

    Parameters
    ----------
    atoms : ase.Atoms
        Periodic along all three directions; not changed.
    tolerance : float, Å
        How far atoms may be from their images; above 0 and up to 0.1.

    Returns
    -------
    Idealised

    Raises
    ------
    InputError
        If the tolerance has no meaning, the structure is not a crystal, no space group is
        found, or atoms are too close together to be told apart.
    """
    setting = standard_setting(atoms, checked(tolerance))
    operations = _without_centring(setting.hall_number)
    cells = len(atoms) // len(np.unique(setting.translates))
    to_cell = np.rint(np.linalg.inv(setting.transformation) * cells) / cells
    standard = to_cell.T @ atoms.cell.array
    stretch = _stretch(standard, operations[0])

    x = atoms.get_scaled_positions(wrap=False)
    origin, on_fractions = _origin(setting, tolerance)
    moves, images = _moves(
        x @ np.linalg.inv(to_cell).T + origin, atoms.numbers, standard @ stretch, setting
    )
    moves = moves @ to_cell.T
    if not on_fractions:
        moves -= moves.mean(axis=0)

    ideal = atoms.copy()
    ideal.cell[:] = atoms.cell.array @ stretch
    ideal.positions[:] = (x + moves) @ ideal.cell.array
    strains, coordinates = _freedom(standard @ stretch, operations[0], images)
    return Idealised(
        atoms=ideal,
        space_group=f"{setting.symbol} ({setting.number})",
        atoms_moved=_longest(moves @ ideal.cell.array),
        cell_moved=_longest(ideal.cell.array - atoms.cell.array),
        free_strains=strains,
        free_coordinates=coordinates,
    )


def _without_centring(hall_number: int) -> tuple[np.ndarray, np.ndarray]:
    rotations, translations = operations_of(hall_number)
    _, first = np.unique(rotations, axis=0, return_index=True)
    return rotations[first], translations[first]


def _stretch(cell: np.ndarray, rotations: np.ndarray) -> Float64[np.ndarray, "3 3"]:
    metric = np.mean(rotations.transpose(0, 2, 1) @ (cell @ cell.T) @ rotations, axis=0)
    back = np.linalg.inv(cell)
    values, vectors = np.linalg.eigh(back @ metric @ back.T)
    stretch = vectors * np.sqrt(values) @ vectors.T
    return np.where(abs(stretch - np.eye(3)) < 1e-14, np.eye(3), stretch)  # zeros stay zeros


def _origin(setting: StandardSetting, tolerance: float) -> tuple[np.ndarray, bool]:
    """Return p of the setting, on a simple fraction if it is near one, and whether it is."""
    near = np.rint(setting.origin * PARTS) / PARTS
    if _longest((setting.origin - near)[None] @ setting.cell) < tolerance:
        return near, True
    return setting.origin, False


def _moves(
    x: np.ndarray, numbers: np.ndarray, cell: np.ndarray, setting: StandardSetting
) -> tuple[Float64[np.ndarray, "n_atoms 3"], Int64[np.ndarray, "k n_primitive"]]:
    """Coordinates in the standard setting, from where atoms are to where they should be.

    Also, for each operation, the images of the atoms of a primitive cell.
    """
    lattice = space_group_type(setting.hall_number).lattice
    back = np.linalg.inv(lattice)

    def shortest(differences: np.ndarray) -> np.ndarray:
        return differences - np.rint(differences @ back) @ lattice

    _, first, site = np.unique(setting.translates, return_index=True, return_inverse=True)
    apart = shortest(x - x[first][site])
    counts = np.bincount(site)
    centres = x[first] + np.stack([np.bincount(site, d) / counts for d in apart.T], axis=1)
    others = np.where(numbers[first][:, None] == numbers[first], 0.0, np.inf)
    target, images = np.zeros_like(centres), []
    for rotation, translation in zip(*_without_centring(setting.hall_number), strict=True):
        moved = centres @ rotation.T + translation
        between = shortest(moved[:, None] - centres)
        distances = np.linalg.norm(between @ cell, axis=2) + others
        image = np.argmin(distances, axis=1)
        target[image] += between[np.arange(len(image)), image]
        images.append(image)
    if (np.sort(images, axis=1) != np.arange(len(first))).any():
        raise InputError(
            f"the operations of {setting.symbol} carry several atoms onto one: within this "
            "tolerance they cannot be told apart; expected a tolerance far below the shortest "
            "distance between atoms"
        )
    return (target / len(images))[site] + shortest(centres[site] - x), np.array(images)


def _freedom(cell: np.ndarray, rotations: np.ndarray, images: np.ndarray) -> tuple[int, int]:
    """Count the strains, and the coordinates of one atom of each orbit, that are left free."""
    turns = cell.T @ rotations @ np.linalg.inv(cell.T)
    coordinates = 0
    for atom in np.unique(images.min(axis=0)):
        site = Group("site", np.empty((0, 3, 3)), turns[images[:, atom] == atom])
        coordinates += invariant_basis(V, site).shape[1]
    crystal = Group("crystal", np.empty((0, 3, 3)), turns)
    return invariant_basis(V.symmetric_square, crystal).shape[1], coordinates


def _longest(vectors: np.ndarray) -> float:
    return float(np.linalg.norm(vectors, axis=1).max())
