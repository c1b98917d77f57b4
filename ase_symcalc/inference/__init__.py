"""Trained networks, evaluated: by kernels of our own on a CPU, by torch elsewhere."""

from ase_symcalc.inference.network import Network as Network
from ase_symcalc.inference.network import network_of as network_of
from ase_symcalc.inference.surroundings import RowExchange as RowExchange
from ase_symcalc.inference.surroundings import Surroundings as Surroundings
