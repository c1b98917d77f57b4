"""Energies of surfaces, with any ASE calculator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms, units
from jaxtyping import Float64

from ase_symcalc.apps.crystal import check_crystal
from ase_symcalc.apps.elastic_analytic import primitive
from ase_symcalc.apps.kept import AtRest, Parts, relaxed_once
from ase_symcalc.apps.relax import RelaxStep, relax
from ase_symcalc.apps.short_repr import short_repr
from ase_symcalc.apps.surface_cuts import SYMPREC, Cut, Planes, find_planes, indices_in
from ase_symcalc.errors import InputError
from ase_symcalc.symmetry.setting import standard_setting

J_PER_M2 = 1e20 * units._e
"""of 1 eV/Å²"""

THICKER = 6.0
"""Å, at least, by which the second slab exceeds the first."""

DRIFT = 0.002
"""eV per atom, between the bulk energy from slabs and that of the crystal, worth a warning."""

LEAST_VACUUM = 8.0
"""Å; less is within reach of many potentials."""


@dataclass(frozen=True, slots=True)
class SurfaceStep:
    """One row of the log."""

    part: str
    """What is at work: the crystal, or a slab."""
    step: RelaxStep


@dataclass(frozen=True, slots=True)
class Termination:
    """One way to end the crystal."""

    cut: Cut
    energy_fixed: float
    """eV/Å², all atoms where they are in the crystal"""
    energy: float
    """eV/Å², relaxed; of unlike faces the mean"""
    layers: tuple[int, int]
    """Lattice planes of both slabs."""
    thickness: tuple[float, float]
    """Å, of both slabs"""
    area: float
    """Å², of one face of the slab"""
    fitted_bulk_energy: float
    """eV per atom, from the difference of both relaxed slabs"""
    slabs: tuple[Atoms, Atoms]
    """Both, relaxed, with the caller's calculator attached."""
    converged: bool

    @property
    def in_j_per_m2(self) -> tuple[float, float]:
        """Energies in J/m²: fixed, relaxed."""
        return self.energy_fixed * J_PER_M2, self.energy * J_PER_M2


@dataclass(frozen=True, slots=True)
class SurfaceResult:
    """Energies of the surfaces along one lattice plane."""

    __repr__ = short_repr

    hkl: tuple[int, int, int]
    """Of the plane, in ``cell``."""
    cell: Float64[np.ndarray, "3 3"]
    """Å, the cell that the indices refer to, relaxed"""
    bulk: Atoms
    """The primitive cell, relaxed unless that was not wanted, with the calculator attached."""
    bulk_energy: float
    """eV per atom"""
    terminations: tuple[Termination, ...]
    """Those that were computed, lowest energy first"""
    left_out: tuple[Cut, ...]
    """Cuts with unlike faces, if these were not wanted."""
    converged: bool
    warnings: tuple[str, ...]
    """Sentences about what these numbers are not."""


def surface(
    atoms: Atoms,
    hkl: Sequence[int],
    *,
    min_thickness: float = 15.0,
    vacuum: float = 15.0,
    unlike_faces: bool = False,
    relax_bulk: bool = True,
    fmax: float = 0.01,
    max_steps: int = 500,
    parts: Parts | None = None,
    on_step: Callable[[SurfaceStep], None] | None = None,
) -> SurfaceResult:
    """Cut a crystal along a lattice plane and compute what its surfaces cost.

    Parameters
    ----------
    atoms : Atoms
        A crystal, with a calculator attached, any one. Not changed.
    hkl : three int
        Miller indices, in the cell of ``atoms`` if that is a conventional cell, and else in the
        conventional cell of the space group's standard setting.
    min_thickness : float, Å
        Of the thinner of two slabs.
    vacuum : float, Å
        Between a slab and its image, were it repeated.
    unlike_faces : bool
        Also compute cuts that leave a slab with two different faces; only the mean energy of
        both is then known.
    relax_bulk : bool
        Relax the crystal and its cell first.
    fmax : float, eV/Å
    max_steps : int
        Of each relaxation.
    parts : mapping from str, optional
        Relaxations that are done, of a run with the same arguments; others are added, as
        what JSON holds.
    on_step : callable, optional
        Receives a `SurfaceStep` after every step.

    Returns
    -------
    SurfaceResult

    Raises
    ------
    InputError
        For a structure that is not a crystal, an argument out of range, or a plane along which
        every cut leaves unlike faces, if these are not wanted.
    NumericalError
        If the calculator returns an energy or a force that is not a number.

    Notes
    -----
    Slabs hold whole lattice planes, so they have the crystal's composition, in the smallest
    surface cell. The energy γ is the intercept and the bulk energy e the slope of
    E(N) = N e + 2 A γ through two thicknesses, as V. Fiorentini and M. Methfessel, J. Phys.:
    Condens. Matter 8, 6525 (1996) advise: with a bulk energy from elsewhere its error would
    grow with the thickness.
    """
    plane = _check(atoms, hkl, min_thickness, vacuum)
    work = _Work(fmax, max_steps, vacuum, {} if parts is None else parts, on_step)
    bulk = primitive(atoms, SYMPREC)
    bulk.calc = atoms.calc
    axes = _axes(atoms, bulk)
    indices = indices_in(bulk.cell.array, axes, plane)
    rest = True
    if relax_bulk:
        to_axes = axes @ np.linalg.inv(bulk.cell.array)
        relaxed = work.relax("crystal", bulk, cell=True)
        bulk, rest = relaxed.atoms, relaxed.converged
        axes = to_axes @ bulk.cell.array
    bulk_energy = float(bulk.get_potential_energy()) / len(bulk)
    planes = find_planes(bulk, indices)
    wanted = [cut for cut in planes.cuts if cut.symmetric or unlike_faces]
    if not wanted:
        raise InputError(_no_like_faces(plane, planes))
    layers = _layers(planes.spacing, min_thickness)
    done = [work.terminate(planes, cut, layers) for cut in wanted]
    done.sort(key=lambda termination: termination.energy)
    return SurfaceResult(
        hkl=plane,
        cell=axes,
        bulk=bulk,
        bulk_energy=bulk_energy,
        terminations=tuple(done),
        left_out=tuple(cut for cut in planes.cuts if cut not in wanted),
        converged=rest and all(termination.converged for termination in done),
        warnings=tuple(_warnings(done, bulk_energy)),
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """What all slabs have in common."""

    fmax: float
    max_steps: int
    vacuum: float
    parts: Parts
    on_step: Callable[[SurfaceStep], None] | None

    def relax(self, part: str, atoms: Atoms, *, cell: bool, name: str | None = None) -> AtRest:
        def show(step: RelaxStep) -> None:
            if self.on_step is not None:
                self.on_step(SurfaceStep(part, step))

        return relaxed_once(
            self.parts,
            name or part,
            atoms,
            lambda: relax(atoms, fmax=self.fmax, cell=cell, max_steps=self.max_steps, on_step=show),
        )

    def terminate(self, planes: Planes, cut: Cut, layers: tuple[int, int]) -> Termination:
        """Compute both slabs of a cut, and the line through their energies."""
        number = planes.cuts.index(cut) + 1
        slabs = [planes.slab(cut, n, self.vacuum) for n in layers]
        for slab in slabs:
            slab.calc = planes.primitive.calc
        results = []
        for n, slab in zip(layers, slabs, strict=True):
            part = f"{cut.top} face, {n} layers"
            name = f"{part}, cut {number}"
            results.append(self.relax(part, slab, cell=False, name=name))
        area = float(np.linalg.norm(np.cross(*slabs[0].cell.array[:2])))
        fixed, _ = _line(layers, [result.energies[0] for result in results])
        relaxed, slope = _line(layers, [result.energies[1] for result in results])
        return Termination(
            cut=cut,
            energy_fixed=fixed / (2 * area),
            energy=relaxed / (2 * area),
            layers=layers,
            thickness=(layers[0] * planes.spacing, layers[1] * planes.spacing),
            area=area,
            fitted_bulk_energy=slope / len(planes.primitive),
            slabs=(results[0].atoms, results[1].atoms),
            converged=all(result.converged for result in results),
        )


def _check(
    atoms: Atoms, hkl: Sequence[int], min_thickness: float, vacuum: float
) -> tuple[int, int, int]:
    check_crystal(atoms, "a surface")
    plane = miller_indices(hkl)
    if not 0 < min_thickness < math.inf:
        raise InputError(f"expected a thickness above 0 Å, got {min_thickness}; 15 is common")
    if not LEAST_VACUUM <= vacuum < math.inf:
        raise InputError(
            f"expected a vacuum of at least {LEAST_VACUUM:g} Å, which faces do not see each other "
            f"across; got {vacuum}"
        )
    return plane


def miller_indices(hkl: Any) -> tuple[int, int, int]:
    """Return three whole numbers without a common divisor.

    Raises
    ------
    InputError
        For anything but three whole numbers, or if all are zero.
    """
    whole = [index for index in hkl if isinstance(index, int | np.integer)]
    if not len(whole) == len(hkl) == 3 or not any(whole):
        raise InputError(
            f"expected three whole numbers, not all zero, as Miller indices; got {hkl!r}"
        )
    divisor = math.gcd(*(int(index) for index in whole))
    h, k, l = (int(index) // divisor for index in whole)
    return h, k, l


def _axes(atoms: Atoms, bulk: Atoms) -> Float64[np.ndarray, "3 3"]:
    """Choose the cell that Miller indices refer to."""
    conventional = standard_setting(bulk, SYMPREC).cell
    size = abs(np.linalg.det(conventional))
    if math.isclose(atoms.get_volume(), size, rel_tol=1e-3):
        return atoms.cell.array
    return conventional


def _layers(spacing: float, min_thickness: float) -> tuple[int, int]:
    thinner = math.ceil(min_thickness / spacing)
    return thinner, thinner + math.ceil(THICKER / spacing)


def _line(layers: tuple[int, int], energies: Sequence[float]) -> tuple[float, float]:
    """Intercept and slope."""
    slope = (energies[1] - energies[0]) / (layers[1] - layers[0])
    return energies[0] - layers[0] * slope, slope


def _no_like_faces(hkl: tuple[int, int, int], planes: Planes) -> str:
    words = "; ".join(in_words(cut) for cut in planes.cuts)
    return (
        f"no cut along {hkl} leaves a slab of the crystal's composition with two like faces: "
        f"{words}. With unlike_faces=True (--unlike-faces) the mean energy of both is computed"
    )


def in_words(cut: Cut) -> str:
    """Say which atoms are outermost, and how the faces differ."""
    faces = "like faces" if cut.symmetric else "unlike faces"
    dipole = ", a dipole across the slab if its atoms are ions" if cut.polar else ""
    return f"{cut.top} outermost, gap {cut.gap:.2f} Å: {faces}{dipole}"


def _warnings(terminations: Sequence[Termination], bulk_energy: float) -> list[str]:
    sentences = [
        "slabs keep the smallest surface cell and their symmetry: reconstructions into larger "
        "cells, steps and adsorbates are not looked for"
    ]
    for each in terminations:
        name = f"the face with {each.cut.top} outermost"
        if not each.converged:
            sentences.append(f"{name} did not come to rest")
        if not each.cut.symmetric:
            words = "; they may carry a dipole" if each.cut.polar else ""
            sentences.append(f"{name} has another on the back: the energy is their mean{words}")
        drift = each.fitted_bulk_energy - bulk_energy
        if abs(drift) > DRIFT:
            sentences.append(
                f"{name}: from one slab to the other an atom costs {1e3 * drift:+.1f} meV more "
                "than in the crystal. Either they are too thin (min_thickness, --min-thickness), "
                "or they relaxed into different structures: compare them, and both energies"
            )
        if each.energy < 0:
            sentences.append(f"{name} has a negative energy: the crystal would fall apart")
    return sentences
