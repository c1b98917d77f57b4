"""Optimiser, learning rate and the moving average of the weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Generic, TypeVar

import torch

from ase_symcalc.errors import InputError
from ase_symcalc.training.config import OptimiserConfig, ScheduleConfig

SPARED = ("embedding", "radial")  # what decides how an element or a distance is seen
Module = TypeVar("Module", bound=torch.nn.Module)


def freeze(model: torch.nn.Module, prefixes: Sequence[str]) -> None:
    """Let the parameters whose names begin so keep their values.

    A prefix ends where a part of a name ends: "layers.1" is not "layers.10".

    Raises
    ------
    InputError
        If no name begins with one of them, or nothing would be left to train.
    """
    parameters = dict(model.named_parameters())
    for prefix in prefixes:
        found = [name for name in parameters if f"{name}.".startswith(f"{prefix}.")]
        if not found:
            known = dict.fromkeys(name.split(".weights")[0] for name in parameters)
            raise InputError(
                f"start.freeze: expected the beginning of a parameter's name, got {prefix!r}; "
                f"there are {', '.join(known)}"
            )
        for name in found:
            parameters[name].requires_grad_(False)
    if not any(parameter.requires_grad for parameter in parameters.values()):
        raise InputError("start.freeze leaves no parameter to train; freeze less")


def make_optimiser(model: torch.nn.Module, config: OptimiserConfig) -> torch.optim.AdamW:
    """AdamW whose decay is for the matrices that mix channels.

    Biases and other vectors, the embedding of the elements and the radial networks are spared.
    """
    decaying: list[torch.nn.Parameter] = []
    spared: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            keep = parameter.dim() < 2 or any(part in SPARED for part in name.split("."))
            (spared if keep else decaying).append(parameter)
    groups = [
        {"params": decaying, "weight_decay": config.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def learning_rate(
    epoch: float, peak: float, config: ScheduleConfig, scores: Sequence[float] = ()
) -> float:
    """Linear rise over the warm-up, then down to a fraction of the peak.

    Down along a cosine, or by halves with each plateau of the ``scores`` of the epochs done.
    """
    if epoch < config.warmup_epochs:
        return peak * max(epoch, 0.01 * config.warmup_epochs) / config.warmup_epochs
    if config.decay == "plateau":
        return peak * max(config.final_fraction, 0.5 ** n_plateaus(scores, config.patience))
    progress = (epoch - config.warmup_epochs) / (config.epochs - config.warmup_epochs)
    cosine = (1 + math.cos(math.pi * min(progress, 1.0))) / 2
    return peak * (config.final_fraction + (1 - config.final_fraction) * cosine)


def n_plateaus(scores: Sequence[float], patience: int) -> int:
    """How many times so many epochs went by without a score lower than all before.

    A function of the scores alone, so a resumed run needs no state for it.
    """
    best, count, waited = math.inf, 0, 0
    for score in scores:
        waited = 0 if score < best else waited + 1
        best = min(best, score)
        if waited == patience:
            count, waited = count + 1, 0
    return count


class AveragedModel(Generic[Module]):
    """Exponential moving average of a model's weights, held in a copy of the model."""

    def __init__(self, model: Module, decay: float) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self.decay = decay

    def update(self, model: Module, step: int) -> None:
        """Move towards the weights of the ``step``-th step.

        The average forgets faster at first, or it would remember the untrained weights.
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        with torch.no_grad():
            for mean, weight in zip(self.model.parameters(), model.parameters(), strict=True):
                mean.lerp_(weight, 1 - decay)
