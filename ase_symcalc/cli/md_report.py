"""What is told of a run: to a person in rows, to a program in a record."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.io import read

from ase_symcalc.apps.md import MDResult, longest_timestep
from ase_symcalc.apps.record import make_record
from ase_symcalc.apps.trajectories import (
    BLOCKS,
    FEWEST_FRAMES,
    Diffusion,
    RadialDistribution,
    diffusion,
    radial_distribution,
)

EQUILIBRATION = 0.2
"""Part of a run that means and distributions leave out."""

MOST_FRAMES = 2000
"""For displacements; more are thinned."""

MOST_PICTURES = 100
"""For the radial distribution."""

TOO_FAR = 0.1
"""Part of the mean kinetic energy by which the conserved one may drift in a run."""

SETTINGS = {
    "temperature": "temperature_K",
    "ensemble": "ensemble",
    "timestep": "timestep_fs",
    "pressure": "pressure_GPa",
    "thermostat_time": "thermostat_time_fs",
    "barostat_time": "barostat_time_fs",
    "every": "every",
    "seed": "seed",
    "new_velocities": "new_velocities",
    "supercell": "supercell",
    "dtype": "dtype",
    "symmetry": "symmetry",
}


@dataclass(frozen=True, slots=True)
class Analysis:
    """What the frames after the first fifth show."""

    radial: RadialDistribution | None
    """None unless periodic in 3D"""
    spread: list[Diffusion]
    """Empty if there were too few frames."""


def analyse(args: argparse.Namespace, result: MDResult) -> Analysis:
    """Read the frames back."""
    n_frames = len(result.times)
    first = round(EQUILIBRATION * n_frames)
    stride = 1 + (n_frames - first) // MOST_FRAMES
    images: Any = read(args.trajectory, slice(first, None, stride))
    atoms = result.atoms
    spread, radial = [], None
    if len(images) >= FEWEST_FRAMES:
        spread = diffusion(images, args.every * result.timestep * stride)
    if atoms.pbc.all() and atoms.cell.rank == 3:
        radial = radial_distribution(images[:: 1 + len(images) // MOST_PICTURES])
    return Analysis(radial, spread)


def record_of(
    args: argparse.Namespace, atoms: Atoms, result: MDResult, analysis: Analysis
) -> dict[str, Any]:
    """Everything that can be known of the run afterwards, units in the names."""
    settings = {"file": args.file, "steps": result.steps}
    settings |= {unit: getattr(args, name) for name, unit in SETTINGS.items()}
    radial = analysis.radial
    results = {
        "time_ps": result.steps * result.timestep / 1000,
        "resumed_from": result.resumed_from,
        "degrees_of_freedom": result.degrees_of_freedom,
        "left_out_of_means": EQUILIBRATION,
        "temperature_K": _mean(result.temperatures),
        "potential_eV": _mean(result.potential),
        "pressure_GPa": _mean(result.pressures),
        "volume_angstrom3": _mean(result.volumes),
        "drift_meV_per_atom_ps": result.drift,
        "diffusion": [_as_dict(each) for each in analysis.spread],
        "radial_distribution": radial
        and {
            "distance_angstrom": radial.distances,
            "partial": {"-".join(pair): values for pair, values in radial.partial.items()},
            "n_frames": radial.n_frames,
        },
        "trajectory": args.trajectory,
        "log": args.trajectory.with_suffix(".csv"),
        "plot": args.plot,
        "report": args.report,
    }
    record = make_record(
        "md", atoms=atoms, settings=settings, results=results, calculator=atoms.calc
    )
    record["warnings"] += _warnings(result, analysis)
    return record


def rows_of(result: MDResult, analysis: Analysis) -> list[tuple[str, str]]:
    """Quantities and values, as a person reads them."""
    rows = [("time / ps", f"{result.steps * result.timestep / 1000:g}")]
    for name, values, digits in (
        ("temperature / K", result.temperatures, 1),
        ("potential energy / eV", result.potential, 4),
        ("pressure / GPa", result.pressures, 3),
        ("volume / Å³", result.volumes, 2),
    ):
        mean = _mean(values)
        if mean is not None:
            error = "" if mean["error"] is None else f" ± {mean['error']:.{digits}f}"
            rows.append((name, f"{mean['mean']:.{digits}f}{error}"))
    if result.drift is not None:
        rows.append(("drift / (meV/atom/ps)", f"{result.drift:+.4f}"))
    for each in analysis.spread:
        rows.append((f"D of {each.element} / (1e-5 cm²/s)", _coefficient(each)))
    if analysis.spread:
        low, high = analysis.spread[0].window
        rows.append(("D fitted to lags of / ps", f"{low:g} to {high:g}"))
    return rows


def too_far(result: MDResult) -> str:
    """Say that the conserved energy drifted further than results can bear, if it did."""
    if result.drift is None:
        return ""
    drift = abs(result.drift) * float(np.ptp(result.times)) / 1000
    kinetic = 1000 * float(result.kinetic.mean()) / len(result.atoms)
    if drift <= TOO_FAR * kinetic:
        return ""
    return (
        f"the conserved energy drifted by {drift:.2g} meV/atom, {drift / kinetic:.0%} of the "
        f"kinetic energy; try a timestep shorter than {result.timestep:g} fs, or float64"
    )


def _coefficient(each: Diffusion) -> str:
    if not each.is_diffusive:
        return f"not diffusive (displacement² grows as lag^{each.exponent:.2f})"
    return f"{10 * each.coefficient:.3g} ± {10 * each.error:.1g}"


def _warnings(result: MDResult, analysis: Analysis) -> list[str]:
    sentences = []
    longest = longest_timestep(result.atoms)
    if result.timestep > longest:
        sentences.append(
            f"the timestep of {result.timestep:g} fs is long for the lightest element; beyond "
            f"{longest:.1f} fs its fastest vibrations are followed poorly"
        )
    if words := too_far(result):
        sentences.append(words)
    if still := [each.element for each in analysis.spread if not each.is_diffusive]:
        sentences.append(
            f"no diffusion of {', '.join(still)} was seen: the displacement does not grow "
            "linearly within the fitted lags, or by less than its error"
        )
    return sentences


def _mean(values: np.ndarray | None) -> dict[str, float | None] | None:
    """Mean after equilibration, and its standard error from blocks."""
    if values is None:
        return None
    late = values[round(EQUILIBRATION * len(values)) :]
    error = None
    if len(late) >= 2 * BLOCKS:
        blocks = [block.mean() for block in np.array_split(late, BLOCKS)]
        error = float(np.std(blocks, ddof=1) / np.sqrt(BLOCKS))
    return {"mean": float(late.mean()), "error": error}


def _as_dict(each: Diffusion) -> dict[str, Any]:
    return {
        "element": each.element,
        "coefficient_cm2_per_s": 1e-4 * each.coefficient,
        "error_cm2_per_s": 1e-4 * each.error,
        "is_diffusive": each.is_diffusive,
        "exponent": each.exponent,
        "fitted_lags_ps": each.window,
        "lag_ps": each.lags,
        "displacement_angstrom2": each.msd,
    }
