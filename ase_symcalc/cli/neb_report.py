"""What a person sees of a path, and what a program reads."""

from __future__ import annotations

import argparse
from typing import Any

from ase import Atoms

from ase_symcalc.apps.neb_result import NebResult, NebStep
from ase_symcalc.apps.record import make_record
from ase_symcalc.apps.saddle import IMAGINARY


def step_in_words(step: NebStep) -> str:
    """Say where the search is, in one line."""
    if step.stage == "saddle":
        return f"curvature of the saddle, displacement {step.step}"
    barrier = "" if step.barrier is None else f"  barrier {step.barrier:.4f} eV"
    return f"{step.stage:9s} step {step.step:4d}{barrier}  fmax {step.fmax:.5f} eV/Å"


def record_of(args: argparse.Namespace, atoms: Atoms, result: NebResult) -> dict[str, Any]:
    """Everything that can be known of the path afterwards, units in the names."""
    settings = {
        "files": args.files,
        "images": args.images,
        "interpolation": args.interpolation,
        "climb": args.climb,
        "relax_ends": args.relax_ends,
        "order": args.order,
        "fmax_eV_per_angstrom": args.fmax,
        "max_steps": args.max_steps,
        "optimizer": args.optimizer,
        "resume": args.resume,
        "dtype": args.dtype,
        "symmetry": args.symmetry,
    }
    results = {**results_of(result), "trajectory": args.trajectory}
    results |= {"plot": args.plot, "report": args.report}
    record = make_record(
        "neb", atoms=atoms, settings=settings, results=results, calculator=atoms.calc
    )
    record["warnings"] += result.warnings
    return record


def results_of(result: NebResult) -> dict[str, Any]:
    """Numbers of a path, units in the names."""
    return {
        "converged": result.converged,
        "climbed": result.climbed,
        "steps": result.steps,
        "fmax_eV_per_angstrom": result.fmax,
        "barrier_forward_eV": result.barrier_forward,
        "barrier_backward_eV": result.barrier_backward,
        "reaction_energy_eV": result.reaction_energy,
        "barrier_interpolated_eV": float(result.fitted_energies.max()),
        "saddle_image": result.saddle,
        "saddle_path_angstrom": result.saddle_path,
        "imaginary_modes": result.imaginary_modes,
        "lowest_frequencies_THz": result.modes,
        "path_angstrom": result.path,
        "energies_eV": result.energies,
    }


def rows_of(result: NebResult) -> list[tuple[str, str]]:
    """Quantities and values for a table."""
    done = "converged" if result.converged else "NOT converged"
    where = f"image {result.saddle} of {len(result.images) - 1}, at {result.saddle_path:.3f} Å"
    rows = [
        ("outcome", f"{done} in {result.steps} steps, fmax {result.fmax:.4f} eV/Å"),
        ("barrier forward / eV", f"{result.barrier_forward:.4f}"),
        ("barrier backward / eV", f"{result.barrier_backward:.4f}"),
        ("reaction energy / eV", f"{result.reaction_energy:.4f}"),
        ("highest interpolated / eV", f"{result.fitted_energies.max():.4f}"),
        ("saddle" if result.climbed else "highest", where),
        ("length of the path / Å", f"{result.path[-1]:.3f}"),
    ]
    if result.modes is not None:
        rows.append(("lowest modes of the saddle / THz", modes_in_words(result)))
    return rows


def modes_in_words(result: NebResult) -> str:
    """Frequencies as people write them, an imaginary one with its i."""
    if result.modes is None:
        return "not looked for"
    return ", ".join(f"{abs(mode):.2f}{'i' if mode < -IMAGINARY else ''}" for mode in result.modes)
