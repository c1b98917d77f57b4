"""Repulsion of pairs that are close, beside the network."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from ase_symcalc.inference.edges import Edges
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
        self._longest = reach.max()
        self._kernel = repulsion_kernel(len(reach), amplitudes, exponents, power)

    def add(
        self,
        energies: Float64[np.ndarray, "n_centres"],
        edges: Edges,
        species: Int64[np.ndarray, "n_centres"],
        neighbours: Int64[np.ndarray, "n_edges"],
        weights: Float64[np.ndarray, "n_centres"],
    ) -> Float64[np.ndarray, "n_edges"]:
        """Add to the centres' energies; return the slope of their weighted sum by lengths.

        Parameters
        ----------
        species, neighbours
            Species of the centres, and of the neighbour of each edge.
        """
        slope = np.zeros(edges.n)
        if edges.n and edges.lengths.min() < self._longest:
            own = species.take(edges.centre)
            indices = (edges.centre, own, neighbours)
            reals = (edges.lengths, self._table, weights, energies, slope)
            self._kernel(0, edges.n, *(array.ctypes.data for array in (*indices, *reals)))
        return slope
