"""ASE's integrators behind one face: targets that may change, and variables that can be saved."""

from __future__ import annotations

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT, NoseHooverChainNVT
from ase.md.verlet import VelocityVerlet

from ase_symcalc.units import EV_PER_CUBIC_ANGSTROM_IN_GPA

ENSEMBLES = {
    "nve": "energy and volume kept",
    "nvt": "Bussi's stochastic velocity rescaling",
    "nvt-langevin": "Langevin dynamics",
    "nvt-nose-hoover": "a Nosé-Hoover chain",
    "npt": "Martyna-Tobias-Klein, the cell keeps its shape",
    "npt-cell": "Martyna-Tobias-Klein, all of the cell free",
}

_VARIABLES: dict[str, tuple[str, ...]] = {
    "nve": (),
    "nvt": ("transferred_energy",),
    "nvt-langevin": (),
    "nvt-nose-hoover": ("_thermostat._eta", "_thermostat._p_eta"),
    "npt": (
        "_thermostat._eta",
        "_thermostat._p_eta",
        "_barostat._xi",
        "_barostat._p_xi",
        "_eps",
        "_p_eps",
        "_cell0",
        "_volume0",
    ),
    "npt-cell": (
        "_thermostat._eta",
        "_thermostat._p_eta",
        "_barostat._xi",
        "_barostat._p_xi",
        "_p_g",
    ),
}
"""What an integrator knows besides positions, momenta and cell."""

_WITH_TEMPERATURE = ("_thermostat._p_eta", "_barostat._p_xi", "_p_eps", "_p_g")
"""Momenta of the baths: their masses grow with the temperature, so in equilibrium they do too."""


class Integrator:
    """One of ASE's integrators, at a temperature and a pressure that may change.

    Parameters
    ----------
    atoms : Atoms
        Moved in place.
    ensemble : str
        A key of `ENSEMBLES`.
    timestep : float, fs
    temperature : float, K
        Of the start; above zero, except for "nve".
    pressure : float, GPa
    thermostat_time, barostat_time : float, fs
        How long the baths take to act.
    rng : numpy.random.Generator
        For the stochastic ensembles.

    Attributes
    ----------
    degrees_of_freedom : int
        Those that share the temperature. Rigid motion that the ensemble preserves, and that a
        run therefore starts without, is left out; ASE counts it among what the thermostat heats.

    Notes
    -----
    ASE's thermostats count three degrees of freedom for each atom. With the centre of mass at
    rest this makes the others too hot by N / (N - 1), so the number is corrected here.
    """

    def __init__(
        self,
        atoms: Atoms,
        *,
        ensemble: str,
        timestep: float,
        temperature: float,
        pressure: float,
        thermostat_time: float,
        barostat_time: float,
        rng: np.random.Generator,
    ) -> None:
        self.atoms = atoms
        self.ensemble = ensemble
        self.degrees_of_freedom = atoms.get_number_of_degrees_of_freedom()
        if preserves_rigid_motion(atoms, ensemble):
            self.degrees_of_freedom -= rigid_motions(atoms).shape[1]
        self._jumps = 0.0  # of the conserved quantity, whenever a target was changed
        heat: dict[str, Any] = {"temperature_K": temperature, "timestep": timestep * units.fs}
        damped = heat | {"tdamp": thermostat_time * units.fs}
        pressed = damped | {"pdamp": barostat_time * units.fs, "pressure_au": _in_ev(pressure)}
        self.dynamics: Any
        if ensemble == "nve":
            self.dynamics = VelocityVerlet(atoms, timestep * units.fs)
        elif ensemble == "nvt-langevin":
            friction = 1 / (thermostat_time * units.fs)
            self.dynamics = Langevin(atoms, friction=friction, fixcm=False, rng=rng, **heat)
        elif ensemble == "nvt":
            self.dynamics = Bussi(atoms, taut=thermostat_time * units.fs, rng=rng, **heat)
            self.dynamics.ndof = self.degrees_of_freedom
        elif ensemble == "nvt-nose-hoover":
            self.dynamics = NoseHooverChainNVT(atoms, **damped)
        else:
            kind = IsotropicMTKNPT if ensemble == "npt" else MTKNPT
            self.dynamics = kind(atoms, **pressed)
            self.dynamics._num_atoms_global = self.degrees_of_freedom / 3
        self._baths = [
            bath
            for name in ("_thermostat", "_barostat")
            if (bath := getattr(self.dynamics, name, None)) is not None
        ]
        if self._baths:
            self._baths[0]._num_atoms_global = self.degrees_of_freedom / 3
        self._at_start = (temperature, [_masses(bath) for bath in self._baths])
        self._set_temperature(temperature)
        self._set_pressure(pressure)

    def step(self) -> None:
        """Move on by one timestep."""
        self.dynamics.step()

    def aim(self, temperature: float, pressure: float) -> None:
        """Change the targets, K and GPa, without a jump of the conserved quantity."""
        if (temperature, pressure) == (self.temperature, self.pressure):
            return
        before = self._extra_energy()
        growth = temperature / self.temperature if self._baths else 1.0
        for name in _WITH_TEMPERATURE:
            if name in _VARIABLES[self.ensemble]:
                _set(self.dynamics, name, _get(self.dynamics, name) * growth)
        self._set_temperature(temperature)
        self._set_pressure(pressure)
        self._jumps += before - self._extra_energy()

    def conserved(self) -> float | None:
        """Energy (eV) that would not change if the timestep were small; None for Langevin."""
        if self.ensemble == "nvt-langevin":
            return None
        return float(self.atoms.get_total_energy() + self._extra_energy() + self._jumps)

    def state(self) -> dict[str, np.ndarray]:
        """All it needs to go on as if it had not stopped, besides the random generator's state."""
        names = _VARIABLES[self.ensemble]
        state = {name: np.array(_get(self.dynamics, name)) for name in names}
        return state | {"jumps": np.array(self._jumps)}

    def restore(self, state: Mapping[str, np.ndarray], temperature: float, pressure: float) -> None:
        """Go back to a state, and to the targets (K, GPa) it was reached with."""
        self._set_temperature(temperature)
        self._set_pressure(pressure)
        for name in _VARIABLES[self.ensemble]:
            value = state[name]
            _set(self.dynamics, name, value.copy() if value.ndim else float(value))
        self._jumps = float(state["jumps"])

    def _set_temperature(self, temperature: float) -> None:
        self.temperature = temperature
        dynamics = self.dynamics
        if self.ensemble == "nvt-langevin":
            dynamics.set_temperature(temperature_K=temperature)
        elif self.ensemble == "nvt":
            dynamics.temp = units.kB * temperature
            dynamics.target_kinetic_energy = 0.5 * dynamics.temp * self.degrees_of_freedom
        first, every = self._at_start
        for bath, masses in zip(self._baths, every, strict=True):
            bath._kT = units.kB * temperature
            for name, mass in masses.items():  # in proportion, so that the baths act as fast
                setattr(bath, name, mass * (temperature / first))

    def _set_pressure(self, pressure: float) -> None:
        self.pressure = pressure
        if self.ensemble.startswith("npt"):
            self.dynamics._pressure_au = _in_ev(pressure)

    def _extra_energy(self) -> float:
        """Energy of the baths, eV."""
        dynamics = self.dynamics
        energy = 0.0
        if self.ensemble == "nvt":
            energy = -dynamics.transferred_energy
        if self._baths:
            energy = dynamics._thermostat.get_thermostat_energy()
        if self.ensemble.startswith("npt"):
            energy += dynamics._barostat.get_barostat_energy()
            energy += dynamics._pressure_au * self.atoms.get_volume()
            momentum = dynamics._p_eps if self.ensemble == "npt" else dynamics._p_g
            energy += float(np.sum(np.square(momentum)) / (2 * dynamics._barostat.W))
        return float(energy)


def preserves_rigid_motion(atoms: Atoms, ensemble: str) -> bool:
    """Whether the whole keeps drifting, or a molecule turning, as it started."""
    return ensemble != "nvt-langevin" and not atoms.constraints


def rigid_motions(atoms: Atoms) -> np.ndarray:
    """Span translations, and rotations if nothing repeats: orthonormal columns, mass-weighted."""
    motions = [np.tile(axis, (len(atoms), 1)) for axis in np.eye(3)]
    if not atoms.pbc.any():
        arms = atoms.positions - atoms.get_center_of_mass()
        motions += [np.cross(axis, arms) for axis in np.eye(3)]
    weights = np.sqrt(atoms.get_masses())[:, None]
    columns = np.array([(weights * motion).ravel() for motion in motions]).T
    basis, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    return basis[:, sizes > 1e-6 * sizes[0]]  # a linear molecule turns about two axes only


def without_rigid_motion(atoms: Atoms, momenta: np.ndarray) -> np.ndarray:
    """Momenta whose whole neither drifts nor, where nothing repeats, turns."""
    weights = np.sqrt(atoms.get_masses())[:, None]
    weighted = (momenta / weights).ravel()
    rigid = rigid_motions(atoms)
    return weights * (weighted - rigid @ (rigid.T @ weighted)).reshape(-1, 3)


def draw_momenta(
    atoms: Atoms, *, ensemble: str, temperature: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw momenta from the Maxwell-Boltzmann distribution, constraints respected.

    Without the rigid motion that the ensemble preserves. For "nve" they are scaled to exactly
    the temperature (K): what is missing by chance would be missing for ever.
    """
    masses = atoms.get_masses()[:, None]
    drawn = atoms.copy()
    momenta = rng.standard_normal((len(atoms), 3)) * np.sqrt(masses * units.kB * temperature)
    drawn.set_momenta(momenta)  # constraints applied
    momenta = drawn.get_momenta()
    freedom = atoms.get_number_of_degrees_of_freedom()
    if preserves_rigid_motion(atoms, ensemble):
        momenta = without_rigid_motion(atoms, momenta)
        freedom -= rigid_motions(atoms).shape[1]
    kinetic = 0.5 * float(np.sum(momenta**2 / masses))
    if ensemble == "nve" and kinetic > 0:
        momenta = momenta * np.sqrt(0.5 * freedom * units.kB * temperature / kinetic)
    return momenta


def _in_ev(pressure: float) -> float:
    """GPa in eV/Å³."""
    return pressure / EV_PER_CUBIC_ANGSTROM_IN_GPA


def _masses(bath: Any) -> dict[str, Any]:
    return {name: getattr(bath, name) for name in ("_Q", "_W", "_R") if hasattr(bath, name)}


def _get(dynamics: Any, name: str) -> Any:
    return attrgetter(name)(dynamics)


def _set(dynamics: Any, name: str, value: Any) -> None:
    *owner, attribute = name.split(".")
    setattr(attrgetter(*owner)(dynamics) if owner else dynamics, attribute, value)
