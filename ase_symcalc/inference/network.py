"""The fastest way to evaluate a model where it is."""

from __future__ import annotations

import itertools
import operator
import weakref
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float64

from ase_symcalc.inference.build import compile_network
from ase_symcalc.inference.surroundings import Surroundings
from ase_symcalc.inference.torch_network import TorchNetwork
from ase_symcalc.models import AbstractEnergyModel


@runtime_checkable
class Network(Protocol):
    """Energies and their gradient by edge vectors."""

    def __call__(
        self,
        seen: Surroundings,
        weights: Float64[np.ndarray, "n_centres"] | None = None,
        *,
        derivatives: bool = True,
    ) -> tuple[Float64[np.ndarray, "n_centres"], Float64[np.ndarray, "n_edges 3"] | None]:
        """Energies E_i of the centres, eV, and the gradient of Σ_i w_i E_i by edge vectors.

        Parameters
        ----------
        seen : Surroundings
        weights : (n_centres,) array, optional
            1 for each if left out.
        derivatives : bool
            Without it there is no gradient.
        """


_in_training, _version = operator.attrgetter("requires_grad"), operator.attrgetter("_version")


class _Made:
    """A compiled network, if the model has one, and the state of the weights it was made of."""

    def __init__(self, model: AbstractEnergyModel, dtype: torch.dtype) -> None:
        self._dtype = dtype
        self._tensors = list(itertools.chain(model.parameters(), model.buffers()))
        # once for all: whether a tensor was made in inference mode does not change
        self._counting = not any(tensor.is_inference() for tensor in self._tensors)
        self._version = self._count()
        self.network = None if self._version is None else compile_network(model, dtype)

    def holds(self, dtype: torch.dtype) -> bool:
        known = self._dtype == dtype and self._version is not None
        return known and self._version == self._count()

    def _count(self) -> int | None:
        """Count how often weights were written to; None while that cannot be known.

        Fused optimisers write uncounted, and tensors made in inference mode count nothing.
        """
        if not self._counting or any(map(_in_training, self._tensors)):
            return None
        return sum(map(_version, self._tensors))


_made: weakref.WeakKeyDictionary[AbstractEnergyModel, _Made] = weakref.WeakKeyDictionary()


def network_of(model: AbstractEnergyModel, dtype: torch.dtype, device: torch.device) -> Network:
    """Return what evaluates a model; compiled on first use, and again when a weight has changed.

    A model in training is evaluated by torch. Weights must be changed in place: neither other
    tensors in their place nor what is written through ``.data`` is seen.
    """
    if device.type == "cpu":
        made = _made.get(model)
        if made is None or not made.holds(dtype):
            with torch.inference_mode(False), torch.device("cpu"):
                made = _made[model] = _Made(model, dtype)
        if made.network is not None:
            return made.network
    return TorchNetwork(model, dtype, device)
