"""Phonons of a crystal: bands, density of states, thermal properties, instabilities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import PropertyNotImplementedError
from jaxtyping import Float64, Int

from ase_symcalc.apps.band_path import Corner, standard_path
from ase_symcalc.apps.force_constants import (
    MIN_LENGTH,
    ForcesStep,
    Supercell,
    as_atoms,
    force_constants,
)
from ase_symcalc.apps.imaginary import IMAGINARY, ImaginaryMode, imaginary_modes
from ase_symcalc.apps.short_repr import short_repr
from ase_symcalc.errors import InputError
from ase_symcalc.units import EV_PER_CUBIC_ANGSTROM_IN_GPA

MESH_LENGTH = 100.0
"""Å, how far apart images are in a supercell whose q-points at Γ would be the mesh."""

NOTABLE_STRESS = 0.5
"""GPa; below, frequencies change by some 0.1 %."""

_KM_PER_S = 0.1  # of Å·THz

_EV_PER_KJ = units.kJ / units.mol


@dataclass(frozen=True, slots=True)
class BandSegment:
    """Frequencies along a straight line in reciprocal space."""

    start: Corner
    end: Corner
    q: Float64[np.ndarray, "n_q 3"]
    """in reciprocal vectors of the primitive cell"""
    distance: Float64[np.ndarray, "n_q"]
    """1/Å without 2π, from the start of the path"""
    frequencies: Float64[np.ndarray, "n_q n_modes"]
    """THz, ascending; imaginary ones are negative"""
    group_velocities: Float64[np.ndarray, "n_q n_modes 3"]
    """km/s, Cartesian"""


@dataclass(frozen=True, slots=True)
class DensityOfStates:
    """How many modes of the primitive cell there are per frequency."""

    frequencies: Float64[np.ndarray, "n_bins"]
    """THz"""
    density: Float64[np.ndarray, "n_bins"]
    """modes per THz and primitive cell; its integral is 3 times the number of atoms"""


@dataclass(frozen=True, slots=True)
class ThermalProperties:
    """Of harmonic phonons at constant volume."""

    temperatures: Float64[np.ndarray, "n_temperatures"]
    """K"""
    free_energy: Float64[np.ndarray, "n_temperatures"]
    """eV/atom, of the vibrations alone, zero-point energy included"""
    entropy: Float64[np.ndarray, "n_temperatures"]
    """eV/K/atom"""
    heat_capacity: Float64[np.ndarray, "n_temperatures"]
    """eV/K/atom"""
    modes_left_out: float
    """Share of the modes whose frequency is imaginary, which have no such properties."""


@dataclass(frozen=True, slots=True)
class PhononResult:
    """Phonons of a crystal."""

    __repr__ = short_repr

    primitive: Atoms
    """The primitive cell, whose reciprocal vectors q is given in."""
    supercell: Int[np.ndarray, "3 3"]
    """Columns are its vectors in those of the cell that was given."""
    n_supercell_atoms: int
    n_displacements: int
    """Supercells with an atom displaced; symmetry gives all the others."""
    displacement: float
    """Å"""
    residual_force: float
    """eV/Å, the largest one before any displacement"""
    gamma: Float64[np.ndarray, "n_modes"]
    """THz, the modes at Γ, ascending; imaginary ones are negative"""
    bands: tuple[BandSegment, ...] = field(repr=False)
    dos: DensityOfStates = field(repr=False)
    thermal: ThermalProperties = field(repr=False)
    imaginary: tuple[ImaginaryMode, ...]
    """The worst ones first; empty for a stable crystal."""
    warnings: tuple[str, ...]
    """Sentences that a reader of the numbers must see."""
    phonopy: Any = field(repr=False)
    """`phonopy.Phonopy` with forces and force constants, for anything phonopy can do."""


def phonons(
    atoms: Atoms,
    *,
    supercell: Supercell | None = None,
    min_length: float = MIN_LENGTH,
    displacement: float = 0.01,
    mesh: float = MESH_LENGTH,
    max_temperature: float = 1000.0,
    temperature_step: float = 10.0,
    imaginary: float = IMAGINARY,
    known: Mapping[str, np.ndarray] | None = None,
    on_step: Callable[[ForcesStep], None] | None = None,
) -> PhononResult:
    """Compute phonons by finite displacements, with any ASE calculator.

    Parameters
    ----------
    atoms, supercell, min_length, displacement, known, on_step
        As for `force_constants`.
    mesh : float, Å
        Density of q-points for everything but the bands: as many as a supercell has images
        that is this long in every direction.
    max_temperature, temperature_step : float, K
        Thermal properties are given from 0 K on.
    imaginary : float, THz
        Imaginary frequencies below this size are taken for rounding.

    Returns
    -------
    PhononResult

    Raises
    ------
    InputError, NumericalError
        As `force_constants`; also for an argument out of range, or if seekpath is not
        installed.

    Notes
    -----
    The path is the one of Hinuma et al., Comput. Mater. Sci. 128, 140 (2017), by seekpath.
    Splitting of longitudinal and transverse optical modes at Γ by electric fields (LO–TO)
    is left out: it needs charges, which a potential of short range has none of.
    """
    _check(mesh, max_temperature, temperature_step, imaginary)
    crystal = force_constants(
        atoms,
        supercell=supercell,
        min_length=min_length,
        displacement=displacement,
        known=known,
        on_step=on_step,
    )
    phonopy = crystal.phonopy
    bands = _bands(phonopy)
    phonopy.run_mesh(float(mesh))
    temperatures = np.arange(0, max_temperature + temperature_step / 2, temperature_step)
    thermal = _thermal(phonopy, temperatures, imaginary)
    found = imaginary_modes(phonopy, [(each.start, each.end) for each in bands], imaginary)
    return PhononResult(
        primitive=as_atoms(phonopy.primitive),
        supercell=phonopy.supercell_matrix,
        n_supercell_atoms=len(phonopy.supercell),
        n_displacements=crystal.n_displacements,
        displacement=displacement,
        residual_force=crystal.residual_force,
        gamma=phonopy.run_qpoints([[0, 0, 0]]).frequencies[0],
        bands=bands,
        dos=_dos(phonopy),
        thermal=thermal,
        imaginary=found,
        warnings=(
            *crystal.warnings,
            *_about_stress(atoms),
            *_about_charges(atoms),
            *_about_left_out(thermal, found),
        ),
        phonopy=phonopy,
    )


def _check(mesh: float, max_temperature: float, temperature_step: float, imaginary: float) -> None:
    for name, value in (
        ("mesh", mesh),
        ("max_temperature", max_temperature),
        ("temperature_step", temperature_step),
        ("imaginary", imaginary),
    ):
        if not 0 < value < np.inf:
            raise InputError(f"expected {name} above 0 and finite, got {value}")


def _bands(phonopy: Any) -> tuple[BandSegment, ...]:
    path = standard_path(as_atoms(phonopy.primitive))
    bands = phonopy.run_band_structure([leg.q for leg in path], with_group_velocities=True)
    return tuple(
        BandSegment(leg.start, leg.end, leg.q, leg.distance, frequencies, _KM_PER_S * velocities)
        for leg, frequencies, velocities in zip(
            path, bands.frequencies, bands.group_velocities, strict=True
        )
    )


def _dos(phonopy: Any) -> DensityOfStates:
    dos = phonopy.run_total_dos()
    return DensityOfStates(np.array(dos.frequency_points), np.array(dos.dos))


def _thermal(phonopy: Any, temperatures: np.ndarray, imaginary: float) -> ThermalProperties:
    found = phonopy.run_thermal_properties(temperatures=temperatures, exclude_gamma_acoustic=True)
    per_atom = _EV_PER_KJ / len(phonopy.primitive)
    frequencies, weights = phonopy.mesh.frequencies, phonopy.mesh.weights
    left_out = (frequencies < -imaginary).sum(1) @ weights
    return ThermalProperties(
        temperatures=temperatures,
        free_energy=per_atom * found.free_energy,
        entropy=per_atom / 1000 * found.entropy,
        heat_capacity=per_atom / 1000 * found.heat_capacity,
        modes_left_out=float(left_out / (weights.sum() * frequencies.shape[1])),
    )


def _about_charges(atoms: Atoms) -> list[str]:
    if len(set(atoms.numbers)) == 1:
        return []
    return [
        "LO–TO splitting is left out, for the potential knows no charges: if the crystal is "
        "polar, its longitudinal optical modes near Γ are too low"
    ]


def _about_left_out(thermal: ThermalProperties, found: Sequence[ImaginaryMode]) -> list[str]:
    if not found or thermal.modes_left_out == 0:
        return []
    return [
        f"{100 * thermal.modes_left_out:.2g} % of all modes are imaginary; they are left out of "
        "the thermal properties, which are therefore those of no real crystal"
    ]


def _about_stress(atoms: Atoms) -> list[str]:
    still = atoms.copy()
    still.calc = atoms.calc
    try:
        stress = float(np.abs(still.get_stress()).max()) * EV_PER_CUBIC_ANGSTROM_IN_GPA
    except PropertyNotImplementedError:
        return []
    if stress <= NOTABLE_STRESS:
        return []
    return [
        f"the crystal is under a stress of up to {stress:.2g} GPa, and its phonons are those of a "
        "strained crystal; relax the cell first unless this is meant"
    ]
