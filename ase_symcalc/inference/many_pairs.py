"""Structures of so many elements that tables for each pair of them find no room."""

from __future__ import annotations

import copy

import numpy as np
import torch
from jaxtyping import Float64

from ase_symcalc.inference.mace import MACENetwork
from ase_symcalc.inference.surroundings import Surroundings
from ase_symcalc.inference.torch_network import TorchNetwork
from ase_symcalc.models.mace import MACE


class ManyPairsNetwork:
    """A compiled network, and torch for structures with too many kinds of pair.

    Parameters
    ----------
    network : MACENetwork
    model : MACE
        What it was made of, in float64.
    """

    def __init__(self, network: MACENetwork, model: MACE) -> None:
        self._network, self._model = network, model
        self._torch: TorchNetwork | None = None

    def __call__(
        self,
        seen: Surroundings,
        weights: Float64[np.ndarray, "n_centres"] | None = None,
        *,
        derivatives: bool = True,
    ) -> tuple[Float64[np.ndarray, "n_centres"], Float64[np.ndarray, "n_edges 3"] | None]:
        """As `Network`."""
        network = self._network
        if network.tables.has_room_for(network.species_of.take(seen.atomic_numbers)):
            return network(seen, weights, derivatives=derivatives)
        return self._by_torch()(seen, weights, derivatives=derivatives)

    def _by_torch(self) -> TorchNetwork:
        if self._torch is None:
            dtype = torch.float64 if np.dtype(self._network.dtype) == float else torch.float32
            with torch.inference_mode(False), torch.device("cpu"):
                model = copy.deepcopy(self._model).to(dtype)
            self._torch = TorchNetwork(model, dtype, torch.device("cpu"))
        return self._torch
