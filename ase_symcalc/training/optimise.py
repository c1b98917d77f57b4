"""Optimiser, learning rate and the moving average of the weights."""

from __future__ import annotations

import copy
import math
from typing import Generic, TypeVar

import torch

from ase_symcalc.models.base import AbstractEnergyModel
from ase_symcalc.training.config import OptimiserConfig, ScheduleConfig

Model = TypeVar("Model", bound=AbstractEnergyModel)


def make_optimiser(model: torch.nn.Module, config: OptimiserConfig) -> torch.optim.AdamW:
    """AdamW that lets biases and other vectors be: decay is for matrices."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.dim() < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def learning_rate(epoch: float, peak: float, config: ScheduleConfig) -> float:
    """Linear rise over the warm-up, then a cosine down to a fraction of the peak."""
    if epoch < config.warmup_epochs:
        return peak * max(epoch, 0.01 * config.warmup_epochs) / config.warmup_epochs
    progress = (epoch - config.warmup_epochs) / (config.epochs - config.warmup_epochs)
    cosine = (1 + math.cos(math.pi * min(progress, 1.0))) / 2
    return peak * (config.final_fraction + (1 - config.final_fraction) * cosine)


class AveragedModel(Generic[Model]):
    """Exponential moving average of a model's weights, held in a copy of the model."""

    def __init__(self, model: Model, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay

    def update(self, model: Model, step: int) -> None:
        """Move towards the weights of the ``step``-th step.

        The average forgets faster at first, or it would remember the untrained weights.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, weight in zip(self.model.parameters(), model.parameters(), strict=True):
                mean.lerp_(weight, 1 - decay)
