"""How strongly an edge counts, as a function of its length."""

import itertools
import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ase_symcalc.nn.activation import ACTIVATIONS


def polynomial_cutoff(
    lengths: Float[Tensor, "*n"], cutoff: float | Float[Tensor, "*n"], p: int
) -> Float[Tensor, "*n"]:
    """Envelope that falls from 1 to 0 at the cutoff, as (1 - r/c)³: two derivatives join.

    Gasteiger, Groß and Günnemann, ICLR 2020 (arXiv:2003.03123), equation 8.
    """
    u = lengths / cutoff
    a, b, c = (p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2
    envelope = 1 - u**p * (a - u * (b - u * c))
    return torch.where(u < 1, envelope, torch.zeros_like(u))


def xplor_cutoff(lengths: Float[Tensor, "*n"], cutoff: float, onset: float) -> Float[Tensor, "*n"]:
    """Envelope that is 1 up to ``onset`` and falls to 0 at the cutoff, differentiable once.

    The switching function of X-PLOR: Brünger, X-PLOR version 3.1 (Yale University Press, 1992).
    """
    r, on, off = lengths**2, onset**2, cutoff**2
    envelope = (off - r) ** 2 * (off + 2 * r - 3 * on) / (off - on) ** 3
    return torch.where(lengths < onset, torch.ones_like(r), envelope)


def bessel_basis(
    lengths: Float[Tensor, "n"], cutoff: float, num_bessel: int, p: int = 6
) -> Float[Tensor, "n num_bessel"]:
    """Bessel functions sqrt(2/c) sin(nπr/c)/r times the polynomial envelope, Å^-3/2.

    Same paper, equation 7; finite at r = 0.
    """
    n = torch.arange(1, num_bessel + 1, device=lengths.device, dtype=lengths.dtype)
    r = lengths.unsqueeze(1)
    bessel = math.sqrt(2 / cutoff) * (n * (math.pi / cutoff)) * torch.sinc(n * r / cutoff)
    return bessel * polynomial_cutoff(r, cutoff, p)


class RadialGrid(torch.nn.Module):
    """Uniform cubic B-splines on [0, cutoff]: radial functions as tables.

    Radial functions of the model *are* these splines: their coefficients come from a network
    evaluated at the knots, not at every edge, in training as in use. They are twice
    continuously differentiable and vanish with two derivatives at the cutoff, since the three
    splines that reach over it are left out.

    Attributes
    ----------
    inputs : (n_knots, num_bessel) tensor
        Bessel basis at the knots, the input of the radial networks.
    """

    inputs: Tensor
    n_taps = 4

    def __init__(self, cutoff: float, num_bessel: int, n_intervals: int) -> None:
        super().__init__()
        self.spacing, self.n_intervals = cutoff / n_intervals, n_intervals
        knots = torch.arange(-1, n_intervals + 2, dtype=torch.float64) * self.spacing
        inputs = bessel_basis(knots, cutoff, num_bessel)
        inputs[-3:] = 0  # a network without biases turns zeros into zeros
        self.register_buffer("inputs", inputs, persistent=False)

    def forward(
        self, lengths: Float[Tensor, "n_edges"]
    ) -> tuple[Int64[Tensor, "n_edges"], Float[Tensor, "n_edges 4"]]:
        """First knot of each edge, and the four splines there (they sum to 1).

        de Boor, A Practical Guide to Splines, chapter IX, for equally spaced knots.
        """
        scaled = lengths / self.spacing
        interval = scaled.detach().floor().clamp(0, self.n_intervals - 1)
        return interval.long(), cubic_splines(scaled - interval)


def cubic_splines(u: Float[Tensor, "n"]) -> Float[Tensor, "n 4"]:
    """Values of the four cubic B-splines that are not zero a part ``u`` into an interval."""
    v = 1 - u
    basis = (v**3, 4 - 3 * u * u * (1 + v), 4 - 3 * v * v * (1 + u), u**3)
    return torch.stack(basis, dim=1) / 6


class RadialNetwork(torch.nn.Module):
    """Perceptron without biases: with silu it is zero where its input is, at the cutoff.

    Parameters
    ----------
    widths : tuple of int
        Numbers that come in, of each hidden layer, and that go out.
    activation : str
        Name in `ACTIVATIONS`.
    """

    def __init__(self, widths: tuple[int, ...], activation: str = "silu") -> None:
        super().__init__()
        self.activation = ACTIVATIONS[activation]
        self.weights = torch.nn.ParameterList(
            torch.randn(n, m) for n, m in itertools.pairwise(widths)
        )

    def forward(self, x: Float[Tensor, "n n_in"]) -> Float[Tensor, "n n_out"]:
        """Map inputs of unit variance to outputs of unit variance."""
        function, gain = self.activation
        for weight in self.weights[:-1]:
            x = function(x @ (weight / weight.shape[0] ** 0.5)) * gain
        last = self.weights[-1]
        return x @ (last / last.shape[0] ** 0.5)
