"""What a person receives: NumPy, float64, one structure each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from ase_symcalc.errors import NumericalError
from ase_symcalc.structures import StructureArrays
from ase_symcalc.units import EV_PER_CUBIC_ANGSTROM_IN_GPA


@dataclass(frozen=True, slots=True)
class StructureResult:
    """Energy of one structure and its first derivatives, as copies of their own."""

    energy: float
    """eV"""
    atomic_energies: Float64[np.ndarray, "n_atoms"]
    """eV, sums to `energy`"""
    forces: Float64[np.ndarray, "n_atoms 3"] | None = None
    """eV/Å, None if not asked for"""
    stress: Float64[np.ndarray, "3 3"] | None = None
    """eV/Å³, positive under tension, None if not asked for or without a volume"""
    stresses: Float64[np.ndarray, "n_atoms 3 3"] | None = None
    """eV/Å³, each atom's share, sums to `stress`"""

    def __repr__(self) -> str:
        words = [f"{len(self.atomic_energies)} atoms", f"energy {self.energy:.6f} eV"]
        if self.forces is not None:
            fmax = float(np.linalg.norm(self.forces, axis=1).max())
            words.append(f"largest force {fmax:.5f} eV/Å")
        if self.stress is not None:
            pressure = -np.trace(self.stress) / 3 * EV_PER_CUBIC_ANGSTROM_IN_GPA
            words.append(f"pressure {pressure:.3f} GPa")
        return f"StructureResult({', '.join(words)})"


def to_result(
    arrays: StructureArrays,
    atomic_energies: Float64[np.ndarray, "n_atoms"],
    forces: Float64[np.ndarray, "n_atoms 3"] | None = None,
    shares: Float64[np.ndarray, "n_atoms 3 3"] | None = None,
) -> StructureResult:
    """Make a result of what belongs to the atoms of one structure.

    Parameters
    ----------
    arrays : StructureArrays
    atomic_energies : (n_atoms,) array, eV
    forces : (n_atoms, 3) array, eV/Å, optional
    shares : (n_atoms, 3, 3) array, eV, optional
        Of ∂E/∂ε.

    Raises
    ------
    NumericalError
        If anything in it is not finite.
    """
    stress = stresses = None
    if shares is not None and (volume := arrays.volume) is not None:
        stresses = shares / volume
        stress = stresses.sum(axis=0)
    _check_finite(atomic_energies=atomic_energies, forces=forces, stresses=shares)
    return StructureResult(float(atomic_energies.sum()), atomic_energies, forces, stress, stresses)


def _check_finite(**named: np.ndarray | None) -> None:
    for name, values in named.items():
        # a sum that is finite has no others in it; one that is not may have overflown
        if values is None or math.isfinite(values.sum()) or np.isfinite(values).all():
            continue
        atom = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise NumericalError(
            f"expected finite numbers from the network, got {name} of atom {atom} that are not. "
            "The structure is probably far outside what the potential was trained on, "
            "or the numbers overflow its dtype; look at that atom, or use dtype='float64'."
        )
