"""Equations of state, and their parameters from energies at several volumes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.optimize import curve_fit

from ase_symcalc.errors import InputError, NumericalError
from ase_symcalc.units import EV_PER_CUBIC_ANGSTROM_IN_GPA

Curve = Callable[[np.ndarray, float, float, float, float], np.ndarray]


def birch_murnaghan(
    volume: Float64[np.ndarray, "n"], v0: float, e0: float, b0: float, b1: float
) -> Float64[np.ndarray, "n"]:
    """Energy of third order in the Eulerian strain.

    With x = (V0/V)^(2/3),

        E = E0 + 9/16 V0 B0 (x - 1)² [ B0' (x - 1) + 6 - 4x ].

    The integral of the pressure in F. Birch, Phys. Rev. 71, 809 (1947).

    Parameters
    ----------
    volume : (n,) array, Å³
    v0, e0, b0, b1 : float
        Å³, eV, eV/Å³, none.
    """
    x = (v0 / volume) ** (2 / 3)
    return e0 + 9 / 16 * v0 * b0 * (x - 1) ** 2 * (b1 * (x - 1) + 6 - 4 * x)


def vinet(
    volume: Float64[np.ndarray, "n"], v0: float, e0: float, b0: float, b1: float
) -> Float64[np.ndarray, "n"]:
    """Energy from the universal binding curve.

    With x = (V/V0)^(1/3) and s = 3/2 (B0' - 1),

        E = E0 + 9 V0 B0 / s² { 1 - [1 + s (x - 1)] exp[-s (x - 1)] }.

    The integral of the pressure in P. Vinet, J. Ferrante, J. R. Smith and J. H. Rose, J. Phys.
    C 19, L467 (1986).

    Parameters
    ----------
    volume : (n,) array, Å³
    v0, e0, b0, b1 : float
        Å³, eV, eV/Å³, none.
    """
    s = 1.5 * (b1 - 1)
    y = (volume / v0) ** (1 / 3) - 1
    return e0 + 9 * v0 * b0 / s**2 * (1 - (1 + s * y) * np.exp(-s * y))


CURVES: dict[str, Curve] = {"Birch-Murnaghan": birch_murnaghan, "Vinet": vinet}


@dataclass(frozen=True, slots=True)
class EosFit:
    """One equation of state through the energies; its errors are standard errors of the fit."""

    name: str
    """Key of `CURVES`"""
    volume: float
    """V0, Å³"""
    energy: float
    """E0, eV"""
    bulk_modulus: float
    """B0, GPa"""
    derivative: float
    """B0', the pressure derivative of B at V0"""
    volume_error: float
    """Å³"""
    energy_error: float
    """eV"""
    bulk_modulus_error: float
    """GPa"""
    derivative_error: float
    residual: float
    """meV per atom, root mean square of the energies about the curve"""

    def energies(self, volumes: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "n"]:
        """Energies (eV) on the curve."""
        b0 = self.bulk_modulus / EV_PER_CUBIC_ANGSTROM_IN_GPA
        return CURVES[self.name](volumes, self.volume, self.energy, b0, self.derivative)


def fit_eos(
    volumes: Float64[np.ndarray, "n"],
    energies: Float64[np.ndarray, "n"],
    name: str,
    *,
    n_atoms: int = 1,
) -> EosFit:
    """Least squares of one equation of state.

    The standard errors are the roots of the diagonal of the covariance (JᵀJ)⁻¹ Σr²/(n - 4):
    they say how far the points are from the curve, not how far the curve is from the truth.

    Parameters
    ----------
    volumes : (n,) array, Å³
        At least 5, on both sides of the minimum.
    energies : (n,) array, eV
    name : str
        Key of `CURVES`.
    n_atoms : int
        Atoms that volumes and energies are for.

    Raises
    ------
    InputError
        If there are too few points, or no such curve.
    NumericalError
        If the energies have no minimum that the curve can describe.
    """
    if name not in CURVES:
        raise InputError(f"expected a curve among {', '.join(CURVES)}; got {name!r}")
    if len(volumes) < 5:
        raise InputError(f"expected at least 5 volumes for 4 parameters, got {len(volumes)}")
    minimum = parabola(volumes, energies)
    if minimum is None:
        raise NumericalError("the energies have no minimum: they do not rise on both sides")
    v0, b0 = minimum
    scale = v0 * b0  # eV; volumes in V0 and energies in this, so that all parameters are near 1
    reduced = (energies - energies.min()) / scale
    start = (1.0, 0.0, 1.0, 4.0)
    try:
        with np.errstate(all="ignore"):  # a trial may be far off
            found, covariance = curve_fit(
                CURVES[name], volumes / v0, reduced, p0=start, xtol=1e-12, ftol=1e-12
            )
    except RuntimeError as error:
        raise NumericalError(f"no {name} curve fits the energies ({error})") from error
    units = np.array([v0, scale, b0 * EV_PER_CUBIC_ANGSTROM_IN_GPA, 1.0])
    values = [float(value) for value in found * units]
    errors = [float(error) for error in np.sqrt(np.diag(covariance)) * units]
    rest = (CURVES[name](volumes / v0, *found) - reduced) * scale
    return EosFit(
        name=name,
        volume=values[0],
        energy=values[1] + float(energies.min()),
        bulk_modulus=values[2],
        derivative=values[3],
        volume_error=errors[0],
        energy_error=errors[1],
        bulk_modulus_error=errors[2],
        derivative_error=errors[3],
        residual=float(1e3 * np.sqrt(np.mean(rest**2)) / n_atoms),
    )


def parabola(
    volumes: Float64[np.ndarray, "n"], energies: Float64[np.ndarray, "n"]
) -> tuple[float, float] | None:
    """Volume (Å³) and bulk modulus (eV/Å³) at the minimum of a parabola in V^(-2/3).

    Nearer to an equation of state than one in V. None where it has no minimum.
    """
    mean = float(volumes.mean())
    x = (mean / volumes) ** (2 / 3)
    curvature, slope, _ = np.polyfit(x - 1, energies - energies.mean(), 2)
    lowest = 1 - slope / (2 * curvature) if curvature > 0 else 0.0
    if lowest <= 0:
        return None
    v0 = mean * lowest**-1.5
    return v0, 8 / 9 * curvature * lowest**2 / v0
