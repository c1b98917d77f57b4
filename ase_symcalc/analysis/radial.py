"""Radial functions of a density made of Gaussians, in a basis of Gaussians."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from ase_symcalc.analysis.memory import check_memory
from ase_symcalc.errors import InputError

DECAYED = 1e-3
"""What r^l exp(-αr²) is at the distance that names the function."""

NARROWEST = 1.0  # Å, the shortest of these distances

LEAST_OVERLAP = 1e-12
"""Smallest eigenvalue of the overlap, relative to the largest, that leaves four digits."""


@dataclass(frozen=True)
class GaussianBasis:
    """Orthonormal Gaussian-type orbitals, and the overlap of each with a Gaussian atom.

    The basis is Σ_k β_nkl N_kl r^l exp(-α_kl r²), with α_kl such that r^l exp(-α_kl r²) has
    fallen to 10⁻³ at a distance between 1 Å and the cutoff, N_kl which makes its norm 1, and
    β the inverse square root of the overlaps (Löwdin). An atom at R is exp(-|r - R|²/2σ²), and
    counts less towards the cutoff c by

        w(R) = ((1 - R/c)² (1 + 2R/c))²,

    three derivatives of which vanish there. The integral over r is known in closed form:

        R_nl = w Σ_k β_nkl N_kl π^(3/2) (ηR)^l (α_kl + η)^(-l - 3/2) exp(-α_kl η R²/(α_kl + η))

    with η = 1/2σ², so that Σ_j R_nl(r_ij) Y_lm(r_ij) are the coefficients of the density.

    Himanen et al., Comput. Phys. Commun. 247, 106949 (2020), section 3.4, for the orbitals;
    Caro, Phys. Rev. B 100, 024112 (2019), for weights of this kind.

    Parameters
    ----------
    cutoff : float, Å
        Above 1.
    n_max : int
        Functions of each degree.
    lmax : int
        Highest degree.
    sigma : float, Å
        Width of an atom.

    Raises
    ------
    InputError
        If a number has no meaning, the functions are too alike to be told apart, or the
        coefficients of one atom need more than 4 GB.
    """

    cutoff: float = 5.0
    n_max: int = 6
    lmax: int = 4
    sigma: float = 0.5

    def __post_init__(self) -> None:
        if not NARROWEST < self.cutoff < math.inf:
            raise InputError(f"expected a cutoff above {NARROWEST:g} Å, got {self.cutoff} Å")
        if self.n_max < 1 or self.lmax < 0 or not 0 < self.sigma < math.inf:
            raise InputError(
                "expected at least one radial function, a degree of 0 or more and a width above "
                f"0 Å; got n_max={self.n_max}, lmax={self.lmax}, sigma={self.sigma} Å"
            )
        # before work that grows with lmax: what one neighbour of one element gives
        check_memory(8 * self.n_max * (self.lmax + 1) ** 2, f"lmax={self.lmax}")
        _ = self.coefficients

    def __call__(self, lengths: Float[Tensor, "n_edges"], l: int) -> Float[Tensor, "n_edges n_max"]:
        """Return R_nl(r) of edges, in units of the density times Å^3/2; l is the degree."""
        return self.weight(lengths)[:, None] * self.without_weight(lengths, l)

    def weight(self, lengths: Float[Tensor, "n_edges"]) -> Float[Tensor, "n_edges"]:
        """Return w(r) of edges."""
        x = lengths / self.cutoff
        return torch.where(x < 1, ((1 - x) ** 2 * (1 + 2 * x)) ** 2, torch.zeros_like(x))

    def without_weight(
        self, lengths: Float[Tensor, "n_edges"], l: int
    ) -> Float[Tensor, "n_edges n_max"]:
        """Return R_nl(r) / w(r) of edges."""
        exponents, scales, beta = (part[l] for part in self.coefficients)
        eta = 0.5 / self.sigma**2
        widths = scales / (exponents + eta)
        rates = exponents * eta / (exponents + eta)
        slopes, rates, beta = (
            torch.as_tensor(part, dtype=lengths.dtype, device=lengths.device)
            for part in (eta * widths, rates, (math.pi * widths[:, None]) ** 1.5 * beta)
        )
        # N (ηR)^l (α + η)^-l as one power: none of them overflows at high degrees
        powers = (lengths[:, None] * slopes) ** l
        return (powers * torch.exp(lengths.square()[:, None] * -rates)) @ beta

    @cached_property
    def coefficients(
        self,
    ) -> tuple[
        Float64[np.ndarray, "n_l n_max"],
        Float64[np.ndarray, "n_l n_max"],
        Float64[np.ndarray, "n_l n_max n_max"],
    ]:
        """Exponents α (1/Å²), norms as N^(1/(l + 3/2)), and β, of each degree."""
        distances = np.linspace(NARROWEST, self.cutoff, self.n_max)
        degrees = np.arange(self.lmax + 1)[:, None]
        exponents = (degrees * np.log(distances) - math.log(DECAYED)) / distances**2
        # N² ½Γ(l + 3/2) (2α)^(-l - 3/2) = 1
        halves = [
            math.exp((math.lgamma(l + 1.5) - math.log(2)) / (2 * l + 3)) for l in degrees[:, 0]
        ]
        scales = np.sqrt(2 * exponents) / np.array(halves)[:, None]
        beta = [_inverse_root(row, l) for l, row in enumerate(exponents)]
        return exponents, scales, np.array(beta)


def _inverse_root(exponents: np.ndarray, l: int) -> np.ndarray:
    """S^(-1/2) of the overlaps S = (2 (α α')^(1/2) / (α + α'))^(l + 3/2) of one degree."""
    roots = np.sqrt(exponents)
    overlap = (2 * roots[:, None] * roots / (exponents[:, None] + exponents)) ** (l + 1.5)
    values, vectors = np.linalg.eigh(overlap)
    if values[0] < LEAST_OVERLAP * values[-1]:
        raise InputError(
            f"{len(exponents)} radial functions of degree {l} are too alike to be made "
            "orthogonal; expected a smaller n_max or a longer cutoff"
        )
    return (vectors * values**-0.5) @ vectors.T
