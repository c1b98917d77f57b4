"""What is asked of a run, and what comes out of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ase import Atoms
from jaxtyping import Float64

from ase_symcalc.apps.short_repr import short_repr


@dataclass(frozen=True, slots=True)
class MDStep:
    """What is logged of a step."""

    step: int
    time: float
    """fs"""
    temperature: float
    """K"""
    potential: float
    """eV"""
    kinetic: float
    """eV"""
    conserved: float | None
    """eV, the quantity that the ensemble conserves; None for Langevin"""
    pressure: float | None
    """GPa, the motion of the atoms included; None without stress or unless periodic in 3D"""
    volume: float | None
    """Å³; None unless periodic in 3D"""
    uncertainty: float | None
    """eV/Å, the largest error of a force that is expected; None if not asked for"""
    atoms: Atoms
    """The moving structure itself, positions not wrapped into the cell: copy it to keep it."""


@dataclass(frozen=True, slots=True)
class MDResult:
    """A run, from its first step on even if it was resumed: one entry for each logged step."""

    __repr__ = short_repr

    atoms: Atoms
    """After the last step, with momenta and the caller's calculator."""
    ensemble: str
    timestep: float
    """fs"""
    steps: int
    stopped: bool
    """Whether ``on_step`` ended the run early."""
    resumed_from: int | None
    """The step a previous run had come to, if it was resumed."""
    degrees_of_freedom: int
    """That share the kinetic energy: half of kT each."""
    times: Float64[np.ndarray, "n_logged"]
    """fs"""
    temperatures: Float64[np.ndarray, "n_logged"]
    """K"""
    potential: Float64[np.ndarray, "n_logged"]
    """eV"""
    kinetic: Float64[np.ndarray, "n_logged"]
    """eV"""
    conserved: Float64[np.ndarray, "n_logged"] | None
    """eV"""
    pressures: Float64[np.ndarray, "n_logged"] | None
    """GPa"""
    volumes: Float64[np.ndarray, "n_logged"] | None
    """Å³"""
    uncertainties: Float64[np.ndarray, "n_logged"] | None
    """eV/Å, the largest error of a force that was expected"""

    @property
    def drift(self) -> float | None:
        """Slope of the conserved quantity, meV per atom and ps; None if there is none."""
        if self.conserved is None or len(self.times) < 2:
            return None
        slope = np.polyfit(self.times, self.conserved - self.conserved[0], 1)[0]
        return float(1e6 * slope / len(self.atoms))  # eV/fs in meV/ps


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to do: times in fs, the two ends of ramps in K and GPa."""

    ensemble: str
    timestep: float
    temperature: tuple[float, float]
    pressure: tuple[float, float]
    thermostat_time: float
    barostat_time: float
    every: int
    steps: int

    def targets(self, step: int) -> tuple[float, float]:
        """Temperature and pressure of a step."""
        done = step / max(1, self.steps)
        (cold, hot), (low, high) = self.temperature, self.pressure
        return cold + (hot - cold) * done, low + (high - low) * done

    def settings(self) -> dict[str, Any]:
        """Collect what must be the same when the run is resumed: with a ramp, its length too."""
        settings = asdict(self)
        settings |= {name: [*settings[name]] for name in ("temperature", "pressure")}  # as in JSON
        if self.targets(0) == self.targets(self.steps):
            del settings["steps"]
        return settings
