"""Nonlinearities that keep features equivariant."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from e3nn.o3 import Irreps
from torch import Tensor

from ase_symcalc.nn.layout import blocks

SILU_GAIN = 1.6765324703310907
"""1 / sqrt(E[silu(z)²]) for z of unit variance, so that depth does not change the scale."""


def shifted_softplus(x: Tensor) -> Tensor:
    """ln((1 + e^x) / 2), which is 0 at 0."""
    return torch.nn.functional.softplus(x) - 0.6931471805599453


class Activation(NamedTuple):
    """A function, and 1 / sqrt(E[function(z)²]) for z of unit variance."""

    function: Callable[[Tensor], Tensor]
    gain: float


ACTIVATIONS = {
    "silu": Activation(torch.nn.functional.silu, SILU_GAIN),
    "tanh": Activation(torch.tanh, 1.59253741972283),
    "ssp": Activation(shifted_softplus, 1.8755962561350417),
    "abs": Activation(torch.abs, 1.0),
    "relu": Activation(torch.relu, 2**0.5),
    "elu": Activation(torch.nn.functional.elu, 1.2451983007007064),
    "sigmoid": Activation(torch.sigmoid, 1.8462285453386054),
}


class Gate(torch.nn.Module):
    """Scalars through a function; every other channel times a function of a scalar of its own.

    Weiler et al., NeurIPS 2018 (arXiv:1807.02547), section 4.2. Input: the even scalars, the
    gates (further even scalars), the odd scalars, then the gated blocks, channel-last.

    Parameters
    ----------
    irreps_out : Irreps
    even, odd, gates : str
        Names in `ACTIVATIONS`, for scalars of each parity and for gates. Mirror images stay
        mirror images if ``odd`` is an odd function.

    Attributes
    ----------
    irreps_in, irreps_out, gated : Irreps
        Before and after, and the part that is gated.
    sizes : (int, int, int)
        Even scalars, gates, odd scalars.
    odd_first : bool
        Whether odd scalars come before even ones afterwards.
    even, odd, gates : str
        Names of the activations.
    """

    def __init__(
        self, irreps_out: Irreps, even: str = "silu", odd: str = "tanh", gates: str = "silu"
    ) -> None:
        super().__init__()
        scalars = Irreps([(mul, ir) for mul, ir in irreps_out if ir.l == 0])
        self.gated = Irreps([(mul, ir) for mul, ir in irreps_out if ir.l > 0])
        n_even, n_odd = scalars.count("0e"), scalars.count("0o")
        if scalars and not n_even:
            raise ValueError(f"gates need scalars of even parity; got {irreps_out}")
        n_gates = self.gated.num_irreps
        self.irreps_out = (scalars + self.gated).simplify()
        inputs = Irreps(f"{n_even + n_gates}x0e+{n_odd}x0o").remove_zero_multiplicities()
        self.irreps_in = (inputs + self.gated).simplify()
        self.even, self.odd, self.gates = even, odd, gates
        self._even, self._odd, self._gate = (ACTIVATIONS[name] for name in (even, odd, gates))
        self.sizes = (n_even, n_gates, n_odd)
        self.odd_first = scalars.simplify()[:1] == Irreps(f"{n_odd}x0o")

    def forward(self, features: Tensor) -> Tensor:
        """Apply the gates."""
        n_even, n_gates, n_odd = self.sizes
        even, gates, odd, gated = features.split(
            (n_even, n_gates, n_odd, features.shape[1] - sum(self.sizes)), dim=1
        )
        out = [self._even.function(even) * self._even.gain]
        if n_odd:
            out.insert(0 if self.odd_first else 1, self._odd.function(odd) * self._odd.gain)
        gates = self._gate.function(gates) * self._gate.gain
        used = 0
        for block in blocks(self.gated):
            gate = gates[:, used : used + block.mul].unsqueeze(1)
            out.append((block.of(gated) * gate).flatten(1))
            used += block.mul
        return torch.cat(out, dim=1)
