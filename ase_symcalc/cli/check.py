"""``symcalc check``: whether a potential keeps the laws that every potential must."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase_symcalc.testing import Check

FAILED = 1
ROUNDING = {"float64": 1e-10, "float32": 1e-4}  # eV/atom, eV/Å, eV/Å³


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "check",
        help="check that forces are gradients, invariance, extensivity, ...",
        description="Run the assertions of ase_symcalc.testing on small structures of the "
        "potential's own elements and pairs, and print a table. Exit code 1 means that one "
        "failed. Says nothing about how accurate the potential is.",
    )
    parser.add_argument("potential", metavar="POTENTIAL", help="name, folder or checkpoint")
    parser.add_argument(
        "--dtype",
        choices=tuple(ROUNDING),
        default="float64",
        help="precision of the network (default: float64, which shows the smallest mistakes)",
    )
    parser.add_argument(
        "--most",
        type=int,
        default=8,
        metavar="N",
        help="elements, and pairs of elements, looked at (default: at most 8)",
    )
    parser.add_argument(
        "--distances",
        action="store_true",
        help="instead, bring two atoms together from the cutoff to 0.2 Å and squeeze crystals to "
        "half of their volume: is there a wall, are there holes?",
    )
    # warnings would say no more than that these structures are made up
    parser.set_defaults(run=run, quiet=True)


def run(args: argparse.Namespace) -> int:
    """Check; 0 when all passed, 1 when not."""
    from ase_symcalc.calculator import SymCalc
    from ase_symcalc.cli.progress import Progress
    from ase_symcalc.errors import InputError
    from ase_symcalc.testing import check, check_distances, structures_of

    if args.most < 1:
        raise InputError(f"expected --most to be at least 1, got {args.most}")
    calc = SymCalc(args.potential, dtype=args.dtype)
    (potential,) = calc.potentials
    with Progress() as progress:

        def on_check(one: Check) -> None:
            progress.update(f"{one.structure}: {one.name}")

        if args.distances:
            checks = check_distances(calc, potential.card, args.most, on_check)
        else:
            checks = check(
                calc,
                structures_of(potential.card, args.most),
                mirror=potential.model.group == "O3",
                tolerance=ROUNDING[args.dtype],
                on_check=on_check,
            )
    _print_table(checks)
    return 0 if all(one.passed for one in checks) else FAILED


def _print_table(checks: Sequence[Check]) -> None:
    from rich.box import SIMPLE
    from rich.table import Table

    from ase_symcalc.cli.console import output

    names = list(dict.fromkeys(one.name for one in checks))
    table = Table("structure", *names, box=SIMPLE)
    for structure in dict.fromkeys(one.structure for one in checks):
        own = {one.name: one for one in checks if one.structure == structure}
        said = {name: "passed" if one.passed else "FAILED" for name, one in own.items()}
        table.add_row(structure, *(said.get(name, "") for name in names))
    console = output()
    console.print(table)
    failed = [one for one in checks if not one.passed]
    for one in failed:
        words = f"{one.structure}, {one.name}: {one.error}"
        console.print(words, markup=False, soft_wrap=True)
    console.print(f"{len(checks) - len(failed)} of {len(checks)} checks passed")
