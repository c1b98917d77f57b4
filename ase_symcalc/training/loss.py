"""The loss: how far energies per atom, forces and stresses are off.

With r the error of a frame's energy per atom, of an atom's force vector or of a frame's
stress matrix, and s its scale, each counts ρ(|r| / s), where ρ(x) = x²/2 for "mse" and
Huber's x²/2 below one and x - 1/2 above for "huber" (P. J. Huber, Ann. Math. Statist. 35,
73 (1964)). Taking the norm of a vector or matrix first keeps the loss the same in a rotated
frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ase_symcalc.response import Prediction
from ase_symcalc.training.config import LossConfig, Weights
from ase_symcalc.training.dataset import Batch, Frame, stress_errors


@dataclass(frozen=True, slots=True)
class BatchSize:
    """What an average batch holds.

    Sums are divided by these instead of by what the batch at hand holds, so that a frame
    weighs the same whatever it is packed with.
    """

    frames: float
    atoms: float
    stresses: float

    @classmethod
    def average(cls, frames: Sequence[Frame], max_edges: int) -> BatchSize:
        """Of frames packed by edges."""
        n_batches = max(1.0, sum(f.graph.n_edges for f in frames) / max_edges)
        return cls(
            frames=len(frames) / n_batches,
            atoms=sum(f.graph.n_atoms for f in frames) / n_batches,
            stresses=max(1, sum(f.stress is not None for f in frames)) / n_batches,
        )


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
    atom_weight = batch.weight.index_select(0, batch.graph.structure_index)

    def term(squared: Tensor, weight: Tensor, count: float) -> Tensor:
        return (weight * _penalty(squared, config.kind)).sum() / count

    return (
        weights.energy * term(energy, batch.weight, size.frames)
        + weights.forces * term(forces, atom_weight, size.atoms)
        + weights.stress * term(stress, batch.weight * batch.has_stress, size.stresses)
    )


def _penalty(squared: Float[Tensor, "n"], kind: str) -> Float[Tensor, "n"]:
    if kind == "mse":
        return squared / 2
    # clamped because the root has no slope at zero, where its branch is not taken
    return torch.where(squared < 1, squared / 2, squared.clamp(min=1).sqrt() - 0.5)
