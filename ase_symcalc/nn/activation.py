"""Nonlinearities that keep features equivariant."""

import torch
from e3nn.o3 import Irreps
from torch import Tensor

from ase_symcalc.nn.layout import blocks

SILU_GAIN = 1.6765324703310907
"""1 / sqrt(E[silu(z)²]) for z of unit variance, so that depth does not change the scale."""


class Gate(torch.nn.Module):
    """Scalars through silu; every other channel times the silu of a scalar of its own.

    Weiler et al., NeurIPS 2018 (arXiv:1807.02547), section 4.2. Input: the scalars, the gates
    (further scalars), then the gated blocks, channel-last.

    Attributes
    ----------
    irreps_in, irreps_out : Irreps
    """

    def __init__(self, irreps_out: Irreps) -> None:
        super().__init__()
        scalars = Irreps([(mul, ir) for mul, ir in irreps_out if ir.l == 0])
        self.gated = Irreps([(mul, ir) for mul, ir in irreps_out if ir.l > 0])
        if any(ir.p != 1 for _, ir in scalars):
            raise ValueError(f"gates need scalars of even parity; got {irreps_out}")
        self.n_scalars = scalars.num_irreps
        self.irreps_out = (scalars + self.gated).simplify()
        n_all = self.n_scalars + self.gated.num_irreps
        self.irreps_in = (Irreps(f"{n_all}x0e") + self.gated).simplify()

    def forward(self, features: Tensor) -> Tensor:
        """Apply the gates."""
        scalars = features[:, : self.n_scalars]
        n_all = self.n_scalars + self.gated.num_irreps
        gates = torch.nn.functional.silu(features[:, self.n_scalars : n_all]) * SILU_GAIN
        out = [torch.nn.functional.silu(scalars) * SILU_GAIN]
        used = 0
        for block in blocks(self.gated):
            values = block.of(features[:, n_all:])
            gate = gates[:, used : used + block.mul].unsqueeze(1)
            out.append((values * gate).flatten(1))
            used += block.mul
        return torch.cat(out, dim=1)
