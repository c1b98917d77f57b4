"""Which Wyckoff positions a crystal occupies, said so that every description of it agrees."""

from __future__ import annotations

import functools
import string
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import gcd

import numpy as np
from ase import Atoms
from jaxtyping import Float64, Int64

from ase_symcalc.errors import InputError
from ase_symcalc.symmetry.normaliser import relabellings
from ase_symcalc.symmetry.positions import LETTERS, space_group_type
from ase_symcalc.symmetry.setting import StandardSetting, standard_setting

FAMILIES = "amothc"
LAST_OF_FAMILY = (2, 15, 74, 142, 194, 230)  # space-group numbers
EQUAL = 1e-4  # relative to the largest feature: float32 leaves a hundred times less


@dataclass(frozen=True, slots=True, eq=False)
class WyckoffSites:
    """The occupied Wyckoff positions of a crystal.

    Orbits are in the order of the label: elements by alphabet, then letters. Of atoms,
    ``letters[orbits[i]]`` is the letter.
    """

    space_group: int
    """number, 1 to 230"""
    label: str
    """protostructure, such as ``AB2_cF12_225_a_c:Ca-F``"""
    orbits: Int64[np.ndarray, "n_atoms"]
    """number of the orbit of each atom"""
    elements: tuple[str, ...]
    """of each orbit"""
    letters: tuple[str, ...]
    """of each orbit"""
    multiplicities: Int64[np.ndarray, "n_orbits"]
    """atoms of each orbit in the standard cell"""
    site_symmetries: tuple[str, ...]
    """of each orbit: oriented Hermann-Mauguin symbols"""
    other_letters: tuple[tuple[str, ...], ...]
    """what else the orbits may be called under the same label, when orbits of one element are
    interchangeable; most often nothing"""


@dataclass(frozen=True, slots=True, eq=False)
class WyckoffFeatures:
    """Features of a crystal, one row per orbit."""

    rows: Float64[np.ndarray, "n_orbits n_features"]
    elements: tuple[str, ...]
    letters: tuple[str, ...]
    multiplicities: Int64[np.ndarray, "n_orbits"]

    @property
    def material(self) -> Float64[np.ndarray, "n_features"]:
        """One vector for the crystal: the mean over its orbits, weighted by multiplicity."""
        return self.multiplicities @ self.rows / self.multiplicities.sum()


def wyckoff_sites(atoms: Atoms, tolerance: float = 1e-5) -> WyckoffSites:
    """Wyckoff letters of a crystal, and its protostructure label.

    The label is AFLOW's, with the elements as Wren adds them (Goodall et al., Sci. Adv. 8,
    eabn4117 (2022)): formula with elements renamed A, B, ... by alphabet; Pearson symbol;
    space group; letters of each element, counted; elements. Rhombohedral Pearson symbols count
    the primitive cell, as AFLOW's do.

    Letters depend on the origin and on which axis is called what. All that is equivalent
    under the affine normaliser of the space group is tried, and the first in alphabetical order
    taken, element by element. So primitive cells, supercells, shifted, rotated and relabelled
    cells agree, and so do mirror images unless their space groups differ.

    Parameters
    ----------
    atoms : ase.Atoms
        Periodic along all three directions.
    tolerance : float, Å
        How far atoms may be from their images.

    Raises
    ------
    InputError
        If the structure is not a crystal, or no space group is found within the tolerance.
    """
    setting = standard_setting(atoms, tolerance)
    symbols = atoms.get_chemical_symbols()
    firsts = np.unique(setting.orbits)
    ways = _least([symbols[i] for i in firsts], [setting.letters[i] for i in firsts], setting)
    order = sorted(range(len(firsts)), key=lambda n: (symbols[firsts[n]], _rank(ways[0][n])))
    firsts = firsts[order]
    letters, *others = (tuple(way[n] for n in order) for way in ways)
    positions = space_group_type(setting.hall_number).positions
    elements = tuple(symbols[first] for first in firsts)
    multiplicities = setting.multiplicities[firsts]
    return WyckoffSites(
        space_group=setting.number,
        label=_label(elements, letters, multiplicities, setting),
        orbits=np.argmax(setting.orbits[:, None] == firsts, axis=1),
        elements=elements,
        letters=letters,
        multiplicities=multiplicities,
        site_symmetries=tuple(positions[letter].site_symmetry for letter in letters),
        other_letters=tuple(others),
    )


def pool_wyckoff(
    features: Float64[np.ndarray, "n_atoms n_features"], atoms: Atoms, tolerance: float = 1e-5
) -> WyckoffFeatures:
    """Average invariant features over each orbit of a crystal.

    The order of the rows is that of the label's letters. Rows of one element and letter, and
    letters that orbits could exchange, are ordered by the features themselves. So the result is
    the same for every origin, setting and supercell.

    Parameters
    ----------
    features : (n_atoms, n_features) array
        What a network says of each atom after its last layer; must not turn with the atoms.
    atoms, tolerance
        As in `wyckoff_sites`.

    Raises
    ------
    InputError
        As `wyckoff_sites`, or if there is not one row for each atom.

    Notes
    -----
    Averaging comes after message passing, and that matters. Wren (Goodall et al., Sci. Adv. 8,
    eabn4117 (2022)) feeds Wyckoff letters to its network. An origin shift may exchange letters, so
    it runs the network on every equivalent set of them and averages what comes out. Had it
    averaged what goes in, all letters that can be exchanged would have become one, and distinct
    sites of equal site symmetry could not be told apart by anything that follows.

    Our network sees positions, not letters. Its features are the same for all equivalent choices,
    and so is their average over these: what is left to settle is names and order. Within an
    orbit features differ by rounding, or by what the tolerance lets pass. What the network is fed,
    averaged over an orbit, would be the same for all orbits of one element; what comes out
    says what surrounds each, so orbits of equal site symmetry stay distinct.
    """
    if features.ndim != 2 or len(features) != len(atoms):
        raise InputError(
            f"expected one row of features for each of {len(atoms)} atoms, got an array of shape "
            f"{features.shape}"
        )
    sites = wyckoff_sites(atoms, tolerance)
    n_orbits = len(sites.letters)
    members = sites.orbits == np.arange(n_orbits)[:, None]
    rows = members @ features / members.sum(axis=1, keepdims=True)
    close = EQUAL * abs(rows).max(initial=0)

    def compare(one: list[int], other: list[int]) -> int:
        return _compare(rows[one], rows[other], close)

    def ordered(letters: tuple[str, ...]) -> list[int]:
        names = [(sites.elements[n], _rank(letters[n])) for n in range(n_orbits)]
        return sorted(range(n_orbits), key=lambda n: (names[n], by_features([n])))

    by_features = functools.cmp_to_key(compare)
    ways = (sites.letters, *sites.other_letters)
    letters = min(ways, key=lambda letters: by_features(ordered(letters)))
    order = ordered(letters)
    return WyckoffFeatures(
        rows=rows[order],
        elements=tuple(sites.elements[n] for n in order),
        letters=tuple(letters[n] for n in order),
        multiplicities=sites.multiplicities[order],
    )


def _least(
    elements: list[str], letters: list[str], setting: StandardSetting
) -> list[tuple[str, ...]]:
    """Names of the orbits, in their order, that give the first label; there may be several."""
    ways = {
        tuple(renaming[letter] for letter in letters)
        for renaming in relabellings(setting.hall_number)
    }

    def label(way: tuple[str, ...]) -> list[tuple[str, int]]:
        return sorted(zip(elements, map(_rank, way), strict=True))

    least = min(map(label, ways))
    return sorted(way for way in ways if label(way) == least)


def _label(
    elements: tuple[str, ...],
    letters: tuple[str, ...],
    multiplicities: np.ndarray,
    setting: StandardSetting,
) -> str:
    kinds = sorted(set(elements))
    members = [[n for n, element in enumerate(elements) if element == kind] for kind in kinds]
    counts = [int(multiplicities[orbits].sum()) for orbits in members]
    formula = "".join(
        f"{name}{_unless_one(count // gcd(*counts))}"
        for name, count in zip(_names(), counts, strict=False)
    )
    occupied = (
        "".join(f"{_unless_one(times)}{letter}" for letter, times in Counter(own).items())
        for own in ([letters[n] for n in orbits] for orbits in members)
    )
    centring = setting.symbol[0]
    n_atoms = sum(counts) // 3 if centring == "R" else sum(counts)
    family = FAMILIES[bisect_left(LAST_OF_FAMILY, setting.number)]
    pearson = f"{family}{'C' if centring in 'AB' else centring}{n_atoms}"
    return "_".join([formula, pearson, str(setting.number), *occupied]) + ":" + "-".join(kinds)


def _names() -> Iterator[str]:
    """Yield A, B, ... Z, AA, AB, ..."""
    for first in ("", *string.ascii_uppercase):
        yield from (first + last for last in string.ascii_uppercase)


def _unless_one(count: int) -> str:
    return "" if count == 1 else str(count)


def _compare(one: np.ndarray, other: np.ndarray, close: float) -> int:
    """-1, 0 or 1, by the first two numbers that are not close."""
    difference = (one - other).ravel()
    apart = np.flatnonzero(abs(difference) > close)
    return int(np.sign(difference[apart[0]])) if len(apart) else 0


def _rank(letter: str) -> int:
    return LETTERS.index(letter)
