"""How the frequency of each phonon follows the volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import units
from jaxtyping import Float64, Int64

from ase_symcalc.apps.short_repr import short_repr
from ase_symcalc.errors import InputError

SLOWEST = 0.01
"""THz; the parameter of a mode at rest is nothing by nothing."""

_EV_PER_THZ = units._hplanck * 1e12 / units._e


@dataclass(frozen=True, slots=True)
class GruneisenModes:
    """Mode Grüneisen parameters on a mesh of q-points, γ = -(V/ν) ∂ν/∂V."""

    __repr__ = short_repr

    q: Float64[np.ndarray, "n_q 3"]
    """in reciprocal vectors of the primitive cell"""
    weights: Int64[np.ndarray, "n_q"]
    """How many q-points of the mesh symmetry makes of each"""
    frequencies: Float64[np.ndarray, "n_q n_modes"]
    """THz, at the middle volume"""
    parameters: Float64[np.ndarray, "n_q n_modes"]
    """NaN for acoustic modes at Γ and imaginary ones"""

    def mean(self, temperature: float) -> float:
        """Mean over the modes, each counted by its heat capacity (eV/K) at a temperature (K).

        Raises
        ------
        InputError
            If the temperature is not above 0.
        """
        if not 0 < temperature < np.inf:
            raise InputError(f"expected a temperature above 0 K, got {temperature}")
        known = np.isfinite(self.parameters)
        x = _EV_PER_THZ * self.frequencies[known] / (2 * units.kB * temperature)
        capacity = (x / np.sinh(np.minimum(x, 300))) ** 2
        weights = np.broadcast_to(self.weights[:, None], known.shape)[known] * capacity
        return float(weights @ self.parameters[known] / weights.sum())


def gruneisen_modes(
    smaller: Any, middle: Any, larger: Any, mesh: Int64[np.ndarray, "3"]
) -> GruneisenModes:
    """Compare the dynamical matrices of one crystal at three volumes.

    Parameters
    ----------
    smaller, middle, larger : phonopy.Phonopy
        With force constants.
    mesh : (3,) array
        Points along each reciprocal vector.
    """
    from phonopy import PhonopyGruneisen

    phonopy: Any = PhonopyGruneisen(middle, larger, smaller)
    with np.errstate(divide="ignore", invalid="ignore"):  # at Γ
        phonopy.set_mesh(mesh, is_gamma_center=True)
    q, weights, frequencies, _, parameters = phonopy.get_mesh()
    return GruneisenModes(
        q=q,
        weights=weights,
        frequencies=frequencies,
        parameters=np.where(frequencies > SLOWEST, parameters, np.nan),
    )
