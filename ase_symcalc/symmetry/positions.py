"""The Wyckoff positions of a space group, found from its operations.

A stabiliser fixes a point, a line, a plane or all of space. Two sites are of one Wyckoff position
if an operation carries what the stabiliser of one fixes onto what that of the other fixes.
Letters are a convention, and spglib knows them: it is shown one crystal that has an atom of its
own kind on every position.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from ase_symcalc.symmetry.setting import find_setting, operations_of

LETTERS = "abcdefghijklmnopqrstuvwxyzA"
"""in the order of International Tables A; spglib writes A for their α"""
GENERIC = np.array([0.1378, 0.0523, 0.2291])  # on no symmetry element of any space group
METRIC = np.array([[83.0, 7.0, -11.0], [7.0, 107.0, 5.0], [-11.0, 5.0, 131.0]])  # Å², likewise
PARTS = 24  # of an edge: sites without freedom have coordinates in these units

Key = tuple[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class WyckoffPosition:
    """What International Tables A say of one position."""

    letter: str
    multiplicity: int
    """sites in the standard cell"""
    site_symmetry: str


@dataclass(frozen=True, slots=True, eq=False)
class _Freedom:
    """Directions along which the sites of a position may move."""

    projector: np.ndarray
    """(3, 3), onto them"""
    across: np.ndarray
    """(3 - dimension, 3) whole numbers: a basis of those that give 0 along them"""


class SpaceGroupType:
    """A space group in one setting, and its Wyckoff positions.

    Attributes
    ----------
    rotations, translations : (n_ops, 3, 3) and (n_ops, 3) arrays
        Fractional, modulo the cell; those that centre it are included.
    lattice : (3, 3) array
        Rows are fractional vectors of a primitive cell.
    grid : (n, 3) array
        Fractional. Isolated fixed points are among them, some point of every axis and plane,
        and every shift of the origin that carries the group onto itself.
    """

    def __init__(self, hall_number: int) -> None:
        self.rotations, self.translations = operations_of(hall_number)
        near = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
        pure = (self.rotations == np.eye(3)).all(axis=(1, 2))
        vectors = (self.translations[pure][:, None] + near).reshape(-1, 3)
        self.lattice = _shortest_basis(vectors, METRIC)
        threefold = np.trace(self.rotations, axis1=1, axis2=2) == 0
        hexagonal = (threefold & (self.rotations[:, 2, 2] == 1)).any()
        steps = (6, 6, 12) if hexagonal else (8, 8, 8)
        self.grid = np.array(list(np.ndindex(steps))) / steps
        self._freedoms: list[_Freedom] = []
        self._carriers: dict[bytes, tuple[int, np.ndarray]] = {}
        self._find_freedoms()

    def key(self, site: Float64[np.ndarray, "3"]) -> Key:
        """Tell the Wyckoff position of a site (fractional) from all others.

        The site is carried to where its freedom has the direction chosen for its kind; there
        whole-number forms across that direction say, modulo 1, where its subspace lies. Of
        all that the group makes of these, the least.
        """
        images = self.rotations @ site + self.translations
        moves = images - site
        fixed = (abs(moves - np.rint(moves)) < 1e-6).all(axis=1)
        number, carriers = self._carriers[_code(self.rotations[fixed].mean(axis=0))]
        return number, min(map(tuple, self._places(number, images[carriers]).tolist()))

    @functools.cached_property
    def catalogue(self) -> dict[Key, tuple[WyckoffPosition, Float64[np.ndarray, "3"]]]:
        """Every Wyckoff position by its key, each with one site of it."""
        sites = list(self._sites().values())
        other = 3.37 * GENERIC  # with a second general orbit no larger group is left
        orbits = [self._orbit(site) for site in (*sites, other)]
        kinds = np.repeat(np.arange(len(orbits)), [len(orbit) for orbit in orbits])
        metric = np.mean(self.rotations.transpose(0, 2, 1) @ METRIC @ self.rotations, axis=0)
        cell = self.lattice @ np.linalg.cholesky(metric)
        setting = find_setting(cell, np.concatenate(orbits), kinds, 1e-4)
        catalogue = {}
        for kind in range(len(sites)):
            atom = int(np.argmax(kinds == kind))
            site = setting.positions[atom]
            catalogue[self.key(site)] = (
                WyckoffPosition(
                    setting.letters[atom],
                    int(setting.multiplicities[atom]),
                    setting.site_symmetries[atom],
                ),
                site,
            )
        return catalogue

    @property
    def positions(self) -> dict[str, WyckoffPosition]:
        """Every Wyckoff position by its letter, in order."""
        found = (position for position, _ in self.catalogue.values())
        by_rank = sorted(found, key=lambda position: LETTERS.index(position.letter))
        return {position.letter: position for position in by_rank}

    def _find_freedoms(self) -> None:
        """One freedom for each class under the group, and what carries each onto its class."""
        inverses = np.rint(np.linalg.inv(self.rotations)).astype(np.int64)
        fixed = [_fixed_by(rotation) for rotation in self.rotations]
        for projector in (np.zeros((3, 3)), *fixed):  # points; planes, lines, all of space
            if (code := _code(projector)) in self._carriers:
                continue
            turned = self.rotations @ projector @ inverses
            numbers = (n for n, known in enumerate(self._freedoms) if _same(turned, known).any())
            number = next(numbers, len(self._freedoms))
            if number == len(self._freedoms):
                self._freedoms.append(_Freedom(projector, _across(projector)))
            self._carriers[code] = number, np.flatnonzero(_same(turned, self._freedoms[number]))

    def _places(self, number: int, sites: np.ndarray) -> np.ndarray:
        places = sites @ self._freedoms[number].across.T
        return np.rint(places * PARTS).astype(np.int64) % PARTS

    def _sites(self) -> dict[Key, np.ndarray]:
        """One site of each position, generic along its freedom."""
        found: dict[Key, np.ndarray] = {}
        for number, freedom in enumerate(self._freedoms):
            sites = self.grid + freedom.projector @ GENERIC
            places = {tuple(place): i for i, place in enumerate(self._places(number, sites))}
            for index in places.values():
                key = self.key(sites[index])
                if key[0] == number:
                    found.setdefault(key, sites[index])
        return found

    def _orbit(self, site: np.ndarray) -> np.ndarray:
        """All images of a site in the primitive cell, in coordinates of that cell."""
        images = (self.rotations @ site + self.translations) @ np.linalg.inv(self.lattice)
        images -= np.floor(images + 1e-9)
        _, first = np.unique(images.round(6), axis=0, return_index=True)
        return images[first]


@functools.cache
def space_group_type(hall_number: int) -> SpaceGroupType:
    """Build the space group in one of its 530 settings."""
    return SpaceGroupType(hall_number)


def _fixed_by(rotation: np.ndarray) -> np.ndarray:
    """Projector onto what a rotation leaves: the mean of its powers, of which 12 repeat."""
    powers = [np.linalg.matrix_power(rotation, power) for power in range(12)]
    return np.mean(powers, axis=0)


def _code(projector: np.ndarray) -> bytes:
    return np.rint(projector * PARTS).astype(np.int8).tobytes()


def _same(projectors: np.ndarray, freedom: _Freedom) -> np.ndarray:
    return np.isclose(projectors, freedom.projector).all(axis=(1, 2))


def _across(projector: np.ndarray) -> np.ndarray:
    forms = np.array(list(itertools.product(range(-2, 3), repeat=3)))
    forms = forms[np.isclose(forms @ projector, 0).all(axis=1)]
    return _shortest_basis(forms, np.eye(3))


def _shortest_basis(vectors: np.ndarray, metric: np.ndarray) -> np.ndarray:
    """Basis of the lattice that short vectors of it span.

    In three dimensions the shortest independent vectors are one (Minkowski).
    """
    lengths = np.einsum("ni,ij,nj->n", vectors, metric, vectors)
    basis = np.empty((0, 3))
    for vector in vectors[np.argsort(lengths, kind="stable")]:
        longer = np.vstack([basis, vector])
        if np.linalg.matrix_rank(longer) == len(longer):
            basis = longer
    return basis
