"""Pairs of elements that a potential never met in training."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from itertools import combinations_with_replacement

import numpy as np

from ase_symcalc.errors import OutsideTrainingWarning
from ase_symcalc.potential_files import Potential, PotentialCard
from ase_symcalc.structures import Pairs, StructureArrays, pairs_within
from ase_symcalc.structures.from_ase import symbol_of


def unseen_pairs(
    arrays: StructureArrays, pairs: Pairs, potential: Potential, named: Iterable[str] = ()
) -> set[str]:
    """Pairs of elements, within the cutoff of each other, that the card does not list.

    They are written as on the card: "Si-O". A card that lists none is silent about pairs.

    Parameters
    ----------
    arrays : StructureArrays
    pairs : Pairs
        All within the cutoff of the potential, and perhaps some that are longer.
    potential : Potential
    named : iterable of str
        Pairs that need not be looked for.
    """
    if not unlisted_pairs(arrays, pairs, potential).difference(named):
        return set()
    near = pairs_within(pairs, arrays.positions, arrays.cell, potential.model.cutoff)
    return unlisted_pairs(arrays, near, potential).difference(named)


def unlisted_pairs(arrays: StructureArrays, pairs: Pairs, potential: Potential) -> set[str]:
    """Pairs of elements among these pairs of atoms that the card does not list.

    As `unseen_pairs`, at any distance.
    """
    numbers, listed = arrays.atomic_numbers, set(potential.card.pairs)
    present = np.flatnonzero(np.bincount(numbers)).tolist()
    possible = {
        (first, second): f"{symbol_of(first)}-{symbol_of(second)}"
        for first, second in combinations_with_replacement(present, 2)
    }
    if not listed or listed.issuperset(possible.values()):
        return set()
    kinds = np.unique(128 * numbers[pairs.centre] + numbers[pairs.neighbour]).tolist()
    ends = (divmod(kind, 128) for kind in kinds)
    return {possible[a, b] for a, b in ends if a <= b} - listed


def warn_of_pairs(unseen: Iterable[str], potentials: Sequence[Potential]) -> None:
    """Warn of each pair; the caller's caller is the line that is named."""
    cards = [potential.card for potential in potentials]
    for pair in sorted(unseen):
        warnings.warn(unseen_in_words(pair, cards), OutsideTrainingWarning, stacklevel=3)


def unseen_in_words(pair: str, cards: Sequence[PotentialCard]) -> str:
    """Say what it means that two elements never met in training."""
    names = " and ".join(card.name for card in cards if card.pairs and pair not in card.pairs)
    first, second = pair.split("-")
    return (
        f"No {first} was near {second} where {names} was trained, and here they are within its "
        "cutoff; energies and forces may be far off, so check them against a reference."
    )
