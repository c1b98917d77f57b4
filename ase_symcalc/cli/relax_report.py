"""What a person sees of a relaxation: a live line, a table; what a program reads: JSON."""

from __future__ import annotations

import argparse
import json
from types import TracebackType
from typing import Any

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ase_symcalc.apps.relax import Lattice, RelaxResult, RelaxStep
from ase_symcalc.cli.console import output
from ase_symcalc.potential_files import PotentialCard
from ase_symcalc.symmetry.idealise import Idealised


class ProgressLine:
    """On stderr: one live line on a terminal, a plain line per step elsewhere."""

    def __init__(self, *, quiet: bool = False, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self.console.quiet = quiet
        self.live = Live(console=self.console, refresh_per_second=10)
        self.n_images = 0

    def __enter__(self) -> ProgressLine:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.live.stop()

    def say(self, text: str) -> None:
        """Print a line above the live one."""
        self.console.print(text, markup=False, soft_wrap=True)

    def step(self, step: RelaxStep) -> None:
        """Show where the relaxation is."""
        self.n_images += 1
        text = f"step {step.step:4d}  energy {step.energy:.6f} eV  fmax {step.fmax:.5f} eV/Å"
        if step.max_stress is not None:
            text += f"  max stress {step.max_stress:.4f} GPa"
        if self.live.is_started:
            self.live.update(Text(text))
        else:
            self.say(text)


def print_summary(args: argparse.Namespace, result: RelaxResult, card: PotentialCard) -> None:
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
    preview = ", a preview: check its card before trusting numbers" if card.preview else ""
    lines = [
        f"{outcome} in {result.steps} steps with {card.name} {card.version}{preview}",
        f"structure   {args.out}",
        f"trajectory  {args.trajectory}",
    ]
    if args.plot:
        lines.append(f"plot        {args.plot}")
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def in_words(ideal: Idealised) -> str:
    """Say what was done to a structure before it was relaxed."""
    return (
        f"{ideal.space_group}; atoms moved by up to {ideal.atoms_moved:.2g} Å, cell vectors by up "
        f"to {ideal.cell_moved:.2g} Å; free are {ideal.free_strains} of 6 strains and "
        f"{ideal.free_coordinates} coordinates of atoms"
    )


def print_json(
    args: argparse.Namespace, result: RelaxResult, card: PotentialCard, ideal: Idealised | None
) -> None:
    """On stdout: the summary, its units in the names."""
    stress = result.max_stress
    summary = {
        "file": str(args.file),
        "potential": {"name": card.name, "version": card.version, "preview": card.preview},
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
        "lattice": {"before": _as_dict(result.initial), "after": _as_dict(result.final)},
        "structure": str(args.out),
        "trajectory": str(args.trajectory),
        "plot": str(args.plot) if args.plot else None,
    }
    print(json.dumps(summary, indent=2, allow_nan=False))


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
