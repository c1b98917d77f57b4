"""A path as it is reported: its barrier, and how far to trust it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms
from ase.utils.forcecurve import fit_images
from jaxtyping import Float64

from ase_symcalc.apps.neb_band import Stage
from ase_symcalc.apps.saddle import IMAGINARY
from ase_symcalc.apps.short_repr import short_repr

SHALLOW = 0.01
"""eV; dips of the path and differences from its interpolation that deserve no words."""


@dataclass(frozen=True, slots=True)
class NebStep:
    """One row of the log."""

    stage: Stage
    step: int
    """Of its stage; of the saddle, displacements along which its curvature is known."""
    fmax: float
    """eV/Å, the largest force on an atom, across the path where it is a path's"""
    barrier: float | None
    """eV, highest image above the first; None while an end relaxes"""


@dataclass(frozen=True, slots=True)
class NebResult:
    """A path, its barrier, and how far to trust it."""

    __repr__ = short_repr

    images: tuple[Atoms, ...]
    """Both ends and what lies between, each with its energy and forces attached. Atoms are not
    wrapped into the cell: each goes a continuous way."""
    converged: bool
    """Path and, if they were to be relaxed, ends."""
    steps: int
    """Of the path, rough and climbing together."""
    target_fmax: float
    """eV/Å"""
    fmax: float
    """eV/Å, the largest force that is left on the path"""
    climbed: bool
    """Whether the highest image was driven up to the saddle."""
    path: Float64[np.ndarray, "n_images"]
    """Å, length of the path up to each image, over all atoms together"""
    energies: Float64[np.ndarray, "n_images"]
    """eV"""
    fitted_path: Float64[np.ndarray, "n_points"]
    """Å"""
    fitted_energies: Float64[np.ndarray, "n_points"]
    """eV above the first image: cubic between images, with the slopes that forces give"""
    barrier_forward: float
    """eV; of the climbing image if it climbed, else of the interpolation"""
    barrier_backward: float
    """eV"""
    reaction_energy: float
    """eV, last image above the first"""
    saddle: int
    """Index of the highest image."""
    saddle_path: float
    """Å, where along the path the barrier is"""
    modes: Float64[np.ndarray, "2"] | None
    """THz, the two lowest frequencies of the highest image, imaginary ones as negative numbers;
    None if not looked for"""
    warnings: tuple[str, ...]
    """Sentences about what this path is not."""

    @property
    def imaginary_modes(self) -> int | None:
        """How many of ``modes`` are imaginary: 1 at a saddle, 2 also for more."""
        return None if self.modes is None else int((self.modes < -IMAGINARY).sum())


def describe(
    images: Sequence[Atoms],
    *,
    converged: bool,
    climbed: bool,
    steps: int,
    target_fmax: float,
    fmax: float,
    modes: Float64[np.ndarray, "2"] | None,
    about_ends: Sequence[str],
) -> NebResult:
    """Measure a path; arguments as the attributes of `NebResult`.

    Parameters
    ----------
    images : sequence of Atoms
        With energies and forces attached.
    about_ends : sequence of str
        Sentences about ends that are not at rest; the result is then not converged.
    """
    fit = fit_images(images)
    energies = np.array([image.get_potential_energy() for image in images])
    above = energies - energies[0]
    saddle, top = int(np.argmax(energies)), int(np.argmax(fit.fit_energies))
    climbed = climbed and 0 < saddle < len(images) - 1
    barrier = float(above[saddle] if climbed else fit.fit_energies[top])
    result = NebResult(
        images=tuple(images),
        converged=converged and not about_ends,
        steps=steps,
        target_fmax=target_fmax,
        fmax=fmax,
        climbed=climbed,
        path=np.array(fit.path),
        energies=energies,
        fitted_path=fit.fit_path,
        fitted_energies=fit.fit_energies,
        barrier_forward=barrier,
        barrier_backward=barrier - float(above[-1]),
        reaction_energy=float(above[-1]),
        saddle=saddle,
        saddle_path=float(fit.path[saddle] if climbed else fit.fit_path[top]),
        modes=modes,
        warnings=(),
    )
    sentences = [*about_ends, *_about_shape(result), *_about_saddle(result)]
    return replace(result, warnings=tuple(sentences))


def _about_shape(result: NebResult) -> list[str]:
    sentences = []
    energies, last = result.energies, len(result.energies) - 1
    if result.saddle in (0, last):
        sentences.append(
            "the highest image is an end: there is no barrier on this path, which rises all the "
            "way; put more images between the ends, or look whether that end is a minimum"
        )
    depths = np.minimum(energies[:-2], energies[2:]) - energies[1:-1]
    sentences += [
        f"the path passes another minimum near image {index}: relax that image, and compute the "
        "paths on both sides of it"
        for index in np.flatnonzero(depths > SHALLOW) + 1
    ]
    highest = float(result.fitted_energies.max())
    if highest - result.barrier_forward > SHALLOW:
        sentences.append(
            f"between images the path rises to {highest:.3f} eV, above the climbing image at "
            f"{result.barrier_forward:.3f} eV: put more images between the ends"
        )
    return sentences


def _about_saddle(result: NebResult) -> list[str]:
    if result.modes is None or result.imaginary_modes == 1:
        return []
    lowest = ", ".join(f"{mode:.2f}" for mode in result.modes)
    if result.imaginary_modes == 0:
        return [
            f"the highest image has no imaginary mode (lowest {lowest} THz), so it is no saddle; "
            "lower fmax, or put more images between the ends"
        ]
    return [
        f"the highest image has two or more imaginary modes (lowest {lowest} THz): the path runs "
        "along a ridge, where symmetry may hold it, and a lower way goes past; start from a path "
        "whose images are slightly displaced"
    ]
