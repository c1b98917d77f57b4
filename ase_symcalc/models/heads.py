"""Levels of theory on one body: networks that share every weight but those of the readout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Generic, TypeVar, cast

import torch
from torch import Tensor

from ase_symcalc.models.base import AbstractEnergyModel
from ase_symcalc.models.build import build_model
from ase_symcalc.models.config import ModelConfig, NetworkConfig
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


def build_heads(config: NetworkConfig, *, seed: int = 0) -> Heads[AbstractEnergyModel]:
    """Networks with random weights for each of ``config.heads``, or one if there are none.

    All start from the same readout.
    """
    if not isinstance(config, ModelConfig) or not config.heads:
        return Heads({"": build_model(config, seed=seed)})
    single = replace(config, heads=())
    models = {name: cast(SymNet, build_model(single, seed=seed)) for name in config.heads}
    first = models[config.heads[0]]
    for model in models.values():
        model.embedding, model.layers = first.embedding, first.layers
    return Heads(cast(dict[str, AbstractEnergyModel], models))


def join_heads(heads: Heads[AbstractEnergyModel]) -> dict[str, Tensor]:
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
