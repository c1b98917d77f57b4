"""A model evaluated by torch and its tape: any device, any architecture."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from ase_symcalc.graph import Environments
from ase_symcalc.graph.environments import identity
from ase_symcalc.inference.surroundings import RowExchange, Rows, Surroundings
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
        vectors.requires_grad_(derivatives)
        with torch.set_grad_enabled(derivatives):
            exchanged = None
            if seen.exchange is not None:
                exchanged = _Exchanged(seen.exchange, len(seen.atomic_numbers), vectors)
            environments = Environments(
                edge_vectors=vectors,
                centre=torch.tensor(seen.centre, device=self._device),
                neighbour=torch.tensor(seen.neighbour, device=self._device),
                atomic_numbers=torch.tensor(seen.atomic_numbers, device=self._device),
                n_centres=seen.n_centres,
                expand=exchanged or seen.images or identity,
            )
            energies = self._model(environments)
            values = energies.detach().cpu().numpy()
            if not derivatives:
                return values, None
            w = torch.ones_like(energies) if weights is None else torch.tensor(weights).to(energies)
            energy = (w * energies).sum()
            if exchanged:
                energy = energy + exchanged.zero
            gradient = edge_gradient(energy, environments, False)
        return values, gradient.cpu().double().numpy()


class _Exchanged:
    """An expansion by rows of other processes.

    A number that is zero passes from one exchange to the next and is added to the energy, so
    that the way back meets all of them, in order, also where no edge links them.
    """

    def __init__(self, exchange: RowExchange, n_rows: int, vectors: Tensor) -> None:
        self._exchange, self._n_rows = exchange, n_rows
        self.zero = vectors[:0].sum()

    def __call__(self, features: Tensor, irreps: str) -> Tensor:
        given = (features, self.zero, self._exchange, self._n_rows)
        rows, self.zero = _Exchange.apply(*given)
        return rows


class _Exchange(torch.autograd.Function):
    """Rows of other processes behind those of the centres; gradients go back to the owners."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, zero: Tensor, exchange: RowExchange, n_rows: int
    ) -> tuple[Tensor, Tensor]:
        ctx.exchange, ctx.n_centres = exchange, len(features)
        rows = features.new_zeros(n_rows, features.shape[1])
        rows[: len(features)] = features
        exchange.fill(_as_rows(rows))
        return rows, zero.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor, one: Tensor) -> tuple[Tensor, Tensor, None, None]:
        total = gradient.clone(memory_format=torch.contiguous_format)
        ctx.exchange.fold(_as_rows(total))
        return total[: ctx.n_centres], one, None, None


def _as_rows(tensor: Tensor) -> Rows:
    return tensor.numpy() if tensor.device.type == "cpu" else tensor
