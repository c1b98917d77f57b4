"""What every network promises."""

import abc
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ase_symcalc.graph import Environments
from ase_symcalc.models.config import NetworkConfig


class AbstractEnergyModel(torch.nn.Module, abc.ABC):
    """Energy of every evaluated atom. Final subclasses only; no gradient is taken inside.

    Attributes
    ----------
    config : NetworkConfig
        What `models.build_model` makes the same network of.
    elements : tuple of str
        Chemical symbols the model knows, by atomic number.
    cutoff : float, Å
        Longest edge it wants in its graph.
    num_layers : int
        Message-passing steps; ``cutoff * num_layers`` is how far an atom feels.
    group : {"O3", "SO3"}
        Whether mirror images have the same energy by construction.
    reference_energies : (n_elements,) or (n_parts, n_elements) tensor, eV
        Energy of each element before anything is learnt; the sum if there are several parts.
    scale : tensor, eV
        Unit of the network's energies, one for all elements or one for each.
    """

    config: NetworkConfig
    elements: tuple[str, ...]
    cutoff: float
    num_layers: int
    group: Literal["O3", "SO3"]
    reference_energies: Tensor
    scale: Tensor

    @abc.abstractmethod
    def forward(self, environments: Environments) -> Float[Tensor, "n_centres"]:
        """Energies of the centres, eV, in float64 whatever the dtype of the edge vectors."""

    @abc.abstractmethod
    def node_features(self, environments: Environments) -> Float[Tensor, "n_centres dim"]:
        """Features after the last layer, laid out ``[m, channel]`` for each of ``irreps``."""

    @property
    @abc.abstractmethod
    def irreps(self) -> str:
        """Irreps of `node_features`, scalars first."""

    def set_baseline(self, reference_energies: Tensor, scale: float | None = None) -> None:
        """Set each element's zero of energy, and the unit of the network's energies.

        Parameters
        ----------
        reference_energies : (n_elements,) tensor, eV
        scale : float, eV, optional
            Left as it is if not given.
        """
        parts = self.reference_energies.view(-1, len(self.elements))
        parts.zero_()
        parts[0] = reference_energies
        if scale is not None:
            self.scale.fill_(scale)

    def _apply(self, fn: Any, recurse: bool = True) -> "AbstractEnergyModel":
        """Leave reference energies in float64: a change of dtype would round thousands of eV."""
        exact = self._buffers.get("reference_energies")
        super()._apply(fn, recurse)
        moved = self._buffers.get("reference_energies")
        if exact is not None and moved is not None:
            self._buffers["reference_energies"] = exact.to(moved.device)
        return self

    @property
    def interaction_range(self) -> float:
        """Distance beyond which nothing changes an atom's energy, Å."""
        return self.cutoff * self.num_layers
