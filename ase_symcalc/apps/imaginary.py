"""Where a crystal is unstable, and what that may mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from ase_symcalc.apps.band_path import Corner

IMAGINARY = 0.05
"""THz; smaller imaginary frequencies come from rounding and from fitting near Γ."""


@dataclass(frozen=True, slots=True)
class ImaginaryMode:
    """A wave along which the energy falls."""

    q: Float64[np.ndarray, "3"]
    """in reciprocal vectors of the primitive cell"""
    label: str | None
    """Of a point of high symmetry"""
    frequency: float
    """THz, to be multiplied by i"""
    n_modes: int
    """How many imaginary modes there are at this q"""
    fits_supercell: bool
    """The supercell holds whole waves, so that forces say it and not interpolation."""


def imaginary_modes(
    phonopy: Any, path: Sequence[tuple[Corner, Corner]], tolerance: float
) -> tuple[ImaginaryMode, ...]:
    """Find imaginary modes at corners of the path, and the worst one of path and mesh.

    Parameters
    ----------
    phonopy : phonopy.Phonopy
        After its band structure and its mesh were run.
    path : pairs of Corner
    tolerance : float, THz
        Smaller ones are not reported.
    """
    corners = {corner.label: corner for ends in path for corner in ends}
    at_corners = phonopy.run_qpoints([corner.q for corner in corners.values()]).frequencies
    found = [
        _mode(phonopy, corner.q, frequencies, tolerance, corner.label)
        for corner, frequencies in zip(corners.values(), at_corners, strict=True)
        if frequencies.min() < -tolerance
    ]
    bands = phonopy.band_structure
    q = np.concatenate([*bands.qpoints, phonopy.mesh.qpoints])
    frequencies = np.concatenate([*bands.frequencies, phonopy.mesh.frequencies])
    worst = int(frequencies.min(axis=1).argmin())
    deepest = max((mode.frequency for mode in found), default=tolerance)
    if frequencies[worst].min() < -1.01 * deepest:  # not a corner that the mesh meets too
        found.append(_mode(phonopy, q[worst], frequencies[worst], tolerance, None))
    return tuple(sorted(found, key=lambda mode: -mode.frequency))


def imaginary_in_words(modes: Sequence[ImaginaryMode]) -> str:
    """Say where, how large, and what to make of it."""
    places = "; ".join(_place(mode) for mode in modes[:5])
    if len(modes) > 5:
        places += f"; and {len(modes) - 5} points more"
    return f"imaginary modes: {places}. {_meaning(modes)}"


def _mode(
    phonopy: Any,
    q: np.ndarray,
    frequencies: np.ndarray,
    tolerance: float,
    label: str | None,
) -> ImaginaryMode:
    repeats = phonopy.supercell.cell @ np.linalg.inv(phonopy.primitive.cell)
    waves = np.rint(repeats) @ q
    return ImaginaryMode(
        q=np.array(q, dtype=float),
        label=label,
        frequency=float(-frequencies.min()),
        n_modes=int((frequencies < -tolerance).sum()),
        fits_supercell=bool(np.allclose(waves, np.rint(waves), atol=1e-4)),
    )


def _place(mode: ImaginaryMode) -> str:
    q = " ".join(f"{component:.3g}" for component in mode.q + 0.0)
    where = f"{mode.label} ({q})" if mode.label else f"q = ({q})"
    count = "" if mode.n_modes == 1 else f", {mode.n_modes} modes"
    return f"{mode.frequency:.2f}i THz at {where}{count}"


def _meaning(modes: Sequence[ImaginaryMode]) -> str:
    if any(mode.fits_supercell for mode in modes):
        return (
            "Along them the energy falls: the crystal is not stable as it is. Either it takes on "
            "another structure at low temperature (displace the atoms along such a mode in a "
            "supercell and relax), or the potential is wrong there"
        )
    return (
        "None of these waves fits the supercell, so they are interpolated and may be an artefact: "
        "look whether they stay in a larger one (--supercell, --min-length)"
    )
