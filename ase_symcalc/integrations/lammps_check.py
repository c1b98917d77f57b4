"""Whether what LAMMPS has of a structure is what `SymCalc` says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from jaxtyping import Float64

from ase_symcalc.calculator import SymCalc
from ase_symcalc.integrations.lammps_callback import FIX
from ase_symcalc.potential_files import Potential

ALLOWED = {
    "float64": {"energy": 1e-9, "forces": 1e-8, "stress": 1e-9},
    "float32": {"energy": 1e-5, "forces": 1e-3, "stress": 1e-5},
}
"""eV/atom, eV/Å, eV/Å³: the same sums in another order"""
UNITS = {"energy": "eV/atom", "forces": "eV/Å", "stress": "eV/Å³"}


@dataclass(frozen=True, slots=True)
class Row:
    """A quantity, the largest number of it on either side, and the largest difference."""

    name: str
    unit: str
    lammps: float
    symcalc: float
    difference: float
    allowed: float

    @property
    def agrees(self) -> bool:
        """Whether the difference is rounding."""
        return self.difference <= self.allowed


@dataclass(frozen=True, slots=True)
class Comparison:
    """Quantities that both have; none on processes but the first."""

    n_atoms: int
    rows: tuple[Row, ...]

    @property
    def agrees(self) -> bool:
        """Whether all do."""
        return all(row.agrees for row in self.rows)


def compare(lmp: Any, comm: Any, potential: Potential, symbols: tuple[str, ...]) -> Comparison:
    """Compare by ``run 0``: what comes through LAMMPS from the fix, and `SymCalc`.

    Other fixes and bonds are left out. All processes must call; the first evaluates all atoms.

    Parameters
    ----------
    lmp : lammps.lammps
    comm : mpi4py.MPI.Comm
    potential : Potential
    symbols : tuple of str
        Of the atom types.
    """
    stress = _stress(lmp)
    energy = lmp.extract_fix(FIX, 0, 0)  # its global scalar
    atoms, forces = _gathered(lmp, comm, symbols)
    if comm.rank:
        return Comparison(0, ())
    dtype = str(potential.dtype).removeprefix("torch.")
    atoms.calc = SymCalc(potential, dtype=dtype, device=str(potential.device), symmetry="off")
    found = {"energy": np.array([energy]) / len(atoms), "forces": forces}
    expected = {
        "energy": np.array([atoms.get_potential_energy()]) / len(atoms),
        "forces": atoms.get_forces(),
    }
    if atoms.pbc.any():
        found["stress"], expected["stress"] = stress, atoms.get_stress(voigt=False)
    allowed = ALLOWED[dtype]
    rows = (_row(name, values, expected[name], allowed[name]) for name, values in found.items())
    return Comparison(len(atoms), tuple(rows))


def _row(name: str, found: np.ndarray, expected: np.ndarray, allowed: float) -> Row:
    largest = np.unravel_index(np.abs(expected).argmax(), expected.shape)
    difference = float(np.abs(found - expected).max())
    numbers = float(found[largest]), float(expected[largest])
    return Row(name, UNITS[name], *numbers, difference, allowed)


def _stress(lmp: Any) -> Float64[np.ndarray, "3 3"]:
    """Stress from LAMMPS' pressure of the fixes, eV/Å³."""
    name = f"{FIX}_check"
    lmp.command(f"compute {name} all pressure NULL fix")
    # a thermo style that shows it has the virial added up in time
    lmp.command(f"thermo_style custom step pe {' '.join(f'c_{name}[{n}]' for n in range(1, 7))}")
    lmp.command("run 0 post no")
    xx, yy, zz, xy, xz, yz = lmp.extract_compute(name, 0, 1)[:6]  # its global vector
    pressure = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    return -pressure / lmp.extract_global("nktv2p")


def _gathered(lmp: Any, comm: Any, symbols: tuple[str, ...]) -> tuple[Atoms, np.ndarray]:
    """All atoms, and the forces on them, on the first process; nothing on others."""
    n = lmp.extract_setting("nlocal")
    here = [np.zeros((0, 3)), np.zeros(0, int), np.zeros((0, 3))]
    if n:
        forces = lmp.numpy.fix_external_get_force(FIX)[:n]
        here = [
            lmp.numpy.extract_atom("x", nelem=n, dim=3).reshape(-1, 3).copy(),
            lmp.numpy.extract_atom("type", nelem=n).reshape(-1).copy(),
            forces.copy(),
        ]
    everywhere = comm.gather(here)
    if everywhere is None:
        return Atoms(), np.zeros((0, 3))
    positions, types, forces = (np.concatenate(part) for part in zip(*everywhere, strict=True))
    low, high, xy, yz, xz, periodic, _ = lmp.extract_box()
    lx, ly, lz = np.subtract(high, low)
    cell = [(lx, 0, 0), (xy, ly, 0), (xz, yz, lz)]
    names = [symbols[kind - 1] for kind in types]
    return Atoms(names, positions, cell=cell, pbc=np.array(periodic, dtype=bool)), forces
