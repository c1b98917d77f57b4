"""Rows of ghosts, exchanged between the processes of torch's default group."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Int64
from torch import Tensor


class DistributedRows:
    """An exchange (`inference.surroundings.RowExchange`) by all-to-all messages.

    To be made by all processes at once.

    Parameters
    ----------
    device : torch.device
        Where NCCL sends from; gloo sends from the CPU.
    n_own : int
        Rows that this process owns; those of ghosts follow.
    owner : (n_ghosts,) array
        Rank that owns each ghost, ascending.
    place : (n_ghosts,) array
        Its row there.

    Attributes
    ----------
    n_sent : int
        Rows sent before each layer but the first.
    """

    def __init__(
        self,
        device: torch.device,
        n_own: int,
        owner: Int64[np.ndarray, "n_ghosts"],
        place: Int64[np.ndarray, "n_ghosts"],
    ) -> None:
        self._n_own = n_own
        self._station = torch.device("cpu") if dist.get_backend() == "gloo" else device
        size = dist.get_world_size()
        self._taken = np.bincount(owner, minlength=size).tolist()
        ones = [1] * size
        self._given = self._send(torch.tensor(self._taken), ones, ones).tolist()
        self._rows = self._send(torch.tensor(place), self._taken, self._given)
        self.n_sent = len(self._rows)

    def fill(self, rows: Any) -> None:
        """Write the rows of the ghosts."""
        rows = torch.as_tensor(rows)
        own = rows[self._places(rows)]
        rows[self._n_own :] = self._send(own, self._given, self._taken)

    def fold(self, gradient: Any) -> None:
        """Add what ghosts got, everywhere, to the rows of their owners."""
        gradient = torch.as_tensor(gradient)
        back = self._send(gradient[self._n_own :], self._taken, self._given)
        gradient.index_add_(0, self._places(gradient), back)

    def _places(self, rows: Tensor) -> Tensor:
        """Own rows to send, where the rows are."""
        if self._rows.device != rows.device:
            self._rows = self._rows.to(rows.device)
        return self._rows

    def _send(self, rows: Tensor, given: list[int], taken: list[int]) -> Tensor:
        sent = rows.to(self._station).contiguous()
        out = sent.new_empty(sum(taken), *sent.shape[1:])
        dist.all_to_all_single(out, sent, taken, given)
        return out.to(rows.device)
