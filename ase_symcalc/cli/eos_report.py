"""What is told of an equation of state: to a person in rows, to a program in a record."""

from __future__ import annotations

import argparse
from typing import Any

from ase import Atoms

from ase_symcalc.apps.eos import EosResult
from ase_symcalc.apps.eos_fit import EosFit
from ase_symcalc.apps.record import make_record

SHEARED = 0.2
"""GPa; a shape under more shear stress is not that of the minimum."""


def record_of(args: argparse.Namespace, atoms: Atoms, result: EosResult) -> dict[str, Any]:
    """Everything that can be known of the energies afterwards, units in the names."""
    results = {
        "best": result.best.name,
        "fits": {fit.name: _fit(fit) for fit in result.fits},
        "volume_angstrom3": result.volumes,
        "energy_eV": result.energies,
        "range_moved": result.moved,
        "converged": result.converged,
        "shear_stress_GPa": result.shear_stress,
        "plot": args.plot,
        "report": args.report,
    }
    record = make_record(
        "eos", atoms=atoms, settings=settings_of(args), results=results, calculator=atoms.calc
    )
    record["warnings"] += warnings_about(args, result)
    return record


def warnings_about(args: argparse.Namespace, result: EosResult) -> list[str]:
    """Sentences that a reader of these numbers must see."""
    sentences = []
    if result.moved:
        sentences.append(
            "the minimum was not well within the volumes around the structure that was given; the "
            "range was moved once, and the results are of the second one"
        )
    if result.shear_stress is not None and result.shear_stress > SHEARED and args.free != "shape":
        sentences.append(
            f"at the minimum the cell holds its shape under {result.shear_stress:.1f} GPa of shear "
            "stress; --free shape lets it go"
        )
    return sentences


def rows_of(result: EosResult) -> list[tuple[str, str]]:
    """Return what fits on a screen."""
    n_atoms = len(result.atoms)
    rows = []
    for fit in result.fits:
        name = f"{fit.name}, the nearer" if fit is result.best else fit.name
        rows += [
            (name, f"off by {fit.residual:.4f} meV/atom (root mean square)"),
            ("  V0 / (Å³/atom)", _with_error(fit.volume / n_atoms, fit.volume_error / n_atoms, 4)),
            ("  E0 / (eV/atom)", _with_error(fit.energy / n_atoms, fit.energy_error / n_atoms, 6)),
            ("  B0 / GPa", _with_error(fit.bulk_modulus, fit.bulk_modulus_error, 2)),
            ("  B0'", _with_error(fit.derivative, fit.derivative_error, 3)),
        ]
    first, last = result.volumes[[0, -1]] / n_atoms
    rows.append(("volumes / (Å³/atom)", f"{len(result.volumes)} from {first:.3f} to {last:.3f}"))
    rows.append(("±", "standard error of the fit alone, not of the choice of volumes"))
    return rows


def _with_error(value: float, error: float, digits: int) -> str:
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def _fit(fit: EosFit) -> dict[str, float]:
    return {
        "volume_angstrom3": fit.volume,
        "volume_error_angstrom3": fit.volume_error,
        "energy_eV": fit.energy,
        "energy_error_eV": fit.energy_error,
        "bulk_modulus_GPa": fit.bulk_modulus,
        "bulk_modulus_error_GPa": fit.bulk_modulus_error,
        "bulk_modulus_derivative": fit.derivative,
        "bulk_modulus_derivative_error": fit.derivative_error,
        "residual_meV_per_atom": fit.residual,
    }


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """All that the energies depend on, structure and potential apart."""
    return {
        "file": args.file,
        "relax": args.relax,
        "symprec_angstrom": args.symprec,
        "free": args.free,
        "range": args.range,
        "points": args.points,
        "fmax_eV_per_angstrom": args.fmax,
        "dtype": args.dtype,
        "symmetry": args.symmetry,
    }
