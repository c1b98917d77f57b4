"""The two ends of a path: whether atom by atom they are the same, and how far each atom goes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from ase import Atoms
from ase.build import minimize_rotation_and_translation
from ase.geometry import find_mic, get_distances
from jaxtyping import Float64, Int64
from scipy.optimize import linear_sum_assignment

from ase_symcalc.errors import InputError

ORDERS = ("check", "nearest", "keep")

SAME = 0.1
"""Å; ends in which no atom moves farther are one structure, relaxed twice."""

SAME_CELL = 1e-4
"""Å; what is lost in files with few digits."""

SHORTER = 0.5
"""In another order the sum of squared distances is that much smaller: this one is a mistake.
A hop that replaces two of equal length has the same sum."""


def check_same_atoms(images: Sequence[Atoms]) -> None:
    """Refuse images that differ in more than their positions.

    Raises
    ------
    InputError
        If they have other atoms, another cell or other periodic directions than the first.
        The same atoms in another order are left to `in_order`.
    """
    first = images[0]
    for index, image in enumerate(images[1:], start=2):
        if sorted(image.numbers) != sorted(first.numbers):
            raise InputError(
                "a path leads from atoms to the same atoms elsewhere; the first structure is "
                f"{first.get_chemical_formula()}, structure {index} is "
                f"{image.get_chemical_formula()}"
            )
        if (image.pbc != first.pbc).any():
            raise InputError(
                f"all structures of a path must repeat along the same directions; the first has "
                f"pbc {first.pbc.tolist()}, structure {index} {image.pbc.tolist()}"
            )
        if not np.allclose(image.cell.array, first.cell.array, rtol=0, atol=SAME_CELL):
            raise InputError(
                "all structures of a path must have the same cell; the first has "
                f"{_cell(first)}, structure {index} {_cell(image)}. Relax both in one cell, with "
                "the cell fixed (symcalc relax --no-cell)"
            )
        if not np.isfinite(image.positions).all():
            raise InputError(f"structure {index} of the path has positions that are no numbers")


def in_order(first: Atoms, last: Atoms, order: str) -> Int64[np.ndarray, "n_atoms"]:
    """Which atom of ``last`` each atom of ``first`` becomes.

    Parameters
    ----------
    first, last : Atoms
        The same atoms, as `check_same_atoms` has it.
    order : {"check", "nearest", "keep"}
        As they are numbered; "check" refuses that where another order is a far shorter way.
        "nearest" takes the order that makes the sum of the squared distances smallest.

    Raises
    ------
    InputError
        If the elements are in different orders, or the check fails.
    """
    if order not in ORDERS:
        raise InputError(f"expected order to be one of {', '.join(ORDERS)}; got {order!r}")
    as_numbered = np.arange(len(first))
    nearest = _nearest(first, last) if order != "keep" else as_numbered
    if order == "nearest":
        return nearest
    unlike = np.flatnonzero(first.numbers != last.numbers)
    if unlike.size:
        i = unlike[0]
        raise InputError(
            f"the two ends list their atoms in different orders: atom {i + 1} is "
            f"{first.symbols[i]} in the first and {last.symbols[i]} in the last. {_MEND}"
        )
    given = _moves(first, last.positions)
    shortest = _moves(first, last.positions[nearest])
    if (shortest**2).sum() < SHORTER * (given**2).sum() and given.max() > SAME:
        raise InputError(
            "the two ends seem to list their atoms in different orders: as numbered, "
            f"{_many(given)} by up to {given.max():.1f} Å; by the nearest places {_many(shortest)} "
            f"by up to {shortest.max():.1f} Å. {_MEND}. If the atoms are to change places, "
            "order='keep' (--order keep) lets them"
        )
    return as_numbered


def in_one_order(images: Sequence[Atoms], order: str) -> list[Atoms]:
    """Copy images, with the cell, the constraints and the order of atoms of the first.

    Raises
    ------
    InputError
        As `check_same_atoms` and `in_order`.
    """
    check_same_atoms(images)
    first = images[0]
    copies = [first.copy()]
    for image in images[1:]:
        places = in_order(first, image, order)
        copy = first.copy()
        copy.set_positions(image.positions[places], apply_constraint=False)
        copies.append(copy)
    return copies


def straighten(images: Sequence[Atoms]) -> None:
    """Move the atoms of each image, in place, to their nearest places as seen from the last one.

    What repeats nowhere and is free is turned and shifted as a whole as well.
    """
    for before, image in pairwise(images):
        way = find_mic(image.positions - before.positions, image.cell, image.pbc)[0]
        image.set_positions(before.positions + way, apply_constraint=False)
        if not image.pbc.any() and not image.constraints:
            minimize_rotation_and_translation(before, image)


def check_apart(first: Atoms, last: Atoms, what: str) -> None:
    """Refuse a path that leads nowhere.

    Raises
    ------
    InputError
    """
    farthest = _moves(first, last.positions).max()
    if farthest <= SAME:
        raise InputError(
            f"{what}: no atom is farther than {farthest:.3f} Å from where it was, less than "
            f"{SAME:g} Å. A path needs two different minima; move the end that fell back"
        )


_MEND = "To give the last the order of the first, order='nearest' (--order nearest) does it"


def _nearest(first: Atoms, last: Atoms) -> np.ndarray:
    squares = get_distances(first.positions, last.positions, cell=first.cell, pbc=first.pbc)[1] ** 2
    order = np.arange(len(first))
    for number in np.unique(first.numbers):
        here, there = (np.flatnonzero(each.numbers == number) for each in (first, last))
        rows, columns = linear_sum_assignment(squares[np.ix_(here, there)])
        order[here[rows]] = there[columns]
    return order


def _moves(first: Atoms, positions: np.ndarray) -> Float64[np.ndarray, "n_atoms"]:
    """How far each atom goes, Å."""
    return find_mic(positions - first.positions, first.cell, first.pbc)[1]


def _many(moves: np.ndarray) -> str:
    count = int((moves > 1).sum())
    return "1 atom moves more than 1 Å," if count == 1 else f"{count} atoms move more than 1 Å,"


def _cell(atoms: Atoms) -> str:
    return " ".join(f"{value:.6g}" for value in atoms.cell.cellpar())
