"""What a person sees of surfaces, and what a program reads."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from ase import Atoms

from ase_symcalc.apps.record import make_record
from ase_symcalc.apps.surface import SurfaceResult, Termination, in_words


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """All that the surfaces depend on, structure and potential apart."""
    return {
        "file": args.file,
        "hkl": args.hkl,
        "min_thickness_angstrom": args.min_thickness,
        "vacuum_angstrom": args.vacuum,
        "unlike_faces": args.unlike_faces,
        "relax_bulk": args.relax_bulk,
        "fmax_eV_per_angstrom": args.fmax,
        "max_steps": args.max_steps,
        "dtype": args.dtype,
        "symmetry": args.symmetry,
    }


def record_of(args: argparse.Namespace, atoms: Atoms, result: SurfaceResult) -> dict[str, Any]:
    """Everything that can be known of the surfaces afterwards, units in the names."""
    results = {
        "converged": result.converged,
        "hkl": result.hkl,
        "cell_of_hkl_angstrom": result.cell,
        "bulk_energy_eV_per_atom": result.bulk_energy,
        "terminations": [_termination(each) for each in result.terminations],
        "left_out": [in_words(cut) for cut in result.left_out],
        "trajectory": args.trajectory,
        "plot": args.plot,
        "report": args.report,
    }
    record = make_record(
        "surface", atoms=atoms, settings=settings_of(args), results=results, calculator=atoms.calc
    )
    record["warnings"] += result.warnings
    return record


def _termination(each: Termination) -> dict[str, Any]:
    fixed, relaxed = each.in_j_per_m2
    cut = asdict(each.cut)
    return {
        "outermost": cut["top"],
        "gap_angstrom": cut["gap"],
        "like_faces": cut["symmetric"],
        "dipole_if_ions": cut["polar"],
        "energy_J_per_m2": relaxed,
        "energy_eV_per_angstrom2": each.energy,
        "energy_unrelaxed_J_per_m2": fixed,
        "energy_unrelaxed_eV_per_angstrom2": each.energy_fixed,
        "layers": each.layers,
        "thickness_angstrom": each.thickness,
        "area_angstrom2": each.area,
        "fitted_bulk_energy_eV_per_atom": each.fitted_bulk_energy,
        "converged": each.converged,
    }


def rows_of(result: SurfaceResult) -> list[tuple[str, str]]:
    """Quantities and values for a table."""
    lengths = ", ".join(f"{value:.4f}" for value in Atoms(cell=result.cell).cell.lengths())
    rows = [
        ("indices refer to a, b, c / Å", lengths),
        ("crystal / (eV/atom)", f"{result.bulk_energy:.6f}"),
    ]
    for each in result.terminations:
        fixed, relaxed = each.in_j_per_m2
        thin, thick = each.thickness
        rows += [
            (in_words(each.cut), ""),
            ("    energy / (J/m²)", f"{relaxed:.4f}"),
            ("    energy / (eV/Å²)", f"{each.energy:.5f}"),
            ("    before relaxation / (J/m²)", f"{fixed:.4f}"),
            ("    slabs", f"{thin:.1f} and {thick:.1f} Å, face of {each.area:.3f} Å²"),
        ]
    rows += [(f"left out: {in_words(cut)}", "") for cut in result.left_out]
    return rows
