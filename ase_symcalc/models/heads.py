"""Levels of theory on one body: networks that share every weight but those of the readout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Generic, TypeVar, cast

import torch
from torch import Tensor

from ase_symcalc.models.base import AbstractEnergyModel
from ase_symcalc.models.build import build_model
from ase_symcalc.models.config import ModelConfig
from ase_symcalc.models.symnet import SymNet

OWN = ("readout_hidden", "readout_out", "reference_energies", "scale")
"""Tensors that each head has for itself"""

Model = TypeVar("Model", bound=AbstractEnergyModel)


class Heads(torch.nn.Module, Generic[Model]):
    """Networks by the name of their level of theory; one alone may be called ``""``.

    What they share, they share as objects, so that `parameters` has it once.
    """

    def __init__(self, models: Mapping[str, Model]) -> None:
        super().__init__()
        self.names = tuple(models)
        self.models = torch.nn.ModuleList(models.values())

    def __getitem__(self, head: str) -> Model:
        return cast(Model, self.models[self.names.index(head)])


def build_heads(config: ModelConfig, *, seed: int = 0) -> Heads[SymNet]:
    """Networks with random weights for each of ``config.heads``, or one if there are none.

    All start from the same readout.
    """
    single = replace(config, heads=())
    names = config.heads or ("",)
    models = {name: cast(SymNet, build_model(single, seed=seed)) for name in names}
    first = models[names[0]]
    for model in models.values():
        model.embedding, model.layers = first.embedding, first.layers
    return Heads(models)


def join_heads(heads: Heads[SymNet]) -> dict[str, Tensor]:
    """State of networks that share a body, the body once; inverse of `cut_head`."""
    joined: dict[str, Tensor] = {}
    for name in heads.names:
        for key, tensor in heads[name].state_dict().items():
            joined[f"heads.{name}.{key}" if key in OWN else key] = tensor
    return joined


def cut_head(tensors: Mapping[str, Tensor], head: str, heads: Sequence[str]) -> dict[str, Tensor]:
    """State of the network of one head, out of what `join_heads` made of all ``heads``."""
    prefix = {f"heads.{name}.{key}": (name, key) for name in heads for key in OWN}
    cut: dict[str, Tensor] = {}
    for key, tensor in tensors.items():
        name, own = prefix.get(key, (head, key))
        if name == head:
            cut[own] = tensor
    return cut
