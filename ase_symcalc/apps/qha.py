"""Thermal expansion: harmonic phonons at several volumes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from jaxtyping import Bool, Float64

from ase_symcalc.apps.crystal import check_crystal, stress_of
from ase_symcalc.apps.force_constants import (
    MIN_LENGTH,
    ForcesStep,
    HarmonicCrystal,
    Supercell,
    force_constants,
)
from ase_symcalc.apps.gruneisen import GruneisenModes, gruneisen_modes
from ase_symcalc.apps.imaginary import IMAGINARY
from ase_symcalc.apps.settle import settle
from ase_symcalc.apps.short_repr import short_repr
from ase_symcalc.errors import InputError, NumericalError
from ase_symcalc.units import EV_PER_CUBIC_ANGSTROM_IN_GPA

if TYPE_CHECKING:
    from phonopy import QHAResult

VOLUMES = (0.94, 0.96, 0.98, 1.0, 1.02, 1.04, 1.06, 1.08)
"""Of the volume that is given; heat makes nearly all crystals larger."""

FEWEST_VOLUMES = 5

MESH_LENGTH = 60.0
"""Å, as `phonons.MESH_LENGTH`; free energies want less than a density of states."""

FMAX = 1e-3
"""eV/Å"""

MAX_STEPS = 300


@dataclass(frozen=True, slots=True)
class VolumeStep:
    """A supercell at one of the volumes is done."""

    volume: int
    n_volumes: int
    forces: ForcesStep


@dataclass(frozen=True, slots=True)
class QuasiHarmonicResult:
    """A crystal that expands, at constant pressure. The first temperature is 0 K."""

    __repr__ = short_repr

    pressure: float
    """GPa"""
    volumes: Float64[np.ndarray, "n_volumes"]
    """Å³/atom, ascending, all of them"""
    energies: Float64[np.ndarray, "n_volumes"]
    """eV/atom, without vibrations"""
    lowest: Float64[np.ndarray, "n_volumes"]
    """THz, the lowest frequency on the mesh; imaginary ones are negative"""
    stable: Bool[np.ndarray, "n_volumes"]
    """Whether a volume took part: those with imaginary modes have no free energy."""
    temperatures: Float64[np.ndarray, "n_temperatures"]
    """K"""
    free_energies: Float64[np.ndarray, "n_temperatures n_stable"]
    """eV/atom, with vibrations and pressure times volume, at the stable volumes"""
    volume: Float64[np.ndarray, "n_temperatures"]
    """Å³/atom, where the free energy is least"""
    gibbs_energy: Float64[np.ndarray, "n_temperatures"]
    """eV/atom"""
    thermal_expansion: Float64[np.ndarray, "n_temperatures"]
    """1/K, of the volume"""
    bulk_modulus: Float64[np.ndarray, "n_temperatures"]
    """GPa, isothermal"""
    heat_capacity: Float64[np.ndarray, "n_temperatures"]
    """eV/K/atom, at constant pressure"""
    gruneisen: Float64[np.ndarray, "n_temperatures"]
    """Thermodynamic Grüneisen parameter, α B V / C_V; 0 at 0 K, where it has no value"""
    lattice: Float64[np.ndarray, "n_temperatures 3"] | None
    """Å, lengths of the vectors of the cell that was given; None if its angles may change"""
    modes: GruneisenModes = field(repr=False)
    """At the volume nearest to the one that was given, from its neighbours on both sides."""
    warnings: tuple[str, ...]
    """Sentences that a reader of the numbers must see."""
    phonopy: tuple[Any, ...] = field(repr=False)
    """`phonopy.Phonopy` at every volume."""


def qha(
    atoms: Atoms,
    *,
    volumes: Sequence[float] = VOLUMES,
    pressure: float = 0.0,
    supercell: Supercell | None = None,
    min_length: float = MIN_LENGTH,
    displacement: float = 0.01,
    mesh: float = MESH_LENGTH,
    max_temperature: float = 1000.0,
    temperature_step: float = 10.0,
    imaginary: float = IMAGINARY,
    known: Mapping[str, np.ndarray] | None = None,
    on_step: Callable[[VolumeStep], None] | None = None,
) -> QuasiHarmonicResult:
    """Compute what heat does to a crystal, with any ASE calculator that has stresses.

    Parameters
    ----------
    atoms : Atoms
        A crystal near its minimum, with a calculator. Not changed.
    volumes : sequence of float
        At least five, as multiples of the volume of ``atoms``; below 1 and above.
    pressure : float, GPa
    supercell, min_length, displacement, known
        As for `force_constants`; all volumes have the same supercell.
    mesh, max_temperature, temperature_step, imaginary
        As for `phonons`.
    on_step : callable, optional
        Receives a `VolumeStep` after every supercell.

    Returns
    -------
    QuasiHarmonicResult
        Up to the temperature at which the crystal leaves the volumes.

    Raises
    ------
    InputError
        As `force_constants`; also for volumes that do not make sense.
    NumericalError
        If fewer than five volumes are stable, or the free energy has no minimum among them.

    Notes
    -----
    Positions and the shape of the cell relax at every volume. Phonons are harmonic at each:
    frequencies feel the temperature by the volume alone. The free energy is fitted by a Vinet
    equation of state at each temperature (phonopy.run_qha).
    """
    _check(atoms, volumes, pressure, max_temperature, temperature_step)
    ratios = sorted(volumes)
    crystals: list[HarmonicCrystal] = []
    energies = []
    for at, ratio in enumerate(ratios):
        still = _at_volume(atoms, ratio)
        energies.append(float(still.get_potential_energy()) / len(atoms))
        crystals.append(
            force_constants(
                still,
                supercell=crystals[0].phonopy.supercell_matrix if crystals else supercell,
                min_length=min_length,
                displacement=displacement,
                known=known,
                on_step=None if on_step is None else _Numbered(at, len(ratios), on_step),
            )
        )
    phonopys = tuple(crystal.phonopy for crystal in crystals)
    lowest = np.array([_lowest(phonopy, mesh) for phonopy in phonopys])
    temperatures = np.arange(0, max_temperature + 1.5 * temperature_step, temperature_step)
    middle = int(np.clip(np.abs(np.array(ratios) - 1).argmin(), 1, len(ratios) - 2))
    static = _Static(
        volumes=np.array([phonopy.primitive.volume for phonopy in phonopys]),
        energies=np.array(energies) * len(phonopys[0].primitive),
        lowest=lowest,
        stable=lowest > -imaginary,
    )
    found, fitting = _fit(phonopys, static, temperatures, mesh, pressure)
    modes = gruneisen_modes(
        phonopys[middle - 1],
        phonopys[middle],
        phonopys[middle + 1],
        np.array(phonopys[middle].mesh.mesh_numbers),
    )
    said = dict.fromkeys(sentence for crystal in crystals for sentence in crystal.warnings)
    return _result(phonopys, pressure, static, found, modes, [*said, *fitting])


class _Numbered:
    """Say at which volume a supercell is."""

    def __init__(self, volume: int, n_volumes: int, on_step: Callable[[VolumeStep], None]) -> None:
        self.volume, self.n_volumes, self.on_step = volume, n_volumes, on_step

    def __call__(self, step: ForcesStep) -> None:
        self.on_step(VolumeStep(self.volume, self.n_volumes, step))


@dataclass(frozen=True, slots=True)
class _Static:
    """Of primitive cells at all volumes."""

    volumes: np.ndarray
    energies: np.ndarray
    lowest: np.ndarray
    stable: np.ndarray


def _check(
    atoms: Atoms,
    volumes: Sequence[float],
    pressure: float,
    max_temperature: float,
    temperature_step: float,
) -> None:
    check_crystal(atoms, "a quasi-harmonic calculation")
    stress_of(atoms, "quasi-harmonic calculations")
    ratios = np.array(volumes, dtype=float)
    if not np.isfinite(ratios).all() or (ratios <= 0).any():
        raise InputError(f"expected volumes as multiples above 0, got {list(volumes)}")
    if len(np.unique(ratios)) < max(FEWEST_VOLUMES, len(ratios)):
        raise InputError(
            f"expected at least {FEWEST_VOLUMES} different volumes for an equation of state at "
            f"every temperature, got {list(volumes)}"
        )
    if not np.isfinite(pressure):
        raise InputError(f"expected a finite pressure in GPa, got {pressure}")
    for name, value in (
        ("max_temperature", max_temperature),
        ("temperature_step", temperature_step),
    ):
        if not 0 < value < np.inf:
            raise InputError(f"expected {name} above 0 and finite, got {value}")


def _at_volume(atoms: Atoms, ratio: float) -> Atoms:
    moved = atoms.copy()
    moved.set_constraint()
    moved.set_cell(atoms.cell.array * ratio ** (1 / 3), scale_atoms=True)
    moved.calc = atoms.calc
    if not settle(moved, fmax=FMAX, max_steps=MAX_STEPS, shape=True):
        raise NumericalError(
            f"at {ratio:g} times the volume the atoms do not come to rest in {MAX_STEPS} steps; "
            "leave that volume out"
        )
    return moved


def _lowest(phonopy: Any, mesh: float) -> float:
    phonopy.run_mesh(float(mesh))
    return float(phonopy.mesh.frequencies.min())


def _fit(
    phonopys: Sequence[Any],
    static: _Static,
    temperatures: np.ndarray,
    mesh: float,
    pressure: float,
) -> tuple[QHAResult, list[str]]:
    """Fit an equation of state at every temperature, and say what went wrong on the way."""
    from phonopy import run_qha

    said = [
        f"at {volume / len(phonopys[0].primitive):.3f} Å³/atom modes are imaginary, down to "
        f"{-lowest:.2f}i THz: this volume is left out, for it has no free energy"
        for volume, lowest, stable in zip(static.volumes, static.lowest, static.stable, strict=True)
        if not stable
    ]
    if static.stable.sum() < FEWEST_VOLUMES:
        raise NumericalError(
            f"only {static.stable.sum()} of {len(static.stable)} volumes have no imaginary modes, "
            f"and {FEWEST_VOLUMES} are needed; the lowest frequency is {-static.lowest.min():.2f}i "
            "THz. Look at the phonons of the crystal first, or leave out volumes where it is not "
            "stable"
        )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        found = run_qha(
            [phonopys[i] for i in np.flatnonzero(static.stable).tolist()],
            temperatures,
            internal_energies=static.energies[static.stable],
            mesh=float(mesh),
            pressure=pressure,
            exclude_gamma_acoustic=True,
        )
    # of the rest one hears by `lattice` being None, and by temperatures that are left out
    messages = [str(each.message) for each in caught]
    return found, said + [text for text in messages if "Lattice parameter" not in text]


def _result(
    phonopys: tuple[Any, ...],
    pressure: float,
    static: _Static,
    found: QHAResult,
    modes: GruneisenModes,
    said: list[str],
) -> QuasiHarmonicResult:
    """Up to the temperature where the crystal leaves the volumes; all of it per atom."""
    n = len(phonopys[0].primitive)
    kept = _inside(found)
    if kept < len(found.temperatures):
        said.append(
            f"from {found.temperatures[kept]:g} K on the free energy is least outside the volumes "
            "that were computed; add larger ones to go further"
        )
    return QuasiHarmonicResult(
        pressure=pressure,
        volumes=static.volumes / n,
        energies=static.energies / n,
        lowest=static.lowest,
        stable=static.stable,
        temperatures=found.temperatures[:kept],
        free_energies=found.helmholtz_volume[:kept] / n,
        volume=found.equilibrium_volumes[:kept] / n,
        gibbs_energy=found.gibbs_free_energies[:kept] / n,
        thermal_expansion=found.thermal_expansion[:kept],
        bulk_modulus=found.bulk_moduli[:kept] * EV_PER_CUBIC_ANGSTROM_IN_GPA,
        heat_capacity=found.heat_capacity_P.heat_capacities[:kept] / n,
        gruneisen=found.gruneisen_parameters[:kept],
        lattice=None if found.lattice is None else found.lattice.lattice_parameters[:kept],
        modes=modes,
        warnings=tuple(said),
        phonopy=phonopys,
    )


def _inside(found: QHAResult) -> int:
    """At how many temperatures, from the first on, the minimum is among the volumes."""
    volume = found.equilibrium_volumes
    outside = (volume < found.volumes.min()) | (volume > found.volumes.max())
    kept = int(outside.argmax()) if outside.any() else len(outside)
    if kept < 3:
        raise NumericalError(
            f"the free energy has no minimum among the volumes from {found.volumes.min():.3f} to "
            f"{found.volumes.max():.3f} Å³ per primitive cell; relax the cell first, or give other "
            "volumes"
        )
    return kept
