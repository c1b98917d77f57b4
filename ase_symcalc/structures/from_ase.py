"""`Atoms` to checked arrays: refuses what has no meaning, before anything is computed."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols
from jaxtyping import Bool, Float64, Int64

from ase_symcalc.errors import InputError, UnsupportedElementError

LARGEST_COORDINATE = 1e9  # Å; beyond it float64 keeps fewer than seven decimals
SHORTEST_PERIOD = 0.1  # Å; below it every atom would sit on its own image
LEAST_INDEPENDENT = 1e-8  # smallest singular value of cell vectors scaled to unit length


@dataclass(frozen=True, slots=True)
class StructureArrays:
    """One structure as arrays of its own, checked, sharing no memory with the `Atoms`."""

    positions: Float64[np.ndarray, "n_atoms 3"]
    """Å, anywhere in space"""
    cell: Float64[np.ndarray, "3 3"]
    """Å, rows are the cell vectors; rows that do not repeat may be zero"""
    pbc: Bool[np.ndarray, "3"]
    atomic_numbers: Int64[np.ndarray, "n_atoms"]

    @property
    def volume(self) -> float | None:
        """Volume of the cell as the user gave it, Å³.

        None, and so no stress, where nothing repeats or the cell vectors enclose nothing.
        """
        rows = self.cell.tolist()
        if not any(self.pbc.tolist()) or not _independent(rows):
            return None
        return abs(_determinant(rows))


def from_ase(atoms: Atoms, elements: Sequence[str] | None = None) -> StructureArrays:
    """Copy a structure into arrays and check that it has a meaning.

    Parameters
    ----------
    atoms : ase.Atoms
        Left as it is. Constraints, charges and moments are not looked at.
    elements : sequence of str, optional
        Chemical symbols that are allowed; None allows every element.

    Raises
    ------
    InputError
        If there is no atom, a position or the cell is not finite or beyond 1e9 Å, a
        periodic cell vector is shorter than 0.1 Å, or the periodic ones lie in one plane
        or line.
    UnsupportedElementError
        If an element is not among `elements`.
    """
    arrays = StructureArrays(
        positions=np.array(atoms.positions, dtype=np.float64),
        cell=np.array(atoms.cell, dtype=np.float64),
        pbc=np.array(atoms.pbc, dtype=bool),
        atomic_numbers=np.array(atoms.numbers, dtype=np.int64),
    )
    check_geometry(arrays.positions, arrays.cell, arrays.pbc)
    if elements is not None:
        check_elements(arrays.atomic_numbers, elements)
    return arrays


def check_geometry(
    positions: Float64[np.ndarray, "n_atoms 3"],
    cell: Float64[np.ndarray, "3 3"],
    pbc: Bool[np.ndarray, "3"],
) -> None:
    """Refuse positions and cells (Å) that no neighbour search could make sense of.

    Raises
    ------
    InputError
        As `from_ase` says.
    """
    if len(positions) == 0:
        raise InputError("the structure has no atoms; expected at least one")
    if not np.abs(positions).max() < LARGEST_COORDINATE:  # true of NaN
        first = int(np.argmin((np.abs(positions) < LARGEST_COORDINATE).all(axis=1)))
        raise InputError(
            f"the position of atom {first} is {positions[first].tolist()} Å; expected finite "
            f"coordinates below {LARGEST_COORDINATE:g} Å. Read the structure again, or undo the "
            "step that moved it there."
        )
    rows, repeats = cell.tolist(), pbc.tolist()
    if not all(abs(number) < LARGEST_COORDINATE for row in rows for number in row):
        raise InputError(
            f"the cell is {cell.tolist()} Å; expected finite vectors below "
            f"{LARGEST_COORDINATE:g} Å. Set it with atoms.set_cell(...)."
        )
    lengths = [math.hypot(*row) for row in rows]
    for axis, length in enumerate(lengths):
        if repeats[axis] and length < SHORTEST_PERIOD:
            raise InputError(
                f"cell vector {axis} is periodic but has length {length:g} Å; got lengths "
                f"{[round(each, 6) for each in lengths]} Å with pbc {repeats}. Set pbc False "
                "along it, or give it a length with atoms.center(vacuum=..., axis=...)."
            )
    if not _independent([row for row, repeated in zip(rows, repeats, strict=True) if repeated]):
        raise InputError(
            f"the periodic cell vectors lie in one {'plane' if pbc.all() else 'line'}; expected "
            f"independent directions, got cell {cell.tolist()} Å with pbc {pbc.tolist()}. Correct "
            "the cell, or set pbc False along one of them."
        )


def check_elements(numbers: Int64[np.ndarray, "n"], elements: Sequence[str]) -> None:
    """Raise UnsupportedElementError if an atomic number is of none of these elements."""
    unknown = set(numbers.tolist()) - _numbers_of(tuple(elements))
    if unknown:
        symbols = ", ".join(map(symbol_of, sorted(unknown)))
        raise UnsupportedElementError(
            f"the potential was not trained on {symbols}; it knows {', '.join(elements)}."
        )


@functools.cache
def _numbers_of(elements: tuple[str, ...]) -> frozenset[int]:
    return frozenset(atomic_numbers[symbol] for symbol in elements)


def symbol_of(number: int) -> str:
    """Chemical symbol, or ``Z=...`` for a number that has none."""
    return chemical_symbols[number] if 0 <= number < len(chemical_symbols) else f"Z={number}"


def _independent(rows: list[list[float]]) -> bool:
    """Whether no vector is zero and none lies in the span of the others."""
    if len(rows) == 3:  # σ1 σ2 <= 3/2 for unit vectors, so σ3 >= 2/3 of the determinant
        size = math.prod(math.hypot(*row) for row in rows)
        if abs(_determinant(rows)) > 1.5 * LEAST_INDEPENDENT * size:
            return True
    vectors = np.array(rows).reshape(-1, 3)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    if not lengths.all():
        return False
    spread = np.linalg.svd(vectors / lengths, compute_uv=False)
    return bool(spread.min(initial=1.0) > LEAST_INDEPENDENT)


def _determinant(rows: list[list[float]]) -> float:
    """Return the determinant of a 3 by 3 matrix, without the overhead of LAPACK."""
    a, b, c = rows
    return (
        a[0] * (b[1] * c[2] - b[2] * c[1])
        + a[1] * (b[2] * c[0] - b[0] * c[2])
        + a[2] * (b[0] * c[1] - b[1] * c[0])
    )
