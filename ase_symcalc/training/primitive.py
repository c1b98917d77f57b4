"""A supercell that repeats its primitive cell says no more than that cell, at more cost."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ase import Atoms

from ase_symcalc.symmetry.operations import find_operations
from ase_symcalc.training.labels import Labels

TOLERANCE = 1e-3  # Å; files of DFT programs keep more digits
FORCE_TOLERANCE = 5e-3  # eV/Å, between atoms that should feel the same


def primitive_frame(atoms: Atoms, labels: Labels) -> tuple[Atoms, Labels]:
    """Cut a labelled crystal to its primitive cell, with its share of the energy.

    The stress stays, and the forces are the means over the copies. What does not repeat
    within its cell, or has forces that do not, comes back as it is.

    Parameters
    ----------
    atoms : ase.Atoms
    labels : Labels
    """
    if not atoms.pbc.all() or len(atoms) < 2:
        return atoms, labels
    found = find_operations(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers, TOLERANCE)
    if found is None or (n := found.n_translations) == 1:
        return atoms, labels
    first, copy, counts = np.unique(found.primitive, return_inverse=True, return_counts=True)
    forces = labels.forces
    if forces is not None:
        # the mean, since those of one copy need not sum to zero to the last digit
        mean = np.zeros((len(first), 3))
        np.add.at(mean, copy, forces / n)
        if np.abs(forces - mean[copy]).max() > FORCE_TOLERANCE:
            return atoms, labels
        forces = mean
    if (counts != n).any():
        return atoms, labels
    cell = Atoms(
        atoms.numbers[first],
        positions=atoms.positions[first],
        cell=found.lattice @ found.box.vectors,
        pbc=True,
        info=dict(atoms.info),
    )
    energy = None if labels.energy is None else labels.energy / n
    return cell, replace(labels, energy=energy, forces=forces)
