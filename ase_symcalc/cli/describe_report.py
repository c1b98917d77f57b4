"""What a person sees of environments, and what a program reads."""

from __future__ import annotations

import argparse
import json
from typing import Any

from ase import Atoms
from rich.table import Table

from ase_symcalc.analysis import Environments
from ase_symcalc.apps.record import make_record
from ase_symcalc.cli.console import output

MOST_ROWS = 20

SETTINGS = {
    "file": "file",
    "descriptor": "descriptor",
    "cutoff": "cutoff_angstrom",
    "lmax": "lmax",
    "radial": "radial_functions",
    "method": "method",
    "threshold": "threshold",
    "min_size": "min_size",
    "tolerance": "tolerance_angstrom",
    "atom": "atom",
}


def record_of(
    args: argparse.Namespace, atoms: Atoms, found: Environments, calculator: Any
) -> dict[str, Any]:
    """Everything that can be known of the environments afterwards."""
    results = {
        "n_frames": len(found.images),
        "groups": [
            {
                "number": g + 1,
                "name": name,
                "atoms_in_last_frame": int((found.groups[-1] == g).sum()),
            }
            for g, name in enumerate(found.group_names())
        ],
        "group_of_atom": found.groups + (found.groups >= 0),
        "label_of_atom": found.labels,
        "distance_from_reference": found.distances,
        "label_fractions": found.fractions(),
        "orbit_of_atom": found.orbits,
        "groups_and_orbits": found.against_orbits(),
        "picture": args.plot,
        "page": args.report,
    }
    record = make_record(
        "describe",
        atoms=atoms,
        settings={name: getattr(args, key) for key, name in SETTINGS.items()},
        results=results,
        calculator=calculator,
    )
    if calculator is None:
        record["potential"] = None
    return record


def print_table(
    args: argparse.Namespace, record: dict[str, Any], found: Environments, title: str
) -> None:
    """Print the record if ``--json``, else a table, unless ``--quiet``."""
    if args.json:
        print(json.dumps(record, indent=2, ensure_ascii=False))
        return
    if args.quiet:
        return
    table = Table(title=title, title_justify="left")
    for name in ("group", "atoms", "named", "Wyckoff orbits"):
        table.add_column(name)
    groups = record["results"]["groups"]
    for group in groups[:MOST_ROWS]:
        mine = found.groups[-1] == group["number"] - 1
        orbits = sorted({o for o, m in zip(found.orbits or (), mine, strict=False) if m})
        words = ", ".join(orbits[:6]) + (f" and {len(orbits) - 6} more" if orbits[6:] else "")
        table.add_row(str(group["number"]), str(int(mine.sum())), group["name"], words or "none")
    if groups[MOST_ROWS:]:
        atoms = sum(group["atoms_in_last_frame"] for group in groups[MOST_ROWS:])
        table.add_row("", str(atoms), f"in {len(groups) - MOST_ROWS} smaller groups", "")
    alone = int((found.groups[-1] < 0).sum())
    if alone:
        table.add_row("none", str(alone), "", "")
    console = output()
    console.print(table)
    sentences = found.against_orbits()
    for sentence in sentences[:MOST_ROWS]:
        console.print(sentence, markup=False, soft_wrap=True)
    if sentences[MOST_ROWS:]:
        console.print(f"and {len(sentences) - MOST_ROWS} more such, in {args.out}", markup=False)
    for name, values in found.fractions().items():
        course = f"{100 * values[0]:.0f} %"
        if len(values) > 1:
            course += f" in the first frame, {100 * values[-1]:.0f} % in the last"
        console.print(f"{name}: {course}", markup=False)
    for path in (args.out, args.plot, args.report):
        console.print(f"written: {path}", markup=False, soft_wrap=True)
