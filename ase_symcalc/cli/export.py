"""``symcalc export``: a potential in the form that another program reads."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "export",
        help="write the file that another program reads a potential from",
        description="Write the file for `pair_style mliap unified` of LAMMPS. It holds the name "
        "of the potential and its digest: the Python inside LAMMPS must find this package and "
        "the potential.",
    )
    parser.add_argument("program", choices=("lammps",), help="which program")
    parser.add_argument("potential", metavar="POTENTIAL", help="name, folder or checkpoint")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.pkl", help="what to write")
    parser.add_argument(
        "--dtype",
        choices=("float64", "float32"),
        default="float64",
        help="precision of the network (default: float64)",
    )
    parser.add_argument(
        "--ghost-neighbours",
        action="store_true",
        help="for a LAMMPS without Kokkos: more ghosts in the place of messages; slower",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the file, and say how LAMMPS uses it."""
    from ase_symcalc.cli.structure_files import check_writable
    from ase_symcalc.integrations.mliap import MLIAPPotential

    check_writable(args.out)
    exported = MLIAPPotential(
        args.potential, dtype=args.dtype, ghost_neighbours=args.ghost_neighbours
    )
    exported.save(args.out)
    print(f"written to {args.out}; an input of LAMMPS uses it like this:")
    for line in exported.input_lines(args.out):
        print(f"    {line}")
    return 0
