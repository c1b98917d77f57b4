"""A crystal as International Tables describe it: the border with spglib's tables."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import spglib
from ase import Atoms
from jaxtyping import Float64, Int64

from ase_symcalc.errors import InputError

_FAILURE = getattr(spglib, "SpglibError", ())  # before 2.7 it only ever returned None


@dataclass(frozen=True, slots=True, eq=False)
class StandardSetting:
    """A crystal referred to the standard setting of its space group.

    That is spglib's: unique axis b, hexagonal axes, the first origin choice. It fixes the
    origin only up to shifts that map the space group onto itself.
    """

    number: int
    """of the space group, 1 to 230"""
    symbol: str
    """Hermann-Mauguin, of the space group"""
    hall_number: int
    """of the setting, 1 to 530"""
    cell: Float64[np.ndarray, "3 3"]
    """Å, rows are the standard cell's vectors, oriented as the structure is"""
    positions: Float64[np.ndarray, "n_atoms 3"]
    """fractional, exactly on its site, of each atom or a translational image of it"""
    orbits: Int64[np.ndarray, "n_atoms"]
    """first atom of the orbit that each belongs to"""
    multiplicities: Int64[np.ndarray, "n_atoms"]
    """atoms of that orbit in the standard cell"""
    letters: tuple[str, ...]
    """Wyckoff letters as this origin gives them"""
    site_symmetries: tuple[str, ...]
    """Hermann-Mauguin symbols, oriented"""
    translates: Int64[np.ndarray, "n_atoms"]
    """the same number for atoms that a primitive translation carries onto each other"""
    transformation: Float64[np.ndarray, "3 3"]
    """P in ``x_standard = P x + p`` for columns of fractional coordinates, unrounded"""
    origin: Float64[np.ndarray, "3"]
    """p"""


def standard_setting(atoms: Atoms, tolerance: float = 1e-5) -> StandardSetting:
    """Refer a crystal to the standard setting of its space group.

    Parameters
    ----------
    atoms : ase.Atoms
        Periodic along all three directions.
    tolerance : float, Å
        How far atoms may be from their images.

    Raises
    ------
    InputError
        If the structure is not a crystal or not finite, or no space group is found within the
        tolerance.
    """
    if not len(atoms) or not atoms.pbc.all():
        raise InputError(
            "a space group needs atoms that repeat along all three directions; got "
            f"{len(atoms)} atoms with pbc {atoms.pbc.tolist()}"
        )
    finite = np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()
    if not finite or np.linalg.matrix_rank(atoms.cell.array) < 3:  # spglib crashes on NaN
        raise InputError(
            "a space group needs finite positions, and three cell vectors that are finite and "
            "independent; correct the structure"
        )
    numbers = atoms.numbers.astype(np.int64)
    return find_setting(atoms.cell.array, atoms.get_scaled_positions(), numbers, tolerance)


def find_setting(
    cell: Float64[np.ndarray, "3 3"],
    coordinates: Float64[np.ndarray, "n_atoms 3"],
    kinds: Int64[np.ndarray, "n_atoms"],
    tolerance: float,
) -> StandardSetting:
    """As `standard_setting`, from cell vectors (Å, rows), fractional coordinates and species."""
    structure: Any = cell, coordinates, kinds
    try:
        found = spglib.get_symmetry_dataset(structure, symprec=tolerance)
    except _FAILURE:
        found = None
    if found is None:
        raise InputError(
            f"no space group was found within {tolerance:g} Å; look for atoms that lie on one "
            "another or a cell without volume, or try another tolerance"
        )
    # spglib idealises the atoms of the standard cell; each has a translational image there
    image = np.zeros(len(kinds), dtype=np.int64)
    image[found.std_mapping_to_primitive] = np.arange(len(found.std_types))
    orbits = found.crystallographic_orbits.astype(np.int64)
    cells = 1 / abs(np.linalg.det(found.transformation_matrix))
    return StandardSetting(
        number=int(found.number),
        symbol=found.international,
        hall_number=int(found.hall_number),
        cell=np.linalg.inv(found.transformation_matrix).T @ cell,
        positions=found.std_positions[image[found.mapping_to_primitive]],
        orbits=orbits,
        multiplicities=np.rint(np.bincount(orbits)[orbits] * cells).astype(np.int64),
        letters=tuple(found.wyckoffs),
        site_symmetries=tuple(found.site_symmetry_symbols),
        translates=found.mapping_to_primitive.astype(np.int64),
        transformation=found.transformation_matrix,
        origin=found.origin_shift,
    )


@functools.cache
def operations_of(
    hall_number: int,
) -> tuple[Int64[np.ndarray, "n_ops 3 3"], Float64[np.ndarray, "n_ops 3"]]:
    """Operations of a space group in one of its 530 settings, modulo its cell.

    Returns
    -------
    rotations, translations
        Fractional; those that centre the cell are included. Shared: not to be written to.
    """
    found: Any = spglib.get_symmetry_from_database(hall_number)
    return found["rotations"].astype(np.int64), found["translations"]
