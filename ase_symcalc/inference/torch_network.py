"""A model evaluated by torch and its tape: any device, any architecture."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64

from ase_symcalc.graph import Environments
from ase_symcalc.graph.environments import identity
from ase_symcalc.inference.surroundings import Surroundings
from ase_symcalc.models import AbstractEnergyModel
from ase_symcalc.response.derivatives import edge_gradient


class TorchNetwork:
    """Call a model with `Surroundings`, as a network of its own kernels is called.

    Parameters
    ----------
    model : AbstractEnergyModel
    dtype : torch.dtype
    device : torch.device
    """

    def __init__(
        self, model: AbstractEnergyModel, dtype: torch.dtype, device: torch.device
    ) -> None:
        self._model, self._dtype, self._device = model, dtype, device

    def __call__(
        self,
        seen: Surroundings,
        weights: Float64[np.ndarray, "n_centres"] | None = None,
        *,
        derivatives: bool = True,
    ) -> tuple[Float64[np.ndarray, "n_centres"], Float64[np.ndarray, "n_edges 3"] | None]:
        """Energies E_i of the centres, eV, and the gradient of Σ_i w_i E_i by edge vectors."""
        with torch.inference_mode(False), torch.device("cpu"):
            return self._evaluate(seen, weights, derivatives)

    def _evaluate(
        self, seen: Surroundings, weights: np.ndarray | None, derivatives: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        vectors = torch.tensor(seen.edge_vectors, dtype=self._dtype, device=self._device)
        environments = Environments(
            edge_vectors=vectors.requires_grad_(derivatives),
            centre=torch.tensor(seen.centre, device=self._device),
            neighbour=torch.tensor(seen.neighbour, device=self._device),
            atomic_numbers=torch.tensor(seen.atomic_numbers, device=self._device),
            n_centres=seen.n_centres,
            expand=seen.images or identity,
        )
        with torch.set_grad_enabled(derivatives):
            energies = self._model(environments)
            values = energies.detach().cpu().numpy()
            if not derivatives:
                return values, None
            w = torch.ones_like(energies) if weights is None else torch.tensor(weights).to(energies)
            gradient = edge_gradient((w * energies).sum(), environments, False)
        return values, gradient.cpu().double().numpy()
