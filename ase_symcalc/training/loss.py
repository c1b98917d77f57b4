"""The loss: how far energies per atom, forces and stresses are off.

With r the error of a frame's energy per atom, of an atom's force vector or of a frame's
stress matrix, and s its scale, each counts ρ(|r| / s), where ρ(x) = x²/2 for "mse" and
Huber's x²/2 below one and x - 1/2 above for "huber" (P. J. Huber, Ann. Math. Statist. 35,
73 (1964)). Taking the norm of a vector or matrix first keeps the loss the same in a rotated
frame. A frame without one of the labels has no part in that term.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ase_symcalc.response import Prediction
from ase_symcalc.training.config import LossConfig, Weights
from ase_symcalc.training.dataset import Batch, Frame, stress_errors
from ase_symcalc.units import EV_PER_CUBIC_ANGSTROM_IN_GPA


@dataclass(frozen=True, slots=True)
class BatchSize:
    """What an average batch holds.

    Sums are divided by these instead of by what the batch at hand holds, so that a frame
    weighs the same whatever it is packed with. Only what has a label is counted.
    """

    energies: float
    forces: float
    """atoms"""
    stresses: float

    @classmethod
    def average(cls, frames: Sequence[Frame], max_edges: int) -> BatchSize:
        """Of frames packed by edges."""
        n_batches = max(1.0, sum(f.graph.n_edges for f in frames) / max_edges)
        energies = sum(f.energy is not None for f in frames)
        atoms = sum(f.graph.n_atoms for f in frames if f.forces is not None)
        stresses = sum(f.stress is not None for f in frames)
        return cls(*(max(1, count) / n_batches for count in (energies, atoms, stresses)))


def batch_loss(
    prediction: Prediction, batch: Batch, config: LossConfig, weights: Weights, size: BatchSize
) -> Float[Tensor, ""]:
    """Weighted sum of the three terms, differentiable."""
    if prediction.forces is None or prediction.stress is None:
        raise ValueError("the loss needs a prediction with derivatives")
    energy = ((prediction.energy - batch.energy) / batch.n_atoms / config.energy_scale).square()
    forces = ((prediction.forces - batch.forces) / config.force_scale).square().sum(dim=1)
    stress = (
        (stress_errors(prediction.stress, batch) / config.stress_scale).square().sum(dim=(1, 2))
    )
    atom_weight = (batch.weight * batch.has_forces)[batch.graph.structure_index]

    def term(squared: Tensor, weight: Tensor, count: float) -> Tensor:
        return (weight * _penalty(squared, config.kind)).sum() / count

    return (
        weights.energy * term(energy, batch.weight * batch.has_energy, size.energies)
        + weights.forces * term(forces, atom_weight, size.forces)
        + weights.stress * term(stress, batch.weight * batch.has_stress, size.stresses)
    )


def validation_score(row: Mapping[str, int | float], config: LossConfig) -> float:
    """One number of the errors of an epoch: the loss as it counts in the end, to first order."""
    weights = config.second
    stress = row["stress_mae"] / EV_PER_CUBIC_ANGSTROM_IN_GPA / config.stress_scale
    terms = (
        weights.energy * row["energy_mae"] / 1e3 / config.energy_scale,
        weights.forces * row["force_mae"] / 1e3 / config.force_scale,
        weights.stress * stress,
    )
    return sum(term for term in terms if not math.isnan(term))


def _penalty(squared: Float[Tensor, "n"], kind: str) -> Float[Tensor, "n"]:
    if kind == "mse":
        return squared / 2
    # clamped because the root has no slope at zero, where its branch is not taken
    return torch.where(squared < 1, squared / 2, squared.clamp(min=1).sqrt() - 0.5)
