"""What a person sees of a relaxation: a line, a table, a page; what a program reads: JSON."""

from __future__ import annotations

import argparse
import json
import math
from itertools import zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from rich.box import SIMPLE
from rich.table import Table

from ase_symcalc.apps.record import make_record
from ase_symcalc.apps.relax import Lattice, RelaxResult, RelaxStep
from ase_symcalc.apps.relax_plot import plot_relaxation
from ase_symcalc.cli.console import output
from ase_symcalc.cli.html_report import write_report
from ase_symcalc.symmetry.idealise import Idealised


def step_in_words(step: RelaxStep) -> str:
    """Say where the relaxation is, in one line."""
    text = f"step {step.step:4d}  energy {step.energy:.6f} eV  fmax {step.fmax:.5f} eV/Å"
    if step.max_stress is not None:
        text += f"  max stress {step.max_stress:.4f} GPa"
    return text


def record_of(
    args: argparse.Namespace, atoms: Atoms, result: RelaxResult, ideal: Idealised | None
) -> dict[str, Any]:
    """Everything that can be known of the relaxation afterwards, units in the names."""
    stress = result.max_stress
    settings = {
        "file": args.file,
        "fmax_eV_per_angstrom": args.fmax,
        "cell": args.cell,
        "max_steps": args.max_steps,
        "optimizer": args.optimizer,
        "dtype": args.dtype,
        "symmetry": args.symmetry,
        "symprec_angstrom": args.symprec,
    }
    results = {
        "converged": result.converged,
        "steps": result.steps,
        "energy_eV": _ends(result.energies),
        "fmax_eV_per_angstrom": _ends(result.fmax),
        "max_stress_GPa": None if stress is None else _ends(stress),
        "idealised": ideal
        and {
            "space_group": ideal.space_group,
            "atoms_moved_angstrom": ideal.atoms_moved,
            "cell_moved_angstrom": ideal.cell_moved,
        },
        "largest_expected_force_error_eV_per_angstrom": largest_expected_error(result.atoms),
        "lattice": {"before": _as_dict(result.initial), "after": _as_dict(result.final)},
        "structure": args.out,
        "trajectory": args.trajectory,
        "plot": args.plot,
        "report": args.report,
    }
    return make_record(
        "relax", atoms=atoms, settings=settings, results=results, calculator=atoms.calc
    )


def largest_expected_error(atoms: Atoms) -> float | None:
    """Of the forces on a structure, eV/Å; None if its potential does not know or all are lost."""
    try:
        largest = float(atoms.calc.get_uncertainty(atoms).max())  # type: ignore[union-attr]
    except PropertyNotImplementedError:
        return None
    return largest if math.isfinite(largest) else None


def write_pictures(args: argparse.Namespace, result: RelaxResult, record: dict[str, Any]) -> None:
    """Draw the relaxation, and make the page, if they were asked for."""
    title = f"{args.file.name}, {record['potential']['name']}"
    if args.plot:
        plot_relaxation(result, args.plot, title=title)
    if not args.report:
        return
    with TemporaryDirectory() as folder:
        picture = args.plot or Path(folder) / "relax.png"
        if not args.plot:
            plot_relaxation(result, picture, title=title)
        write_report(
            args.report,
            title=f"Relaxation of {result.atoms.get_chemical_formula()} ({args.file.name})",
            record=record,
            atoms=result.atoms,
            pictures=[("Energy, largest force and largest stress of every step", picture)],
            table=_report_rows(result),
            command_line=args.command_line,
        )


def print_summary(args: argparse.Namespace, result: RelaxResult, record: dict[str, Any]) -> None:
    """On stdout: before and after, which potential, what was written."""
    console = output()
    table = Table(box=SIMPLE)
    table.add_column(result.atoms.get_chemical_formula())
    table.add_column("before", justify="right")
    table.add_column("after", justify="right")
    table.add_column("change", justify="right")
    for row in _rows(result):
        table.add_row(*row)
    console.print(table)
    outcome = "converged" if result.converged else "NOT converged"
    potential = record["potential"]
    name = f"{potential['name']} {potential['version']}"
    preview = ", a preview: check its card before trusting numbers" if potential["preview"] else ""
    lines = [
        f"{outcome} in {result.steps} steps with {name}{preview}",
        f"structure   {args.out}",
        f"trajectory  {args.trajectory}",
    ]
    expected = record["results"]["largest_expected_force_error_eV_per_angstrom"]
    if expected is not None:
        lines.insert(
            1, f"forces of the last structure are expected to be off by {expected:.3f} eV/Å at most"
        )
    if args.plot:
        lines.append(f"plot        {args.plot}")
    if args.report:
        lines.append(f"report      {args.report}")
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def in_words(ideal: Idealised) -> str:
    """Say what was done to a structure before it was relaxed."""
    return (
        f"{ideal.space_group}; atoms moved by up to {ideal.atoms_moved:.2g} Å, cell vectors by up "
        f"to {ideal.cell_moved:.2g} Å; free are {ideal.free_strains} of 6 strains and "
        f"{ideal.free_coordinates} coordinates of atoms"
    )


def print_json(record: dict[str, Any]) -> None:
    """On stdout: the record."""
    print(json.dumps(record, indent=2, allow_nan=False))


def _report_rows(result: RelaxResult) -> list[tuple[str, str]]:
    outcome = f"{'' if result.converged else 'not '}converged in {result.steps} steps"
    rows = [(name, _before_and_after(*columns)) for name, *columns in _rows(result)]
    return [("outcome", outcome), *rows]


def _before_and_after(*columns: str) -> str:
    """Join the lines of the three columns of a table."""
    lines = zip_longest(*(column.split("\n") for column in columns), fillvalue="")
    return "\n".join(
        f"{before} → {after}{f' ({change})' if change else ''}" for before, after, change in lines
    )


def _rows(result: RelaxResult) -> list[tuple[str, str, str, str]]:
    rows = []
    if result.initial is not None and result.final is not None:
        rows += _lattice_rows(result.initial, result.final)
    energy, fmax = result.energies, result.fmax
    for name, values in (("energy / eV", energy), ("per atom / eV", energy / len(result.atoms))):
        before, after = values[0], values[-1]
        rows.append((name, f"{before:.6f}", f"{after:.6f}", f"{after - before:+.6f}"))
    rows.append(("fmax / (eV/Å)", f"{fmax[0]:.5f}", f"{fmax[-1]:.5f}", ""))
    if (stress := result.max_stress) is not None:
        rows.append(("max stress / GPa", f"{stress[0]:.4f}", f"{stress[-1]:.4f}", ""))
    return rows


def _lattice_rows(before: Lattice, after: Lattice) -> list[tuple[str, str, str, str]]:
    growth = 100 * (after.volume / before.volume - 1)
    rows = [
        _vector_row("a, b, c / Å", before.lengths, after.lengths, 4),
        _vector_row("angles / °", before.angles, after.angles, 3),
        ("volume / Å³", f"{before.volume:.3f}", f"{after.volume:.3f}", f"{growth:+.2f} %"),
    ]
    if before.space_group is not None and after.space_group is not None:
        rows.append(("space group", before.space_group, after.space_group, ""))
    return rows


def _vector_row(
    name: str, before: np.ndarray, after: np.ndarray, digits: int
) -> tuple[str, str, str, str]:
    """One line per vector of the cell."""
    columns = ["\n".join(f"{value:.{digits}f}" for value in values) for values in (before, after)]
    change = "\n".join(f"{value:+.{digits}f}" for value in after - before)
    return name, columns[0], columns[1], change


def _ends(values: Any) -> dict[str, float]:
    return {"before": float(values[0]), "after": float(values[-1])}


def _as_dict(lattice: Lattice | None) -> dict[str, Any] | None:
    if lattice is None:
        return None
    return {
        "lengths_angstrom": lattice.lengths.tolist(),
        "angles_degree": lattice.angles.tolist(),
        "volume_angstrom3": lattice.volume,
        "space_group": lattice.space_group,
    }
