"""Energy against volume, with any ASE calculator, and what equations of state make of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from jaxtyping import Float64

from ase_symcalc.apps.crystal import check_crystal, check_minimum
from ase_symcalc.apps.eos_fit import CURVES, EosFit, fit_eos, parabola
from ase_symcalc.apps.kept import Parts, as_part, from_part
from ase_symcalc.apps.relax import check_target
from ase_symcalc.apps.settle import settle, without_pressure
from ase_symcalc.apps.short_repr import short_repr
from ase_symcalc.errors import InputError, NumericalError
from ase_symcalc.units import EV_PER_CUBIC_ANGSTROM_IN_GPA

FREE = ("nothing", "positions", "shape")

FEWEST = 7
"""Volumes; four parameters need more than four energies to be told from noise."""

FARTHEST = 1.3
"""How far beyond its ends a range may be moved, as a ratio of volumes."""


@dataclass(frozen=True, slots=True)
class EosPoint:
    """One volume, done."""

    done: int
    total: int
    volume: float
    """Å³"""
    energy: float
    """eV"""
    converged: bool
    """Whether forces, and the shape if it is free, came to rest; True where nothing is free."""


@dataclass(frozen=True, slots=True)
class EosResult:
    """Energies, and the equations of state through them."""

    __repr__ = short_repr

    atoms: Atoms
    """The structure of the volume next to V0, with the caller's calculator attached."""
    volumes: Float64[np.ndarray, "n_volumes"]
    """Å³, rising"""
    energies: Float64[np.ndarray, "n_volumes"]
    """eV"""
    fits: tuple[EosFit, ...]
    """One of each equation in `eos_fit.CURVES`; the one with the smallest residual first."""
    moved: bool
    """Whether the first range did not hold the minimum, so that another was computed."""
    converged: bool
    """Whether everything that was free came to rest at every volume."""
    shear_stress: float | None
    """GPa, the largest component of `atoms`' stress besides the pressure, which holds a shape
    that is not free; None for a calculator without stress."""

    @property
    def best(self) -> EosFit:
        """The equation that is nearest to the energies."""
        return self.fits[0]


def eos(
    atoms: Atoms,
    *,
    free: str = "positions",
    half_range: float = 0.06,
    n_volumes: int = 11,
    fmax: float = 1e-3,
    max_steps: int = 200,
    parts: Parts | None = None,
    on_point: Callable[[EosPoint], None] | None = None,
) -> EosResult:
    """Fit Birch-Murnaghan's and Vinet's equations of state to energies at several volumes.

    Parameters
    ----------
    atoms : Atoms
        A crystal near its minimum, with a calculator attached, any one. Not changed.
    free : {"nothing", "positions", "shape"}
        What relaxes at each volume: nothing, the positions of the atoms, or these and the
        shape of the cell. Where symmetry leaves the shape no freedom, as in cubic crystals,
        the last two are the same.
    half_range : float
        Volumes are (1 ± half_range) times that of ``atoms``, evenly spaced.
    n_volumes : int
        At least 7.
    fmax : float, eV/Å
        As for `relax`: largest force left, and largest stress times volume per atom (eV).
    max_steps : int
        Of each relaxation.
    parts : mapping from str, optional
        Volumes that are done, of a run with the same arguments; others are added, as what
        JSON holds.
    on_point : callable, optional
        Receives an `EosPoint` after each volume.

    Returns
    -------
    EosResult

    Raises
    ------
    InputError
        For a structure that is not a crystal, an argument out of range, atoms that may not
        relax and are not at a minimum, or a minimum that is not within the range that the
        first one was moved to.
    NumericalError
        If an energy is not a number, or no curve fits.

    Notes
    -----
    The errors of the parameters are those of the fit alone. The choice of the range moves them
    too, often by more: compare with another ``half_range``.
    """
    _check(atoms, free, half_range, n_volumes)
    check_target(fmax, max_steps)
    start = atoms.copy()
    start.calc = atoms.calc
    if free == "nothing":
        check_minimum(start, "equations of state with fixed atoms")
    sweep = _Sweep(free, fmax, max_steps, {} if parts is None else parts, on_point)
    images, energies = sweep.over(start, _spread(start.get_volume(), half_range, n_volumes))
    next_centre = _centre_outside(images, energies)
    if next_centre is not None:
        images, energies = sweep.over(start, _spread(next_centre, half_range, n_volumes))
        if _centre_outside(images, energies) is not None:
            raise InputError(_no_minimum(images, start.get_volume()))
    volumes = _volumes(images)
    fits = [fit_eos(volumes, energies, name, n_atoms=len(atoms)) for name in CURVES]
    fits.sort(key=lambda fit: fit.residual)
    nearest = images[int(np.argmin(abs(volumes - fits[0].volume)))]
    nearest.calc = atoms.calc
    return EosResult(
        atoms=nearest,
        volumes=volumes,
        energies=energies,
        fits=tuple(fits),
        moved=next_centre is not None,
        converged=sweep.converged,
        shear_stress=_shear_stress(nearest),
    )


def _check(atoms: Atoms, free: str, half_range: float, n_volumes: int) -> None:
    check_crystal(atoms, "an equation of state")
    if free not in FREE:
        raise InputError(f"expected free to be one of {', '.join(FREE)}; got {free!r}")
    if not 0.005 <= half_range <= 0.3:
        raise InputError(
            f"expected volumes within 0.005 to 0.3 of the first, got {half_range}; 0.06 is common"
        )
    if n_volumes < FEWEST:
        raise InputError(f"expected at least {FEWEST} volumes, got {n_volumes}; 11 is common")


def _spread(centre: float, half_range: float, n_volumes: int) -> np.ndarray:
    return centre * np.linspace(1 - half_range, 1 + half_range, n_volumes)


class _Sweep:
    """Goes from volume to volume, each image starting from the one before."""

    def __init__(
        self,
        free: str,
        fmax: float,
        max_steps: int,
        parts: Parts,
        on_point: Callable[[EosPoint], None] | None,
    ) -> None:
        self.free, self.fmax, self.max_steps = free, fmax, max_steps
        self.parts, self.on_point = parts, on_point
        self.done = self.total = 0
        self.converged = True

    def over(self, start: Atoms, volumes: np.ndarray) -> tuple[list[Atoms], np.ndarray]:
        """Return the images and their energies, eV."""
        self.total += len(volumes)
        images: list[Atoms] = []
        energies: list[float] = []
        latest = start
        for volume in volumes:
            name = f"volume {self.done + 1}"
            if name not in self.parts:
                self.parts[name] = self._at(latest, float(volume))
            part = self.parts[name]
            latest, converged = from_part(part, start), part["converged"]
            energies.append(part["energy_eV"])
            images.append(latest.copy())
            self.converged &= converged
            self.done += 1
            if self.on_point is not None:
                self.on_point(
                    EosPoint(self.done, self.total, float(volume), energies[-1], converged)
                )
        return images, np.array(energies)

    def _at(self, atoms: Atoms, volume: float) -> dict[str, Any]:
        """Scale to a volume and let go what is free."""
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell * np.cbrt(volume / atoms.get_volume()), scale_atoms=True)
        scaled.calc = atoms.calc
        settled = self.free == "nothing" or settle(
            scaled, fmax=self.fmax, max_steps=self.max_steps, shape=self.free == "shape"
        )
        energy = float(scaled.get_potential_energy())
        if not np.isfinite(energy):
            raise NumericalError(
                f"at {volume:.3f} Å³ the energy is {energy} eV; look at the structure, and try a "
                "smaller range of volumes"
            )
        return {
            "volume_angstrom3": volume,
            "energy_eV": energy,
            "converged": settled,
            **as_part(scaled),
        }


def _centre_outside(images: list[Atoms], energies: np.ndarray) -> float | None:
    """Where the minimum may be, Å³, if it is not well within the range."""
    volumes = _volumes(images)
    minimum = parabola(volumes, energies)
    lowest = int(np.argmin(energies))
    inside = 0 < lowest < len(volumes) - 1
    if inside and minimum is not None and volumes[1] < minimum[0] < volumes[-2]:
        return None
    least, most = volumes[0] / FARTHEST, volumes[-1] * FARTHEST
    if minimum is None:  # so far off that the curve bends down
        guess = np.sqrt(volumes[0] * least) if lowest == 0 else np.sqrt(volumes[-1] * most)
        return float(guess)
    return float(np.clip(minimum[0], least, most))


def _no_minimum(images: list[Atoms], volume: float) -> str:
    first, last = _volumes(images)[[0, -1]]
    return (
        f"no minimum of the energy was found, neither around the {volume:.2f} Å³ of the structure "
        f"nor between {first:.2f} and {last:.2f} Å³. Relax the structure first (--relax, or "
        "ase_symcalc.apps.relax), or give a wider range"
    )


def _volumes(images: list[Atoms]) -> np.ndarray:
    return np.array([image.get_volume() for image in images])


def _shear_stress(atoms: Atoms) -> float | None:
    try:
        stress = atoms.get_stress(voigt=False)
    except PropertyNotImplementedError:
        return None
    return float(abs(without_pressure(stress)).max()) * EV_PER_CUBIC_ANGSTROM_IN_GPA
