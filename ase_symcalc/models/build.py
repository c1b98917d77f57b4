"""From a configuration to a network."""

from collections.abc import Callable, Mapping
from typing import Any

import torch

from ase_symcalc.errors import InputError
from ase_symcalc.models.base import AbstractEnergyModel
from ase_symcalc.models.config import ModelConfig, NetworkConfig
from ase_symcalc.models.mace import MACE
from ase_symcalc.models.mace_config import MACEConfig
from ase_symcalc.models.nequip import NequIP
from ase_symcalc.models.nequip_config import NequIPConfig
from ase_symcalc.models.symnet import SymNet

FAMILIES: dict[str, tuple[type[NetworkConfig], Callable[..., AbstractEnergyModel]]] = {
    "symnet": (ModelConfig, SymNet),
    "nequip": (NequIPConfig, NequIP),
    "mace": (MACEConfig, MACE),
}
"""By the name that ``config.json`` gives: the class of its settings and that of the network."""


def config_from_dict(data: Mapping[str, Any]) -> NetworkConfig:
    """Read the settings of a network of any family.

    Raises
    ------
    InputError
        If there is no such family, or its settings are incomplete or have no meaning.
    """
    family = data.get("family") if isinstance(data, Mapping) else None
    if family not in FAMILIES:
        raise InputError(f"expected a family among {', '.join(FAMILIES)}; got {family!r}")
    return FAMILIES[family][0].from_dict(data)


def build_model(config: NetworkConfig, *, seed: int = 0) -> AbstractEnergyModel:
    """Network with random weights drawn from ``seed``; torch's own generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FAMILIES[config.family][1](config)
