"""A crystal of anharmonic springs: forces in microseconds, the same for the same positions."""

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator, all_changes

from ase_symcalc.structures import neighbour_pairs

LENGTH = 2.55  # Å
STIFFNESS = 2.0  # eV/Å²
BEND = 3.0  # eV/Å⁴


class Springs(Calculator):
    """Between the neighbours that the first structure has, whatever happens to it."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012
    n_calls = 0

    def __init__(self, atoms):
        super().__init__()
        pairs = neighbour_pairs(atoms.positions, atoms.cell.array, atoms.pbc, 1.2 * LENGTH)
        self.ends, self.shifts = (pairs.centre, pairs.neighbour), pairs.unit_shifts
        self.incidence = np.zeros((len(atoms), len(pairs.centre)))
        self.incidence[pairs.centre, np.arange(len(pairs.centre))] = 1

    def calculate(self, atoms=None, properties=(), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.n_calls += 1
        i, j = self.ends
        vectors = atoms.positions[j] - atoms.positions[i] + self.shifts @ atoms.cell.array
        lengths = np.linalg.norm(vectors, axis=1)
        stretch = lengths - LENGTH
        energy = 0.5 * float((0.5 * STIFFNESS * stretch**2 + 0.25 * BEND * stretch**4).sum())
        pulls = ((STIFFNESS * stretch + BEND * stretch**3) / lengths)[:, None] * vectors
        virial = 0.5 * np.einsum("pi,pj->ij", vectors, pulls) / max(atoms.get_volume(), 1)
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "forces": self.incidence @ pulls,
            "stress": virial.ravel()[[0, 4, 8, 5, 2, 1]],
        }


def spring_crystal(repeat=1) -> Atoms:
    """Four copper atoms, or a supercell of them."""
    atoms = bulk("Cu", cubic=True) * repeat
    atoms.calc = Springs(atoms)
    return atoms
