"""How another origin or other axes rename the Wyckoff letters of a space group.

The maps that carry a space group onto itself, its affine normaliser, carry Wyckoff positions onto
Wyckoff positions. Of the letters that they permute, none is more right than another (Koch,
Fischer and Müller, International Tables A, chapter 3.5). The affine normaliser, not the
Euclidean: which axis is called a must not matter, and lengths differ among the crystals of
one prototype.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator

import numpy as np

from ase_symcalc.symmetry.positions import LETTERS, SpaceGroupType, space_group_type

UNIT = np.eye(3, dtype=np.int64)


@functools.cache
def relabellings(hall_number: int) -> tuple[dict[str, str], ...]:
    """Every way to rename the Wyckoff letters of a space group by a change of setting.

    Returns
    -------
    tuple of dict
        From old letter to new, the identity first; together they are a group.
    """
    group = space_group_type(hall_number)
    letters = tuple(group.positions)
    generators = {
        tuple(renamed[letter] for letter in letters)
        for renamed in (_renamed(group, *element) for element in _normaliser(group))
    }
    words = [letters]
    known = set(words)
    for word in words:  # it grows
        ranks = [LETTERS.index(letter) for letter in word]
        products = {tuple(generator[rank] for rank in ranks) for generator in generators}
        words += sorted(products - known)
        known |= products
    return tuple(dict(zip(letters, word, strict=True)) for word in words)


def _renamed(group: SpaceGroupType, linear: np.ndarray, shift: np.ndarray) -> dict[str, str]:
    return {
        position.letter: group.catalogue[group.key(linear @ site + shift)][0].letter
        for position, site in group.catalogue.values()
    }


def _normaliser(group: SpaceGroupType) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Elements x -> W x + w that generate the normaliser's action on Wyckoff positions.

    All shifts, and one element for each other W: two of the same W differ by a shift.
    """
    cosets = set()
    for linear in _linear_parts():
        coset = min(product.tobytes() for product in linear @ group.rotations)
        if coset not in cosets:
            cosets.add(coset)
            shifts = _shifts(group, linear)
            yield from ((linear, shift) for shift in shifts[: 1 if len(cosets) > 1 else None])


def _linear_parts() -> Iterator[np.ndarray]:
    """Yield what generates the linear parts, the unit matrix first.

    From orthorhombic upwards those of a normaliser are in the point groups of the lattices, and
    but for rotations of the group itself they permute and flip axes. In monoclinic and
    triclinic groups they are in infinite groups, that shears by 1 or by 2 generate with these.
    """
    for order, signs in itertools.product(
        itertools.permutations(range(3)), itertools.product((1, -1), repeat=3)
    ):
        yield UNIT[list(order)] * signs
    for row, column in itertools.permutations(range(3), 2):
        for step in (1, 2):
            yield UNIT + step * np.outer(UNIT[row], UNIT[column])


def _shifts(group: SpaceGroupType, linear: np.ndarray) -> np.ndarray:
    """All w, modulo the lattice, for which x -> W x + w carries the group onto itself.

    An operation (R, t) becomes (R', W t + (1 - R') w) with R' = W R W⁻¹, which must be one of
    the group's. Shifts along directions that no operation turns (polar axes) are left out.
    """
    translation_of = {
        rotation.tobytes(): translation
        for rotation, translation in zip(group.rotations, group.translations, strict=True)
    }
    turned = np.rint(linear @ group.rotations @ np.linalg.inv(linear)).astype(np.int64)
    to_primitive = np.linalg.inv(group.lattice)
    if not (
        all(rotation.tobytes() in translation_of for rotation in turned)
        and _whole(group.lattice @ linear.T @ to_primitive).all()
    ):
        return np.empty((0, 3))
    polar = group.rotations.mean(axis=0)
    shifts = group.grid[np.isclose(group.grid @ polar.T, 0).all(axis=1)]
    wanted = np.array([translation_of[rotation.tobytes()] for rotation in turned])
    excess = (group.translations @ linear.T - wanted)[:, None]
    excess = excess + np.einsum("kij,gj->kgi", UNIT - turned, shifts)
    shifts = shifts[_whole(excess @ to_primitive).all(axis=(0, 2))] @ to_primitive
    return np.unique((shifts - np.floor(shifts + 1e-9)).round(9), axis=0) @ group.lattice


def _whole(numbers: np.ndarray) -> np.ndarray:
    return abs(numbers - np.rint(numbers)) < 1e-6
