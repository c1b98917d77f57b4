"""Repulsion of pairs that are close, beside the network."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from ase_symcalc.inference.plan import Number, Plan
from ase_symcalc.nn.kernels.screened import repulsion_kernel


class PairTerm:
    """Screened Coulomb repulsion of two species, as `repulsion_kernel` has it.

    Parameters
    ----------
    reach : (n_species, n_species) array, Å
        Where it ends.
    inverse_length : (n_species, n_species) array, 1/Å
        Of the screening.
    strength : (n_species, n_species) array, eV Å
        Z_i Z_j e²/(4πε0).
    amplitudes, exponents : tuple of float
        Of the screening function.
    power : int
        Of the envelope.
    """

    def __init__(
        self,
        reach: Float64[np.ndarray, "n n"],
        inverse_length: Float64[np.ndarray, "n n"],
        strength: Float64[np.ndarray, "n n"],
        amplitudes: tuple[float, ...],
        exponents: tuple[float, ...],
        power: int,
    ) -> None:
        self._table = np.stack([reach, inverse_length, strength / 2], axis=-1)
        self._kernel = repulsion_kernel(len(reach), amplitudes, exponents, power)

    def add(self, plan: Plan, own: Number, others: Number, lengths: Number, dr: Number) -> None:
        """Add to the centres' energies, and to the slope of their weighted sum by lengths.

        Parameters
        ----------
        plan : Plan
            Gets the call.
        own, others, lengths, dr : Number
            Addresses, for each edge: species of its centre and neighbour, length, slope.
        """
        reals = (lengths, plan.keep(self._table), plan.weights, plan.energies, dr)
        plan.call(self._kernel, 0, plan.n_edges, plan.centre, own, others, *reals)
