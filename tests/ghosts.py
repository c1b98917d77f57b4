"""Several processes in one: atoms seen through a periodic boundary are rows of their own."""

from typing import NamedTuple

import numpy as np

from ase_symcalc.structures import from_ase, neighbour_pairs


class Copies:
    """An exchange with oneself: each ghost is a copy of an atom. Counts calls."""

    def __init__(self, n_centres, owner):
        self.n_centres, self.owner, self.calls = n_centres, owner, ""

    def fill(self, rows):
        assert rows.shape[0] == self.n_centres + len(self.owner)
        rows[self.n_centres :] = rows[self.owner]
        self.calls += "+"

    def fold(self, gradient):
        assert gradient.shape[0] == self.n_centres + len(self.owner)
        np.add.at(gradient, self.owner, gradient[self.n_centres :])
        self.calls += "-"


class Ghostly(NamedTuple):
    """A structure whose images are ghosts, in the order `evaluate_domain` takes it."""

    edge_vectors: np.ndarray
    centre: np.ndarray
    neighbour: np.ndarray
    atomic_numbers: np.ndarray
    n_centres: int
    exchange: Copies

    def forces(self, gradient):
        """Forces on the atoms, those on ghosts brought home."""
        forces = np.zeros((len(self.atomic_numbers), 3))
        np.add.at(forces, self.centre, gradient)
        np.add.at(forces, self.neighbour, -gradient)
        n = self.n_centres
        np.add.at(forces, self.exchange.owner, forces[n:])
        return forces[:n]


def with_image_ghosts(atoms, cutoff):
    """One ghost for each image that is anybody's neighbour."""
    arrays, n = from_ase(atoms), len(atoms)
    pairs = neighbour_pairs(arrays.positions, arrays.cell, arrays.pbc, cutoff)
    across = pairs.unit_shifts.any(axis=1)
    images = np.column_stack([pairs.neighbour, pairs.unit_shifts])[across]
    ghosts, place = np.unique(images, axis=0, return_inverse=True)
    neighbour = pairs.neighbour.copy()
    neighbour[across] = n + place.ravel()
    positions = np.vstack([arrays.positions, arrays.positions[ghosts[:, 0]]])
    positions[n:] += ghosts[:, 1:] @ arrays.cell
    numbers = arrays.atomic_numbers[np.concatenate([np.arange(n), ghosts[:, 0]])]
    vectors = positions[neighbour] - positions[pairs.centre]
    exchange = Copies(n, ghosts[:, 0])
    return Ghostly(vectors, pairs.centre, neighbour, numbers, n, exchange)
