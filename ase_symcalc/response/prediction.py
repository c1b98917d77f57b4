"""What a model predicts, as tensors, as long as gradients matter."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Prediction:
    """Energies and their first derivatives.

    `stress` and `stresses` are NaN for a structure whose cell has no volume; whoever hands
    them to a person must refuse instead.
    """

    energy: Float[Tensor, "n_structures"]
    """eV"""
    atomic_energies: Float[Tensor, "n_atoms"]
    """eV, sums to `energy`"""
    forces: Float[Tensor, "n_atoms 3"] | None = None
    """eV/Å, -dE/dr"""
    stress: Float[Tensor, "n_structures 3 3"] | None = None
    """eV/Å³, (1/V) dE/dε, symmetric, positive under tension"""
    stresses: Float[Tensor, "n_atoms 3 3"] | None = None
    """eV/Å³, each atom's share; sums to `stress`"""
