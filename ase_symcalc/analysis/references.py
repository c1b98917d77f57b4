"""Perfect and disordered surroundings by which those of other atoms are named."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.build import bcc100, bcc110, bulk, diamond111, fcc100, fcc110, fcc111, hcp0001
from jaxtyping import Bool, Float64, Int64

from ase_symcalc.analysis.descriptors import PowerSpectrum
from ase_symcalc.analysis.radial import GaussianBasis
from ase_symcalc.errors import InputError
from ase_symcalc.structures import check_separation, from_ase, neighbour_pairs

LABELS = ("fcc", "bcc", "hcp", "diamond", "liquid", "surface", "other")

OUTLYING = 3.0
"""Standard deviations from the nearest reference beyond which its name says nothing."""

NEAREST = 6
"""Neighbours whose mean distance is the length of a structure: all are in the first shell of
close-packed and bcc crystals, and of their close-packed surfaces."""

LENGTH = 2.5  # Å, to which structures are scaled before they are compared
FURTHEST = 12.0  # Å, where neighbours are looked for

NOISE = (0.02, 0.05, 0.08)
"""Of that length: standard deviations along each axis, from a cold crystal to a hot one."""

SPECTRUM = PowerSpectrum(("H",), GaussianBasis(cutoff=2.2 * LENGTH, n_max=6, lmax=8, sigma=0.4))

RIDGE = 1e-3
"""Of the mean variance: added to all, so that directions without any do not decide."""


@dataclass(frozen=True, slots=True, eq=False)
class References:
    """Centres of reference surroundings, in coordinates where each scatters alike."""

    names: tuple[str, ...]
    """such as "fcc" or "fcc(111)" """
    labels: Int64[np.ndarray, "n_references"]
    """index into `LABELS`"""
    whitening: Float64[np.ndarray, "n_features n_features"]
    centres: Float64[np.ndarray, "n_references n_features"]

    def nearest(
        self, rows: Float64[np.ndarray, "n_atoms n_features"]
    ) -> tuple[Int64[np.ndarray, "n_atoms"], Float64[np.ndarray, "n_atoms"]]:
        """Return which reference is nearest, and how far it is in standard deviations."""
        white = rows @ self.whitening
        squares = ((white[:, None] - self.centres) ** 2).sum(axis=2)
        return squares.argmin(axis=1), np.sqrt(squares.min(axis=1) / white.shape[1])


def label_atoms(atoms: Atoms) -> tuple[list[str], Float64[np.ndarray, "n_atoms"]]:
    """Name the surroundings of each atom: one of `LABELS`.

    Elements are not looked at, so alloys are named by their lattice, and the structure is scaled,
    so lattice constants do not matter. Diamond lattices with two elements are zincblende.

    Parameters
    ----------
    atoms : Atoms

    Returns
    -------
    list of str, and (n_atoms,) array
        Labels, and distances from the nearest reference in standard deviations of the
        references: about 1 is as expected, and what is further than 3 from a
        crystal or surface is "other", as atoms of molecules are.

    Raises
    ------
    InputError
        If no atom has neighbours within 12 Å, two are closer than 0.1 Å, or the structure has
        no meaning.

    Notes
    -----
    The power spectrum of each atom is compared with those of reference crystals, surfaces and a
    disordered packing, each with random displacements. The nearest centre is looked for in
    coordinates in which references scatter alike about their centres: linear discriminant
    analysis (Fisher, Ann. Eugen. 7, 179 (1936)) with a ridge.
    """
    found = references()
    nearest, distances = found.nearest(SPECTRUM(_scaled(atoms)))
    labels = found.labels[nearest]
    strange = (distances > OUTLYING) & (labels != LABELS.index("liquid"))
    labels = np.where(strange, LABELS.index("other"), labels)
    return [LABELS[label] for label in labels], distances


def length_of(atoms: Atoms) -> float:
    """Median over atoms of the mean distance of the `NEAREST` nearest neighbours, Å.

    Raises
    ------
    InputError
        If no atom has neighbours within 12 Å, or two are closer than 0.1 Å.
    """
    cutoff = 4.0
    while True:
        pairs = neighbour_pairs(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)
        counts = np.bincount(pairs.centre, minlength=len(atoms))
        if np.median(counts) >= NEAREST or cutoff >= FURTHEST:
            break
        cutoff = min(1.4 * cutoff, FURTHEST)
    check_separation(from_ase(atoms), pairs)
    vectors = atoms.positions[pairs.neighbour] - atoms.positions[pairs.centre]
    lengths = np.linalg.norm(vectors + pairs.unit_shifts @ atoms.cell.array, axis=1)
    lengths = lengths[np.lexsort((lengths, pairs.centre))]
    starts = np.cumsum(counts) - counts
    means = [
        lengths[start : start + min(NEAREST, n)].mean()
        for start, n in zip(starts, counts, strict=True)
        if n
    ]
    if not means:
        raise InputError(
            f"no atom has a neighbour within {FURTHEST:g} Å; expected a solid, a liquid or a "
            "cluster"
        )
    return float(np.median(means))


@functools.cache
def references() -> References:
    """Build the references; takes about a second, once."""
    rng = np.random.default_rng(1)
    names, labels, samples = [], [], []
    for name, (label, atoms, chosen) in _reference_structures().items():
        names.append(name)
        labels.append(LABELS.index(label))
        noisy = []
        for noise in NOISE:
            shaken = _scaled(atoms)
            shaken.positions += rng.normal(0, noise * LENGTH, shaken.positions.shape)
            noisy.append(_scaled(shaken))
        samples.append(np.concatenate([rows[chosen] for rows in SPECTRUM(noisy)]))
    centres = np.array([rows.mean(axis=0) for rows in samples])
    scatter = np.mean([np.cov(rows.T, bias=True) for rows in samples], axis=0)
    values, vectors = np.linalg.eigh(scatter)
    whitening = vectors * (values + RIDGE * values.mean()) ** -0.5
    return References(tuple(names), np.array(labels), whitening, centres @ whitening)


def _reference_structures() -> dict[str, tuple[str, Atoms, Bool[np.ndarray, "n_atoms"]]]:
    """Label, structure, and the atoms that count, by name."""
    crystals = {
        "fcc": bulk("Cu", cubic=True) * (4, 4, 4),
        "bcc": bulk("Fe", cubic=True) * (5, 5, 5),
        "hcp": bulk("Mg", covera=(8 / 3) ** 0.5) * (6, 6, 4),
        "diamond": bulk("Si", cubic=True) * (3, 3, 3),
    }
    surfaces = {
        "fcc(111)": fcc111("Cu", (6, 6, 5), vacuum=8),
        "fcc(100)": fcc100("Cu", (6, 6, 5), vacuum=8),
        "fcc(110)": fcc110("Cu", (5, 5, 7), vacuum=8),
        "bcc(110)": bcc110("Fe", (6, 6, 5), vacuum=8),
        "bcc(100)": bcc100("Fe", (6, 6, 7), vacuum=8),
        "hcp(0001)": hcp0001("Mg", (6, 6, 5), c=3.21 * (8 / 3) ** 0.5, vacuum=8),
        "diamond(111)": diamond111("Si", (5, 5, 6), vacuum=8),
    }
    found = {
        name: (name, atoms, np.ones(len(atoms), dtype=bool)) for name, atoms in crystals.items()
    }
    packing = _random_packing(250)
    found["liquid"] = ("liquid", packing, np.ones(len(packing), dtype=bool))
    for name, slab in surfaces.items():
        z = slab.positions[:, 2]
        outer = (z > z.max() - 0.1) | (z < z.min() + 0.1)
        found[name] = ("surface", slab, outer)
    return found


def _random_packing(n_atoms: int) -> Atoms:
    """Atoms put at random, then pushed apart until few are closer than in a dense liquid."""
    edge = n_atoms ** (1 / 3) * LENGTH
    positions = np.random.default_rng(2).uniform(0, edge, (n_atoms, 3))
    cell, pbc = np.eye(3) * edge, np.ones(3, dtype=bool)
    for _ in range(60):
        pairs = neighbour_pairs(positions, cell, pbc, 1.08 * LENGTH)
        vectors = positions[pairs.neighbour] - positions[pairs.centre] + pairs.unit_shifts @ cell
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        push = (1.08 * LENGTH - lengths) * vectors / np.maximum(lengths, 1e-3)
        np.add.at(positions, pairs.neighbour, 0.15 * push)
    return Atoms(["H"] * n_atoms, positions, cell=cell, pbc=True)


def _scaled(atoms: Atoms) -> Atoms:
    """Return the structure as atoms of one kind, with a length of `LENGTH`."""
    factor = LENGTH / length_of(atoms)
    return Atoms(
        ["H"] * len(atoms), atoms.positions * factor, cell=atoms.cell * factor, pbc=atoms.pbc
    )
