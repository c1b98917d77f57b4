"""The networks, and what each promises."""

from ase_symcalc.models.base import AbstractEnergyModel as AbstractEnergyModel
from ase_symcalc.models.build import build_model as build_model
from ase_symcalc.models.build import config_from_dict as config_from_dict
from ase_symcalc.models.config import ModelConfig as ModelConfig
from ase_symcalc.models.config import NetworkConfig as NetworkConfig
