"""``symcalc potentials``: what is shipped, and how far to trust it."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase_symcalc.potential_files import PotentialCard


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "potentials",
        help="list the potentials that are shipped",
        description="List the potentials found on this machine with their elements and their "
        "errors on held-out data. A preview is not meant for production.",
    )
    parser.add_argument("--json", action="store_true", help="print the whole cards as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the cards, as a table or as JSON."""
    from ase_symcalc.potential_files import list_potentials

    cards = list_potentials()
    if args.json:
        print(json.dumps([asdict(card) for card in cards], indent=2, default=dict))
    elif cards:
        _print_table(cards)
    else:
        print("no potential found; set ASE_SYMCALC_POTENTIALS to a folder that holds some")
    return 0


def _print_table(cards: Sequence[PotentialCard]) -> None:
    from rich.box import SIMPLE
    from rich.table import Table

    from ase_symcalc.cli.console import output

    table = Table("name", "elements", "cutoff / Å", "held-out data", box=SIMPLE)
    for title in ("meV/atom", "meV/Å", "GPa"):
        table.add_column(title, justify="right")
    for card in cards:
        marks = [name for name in ("default", "preview") if getattr(card, name)]
        marks += [f"@{head.name}" for head in card.heads]
        rows = card.accuracy
        table.add_row(
            "\n".join([f"{card.name} {card.version}", *(f"  {mark}" for mark in marks)]),
            " ".join(card.elements),
            f"{card.cutoff:g}",
            "\n".join(row.dataset for row in rows),
            "\n".join(f"{row.energy:.1f}" for row in rows),
            "\n".join(f"{row.forces:.0f}" for row in rows),
            "\n".join("-" if row.stress is None else f"{row.stress:.2f}" for row in rows),
        )
    console = output()
    console.print(table)
    console.print("Mean absolute errors per atom, force component and stress component.")
    if any(card.preview for card in cards):
        console.print("A preview is for trying out: read what its card says it is not for.")
