"""What atoms do where no data can be: very near each other, alone together, squeezed.

A potential that conserves energy may still pull nuclei into each other. These scans say where,
after the tests of diatomics and compression of MLIP Arena (Y. Chiang et al., 2025) and ml-peg.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.data import atomic_numbers, covalent_radii
from jaxtyping import Float64

NEAREST = 0.2  # Å
STEP = 0.02  # Å, of the scan
ROUNDING = 1e-4  # eV; smaller ups and downs are none


@dataclass(frozen=True, slots=True)
class PairScan:
    """Energy of two atoms against their distance, and what is odd about it.

    Attributes
    ----------
    first, second : str
    distances : (n,) array, Å
        From `NEAREST` to beyond the cutoff.
    energies : (n,) array, eV
        Less that of the atoms apart.
    forces : (n,) array, eV/Å
        That drive them apart.
    """

    first: str
    second: str
    distances: Float64[np.ndarray, "n"]
    energies: Float64[np.ndarray, "n"]
    forces: Float64[np.ndarray, "n"]

    @property
    def minima(self) -> list[float]:
        """Distances at which the energy is lower than on both sides, Å."""
        return [float(self.distances[n]) for n, sign in _turns(self.energies) if sign < 0]

    @property
    def maxima(self) -> list[float]:
        """Distances at which it is higher than on both sides, Å."""
        return [float(self.distances[n]) for n, sign in _turns(self.energies) if sign > 0]

    @property
    def hole(self) -> float | None:
        """Largest distance within the bond below which nearer atoms attract, Å; None: a wall.

        The bond is the minimum next to the sum of the covalent radii.
        """
        usual = covalent_radii[[atomic_numbers[self.first], atomic_numbers[self.second]]].sum()
        bond = min(self.minima, key=lambda r: abs(r - usual), default=np.inf)
        if not self.minima and not self.maxima and self.energies[0] < -ROUNDING:
            return float(self.distances[-1])
        return max((r for r in self.maxima if r < bond), default=None)

    @property
    def faults(self) -> list[str]:
        """What is wrong, in words; empty if the pair behaves."""
        if not (np.isfinite(self.energies).all() and np.isfinite(self.forces).all()):
            return ["not finite"]
        found = []
        if self.hole is not None:
            found.append(f"attracts below {self.hole:.2f} Å")
        if len(self.minima) > 1:
            found.append("minima at " + ", ".join(f"{r:.2f}" for r in self.minima) + " Å")
        if self.minima and (barriers := [r for r in self.maxima if r > (self.hole or 0.0)]):
            found.append("barrier at " + ", ".join(f"{r:.2f}" for r in barriers) + " Å")
        if abs(self.energies[-2]) > ROUNDING:
            found.append("not zero beyond the cutoff")
        return found


def scan_pair(calc: BaseCalculator, first: str, second: str, cutoff: float) -> PairScan:
    """Energies and forces of two atoms from 0.2 Å to just beyond the cutoff.

    Parameters
    ----------
    calc : ASE calculator
    first, second : str
        Chemical symbols.
    cutoff : float, Å
        Beyond which atoms do not see each other.

    Returns
    -------
    PairScan
    """
    distances = np.append(np.arange(NEAREST, cutoff, STEP), [cutoff + STEP, cutoff + 2 * STEP])
    energies, forces = np.empty_like(distances), np.empty_like(distances)
    atoms = Atoms([first, second], np.zeros((2, 3)))
    atoms.calc = calc
    for n, distance in enumerate(distances):
        atoms.positions[1, 2] = distance
        energies[n] = atoms.get_potential_energy()
        forces[n] = atoms.get_forces()[1, 2]
    return PairScan(first, second, distances, energies - energies[-1], forces)


def squeeze(
    calc: BaseCalculator, atoms: Atoms, *, to: float = 0.5, steps: int = 26
) -> tuple[Float64[np.ndarray, "n"], Float64[np.ndarray, "n"]]:
    """Scale a crystal down to a share of its volume.

    Parameters
    ----------
    calc : ASE calculator
    atoms : Atoms
        At its equilibrium; left as it is.
    to : float
        Share of the volume that is left at the end.
    steps : int

    Returns
    -------
    volumes, Å³, falling, and energies, eV : (steps,) arrays
    """
    own = atoms.copy()
    own.calc = calc
    shares = np.linspace(1.0, to, steps)
    energies = []
    for share in shares:
        own.set_cell(atoms.cell * share ** (1 / 3), scale_atoms=True)
        energies.append(own.get_potential_energy())
    return shares * atoms.get_volume(), np.array(energies)


def assert_stiff(calc: BaseCalculator, atoms: Atoms, *, to: float = 0.5) -> None:
    """Check that the energy of a crystal rises all the way when it is squeezed.

    Parameters
    ----------
    calc : ASE calculator
    atoms : Atoms
        Within a tenth of its equilibrium volume, where the check starts.
    to : float
        Share of the volume that is left at the end.

    Raises
    ------
    AssertionError
        Naming the volume at which the energy falls.
    """
    volumes, energies = squeeze(calc, atoms, to=to)
    start = int(np.argmin(energies[volumes > 0.9 * volumes[0]]))
    for (before, after), volume in zip(
        pairwise(energies[start:]), volumes[start + 1 :], strict=True
    ):
        if not after > before - ROUNDING:
            raise AssertionError(
                f"the energy of {atoms.symbols} falls from {before:.4f} to {after:.4f} eV when it "
                f"is squeezed to {volume / len(atoms):.2f} Å³/atom, "
                f"{volume / volumes[0]:.2f} of its volume"
            )


def _turns(y: np.ndarray) -> list[tuple[int, int]]:
    """Extrema that differ by more than rounding: index, and 1 for a maximum, -1 for a minimum."""
    found: list[tuple[int, int]] = []
    low = high = direction = 0
    for n in range(1, len(y)):
        low, high = (n if y[n] < y[low] else low), (n if y[n] > y[high] else high)
        if direction >= 0 and y[high] - y[n] > ROUNDING:
            found.append((high, 1))
            low, direction = n, -1
        elif direction <= 0 and y[n] - y[low] > ROUNDING:
            found.append((low, -1))
            high, direction = n, 1
    return [(n, sign) for n, sign in found if n > 0]
