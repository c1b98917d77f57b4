"""What a person sees of vacancies, and what a program reads."""

from __future__ import annotations

import argparse
from typing import Any

from ase import Atoms

from ase_symcalc.apps.record import make_record
from ase_symcalc.apps.vacancy import Hop, VacancyResult, VacantSite
from ase_symcalc.cli.neb_report import modes_in_words, results_of


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """All that the vacancies depend on, structure and potential apart."""
    return {
        "file": args.file,
        "min_length_angstrom": args.min_length,
        "mu_eV": dict(args.mu),
        "relax_bulk": args.relax_bulk,
        "migration": args.migration,
        "images": args.images,
        "fmax_eV_per_angstrom": args.fmax,
        "max_steps": args.max_steps,
        "dtype": args.dtype,
        "symmetry": args.symmetry,
    }


def record_of(args: argparse.Namespace, atoms: Atoms, result: VacancyResult) -> dict[str, Any]:
    """Everything that can be known of the vacancies afterwards, units in the names."""
    results = {
        "converged": result.converged,
        "bulk_energy_eV_per_atom": result.bulk_energy,
        "cell_angstrom": result.bulk.cell.array,
        "supercell_atoms": result.n_atoms,
        "image_distance_angstrom": result.image_distance,
        "sites": [_site(site) for site in result.sites],
        "trajectory": args.trajectory,
        "plot": args.plot,
        "report": args.report,
    }
    record = make_record(
        "vacancy", atoms=atoms, settings=settings_of(args), results=results, calculator=atoms.calc
    )
    record["warnings"] += result.warnings
    return record


def _site(site: VacantSite) -> dict[str, Any]:
    hop = site.hop and {"distance_angstrom": site.hop.distance, **results_of(site.hop.path)}
    return {
        "element": site.element,
        "wyckoff": f"{site.multiplicity}{site.letter}",
        "formation_energy_eV": site.formation,
        "formation_energy_unrelaxed_eV": site.formation_fixed,
        "chemical_potential_eV": site.chemical_potential,
        "removal_energy_eV": site.removal,
        "removal_energy_unrelaxed_eV": site.removal_fixed,
        "converged": site.converged,
        "hop": hop,
    }


def hops_of(result: VacancyResult) -> list[Hop]:
    """Those that were computed."""
    return [site.hop for site in result.sites if site.hop is not None]


def rows_of(result: VacancyResult) -> list[tuple[str, str]]:
    """Quantities and values for a table."""
    rows = [
        ("supercell", f"{result.n_atoms} atoms, images {result.image_distance:.2f} Å apart"),
        ("crystal / (eV/atom)", f"{result.bulk_energy:.6f}"),
    ]
    for site in result.sites:
        name = f"{site.element} on {site.multiplicity}{site.letter}"
        if site.formation is None or site.formation_fixed is None:
            rows.append((f"{name}: removal energy / eV", f"{site.removal:.4f}"))
            rows.append(("    before relaxation", f"{site.removal_fixed:.4f}"))
        else:
            rows.append((f"{name}: formation energy / eV", f"{site.formation:.4f}"))
            rows.append(("    before relaxation", f"{site.formation_fixed:.4f}"))
        if site.hop is not None:
            path = site.hop.path
            barriers = f"{path.barrier_forward:.4f}"
            if abs(path.reaction_energy) > 1e-4:
                barriers += f", back {path.barrier_backward:.4f}"
            rows.append((f"    hop over {site.hop.distance:.3f} Å: barrier / eV", barriers))
            rows.append(("    lowest modes of its saddle / THz", modes_in_words(path)))
    return rows
