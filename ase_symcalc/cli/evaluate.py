"""``symcalc evaluate``: energy, forces and stress of every structure of a file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "evaluate",
        help="energy, forces and stress of every structure of a file",
        description="Evaluate every structure of a file. If they carry reference energies, "
        "forces or stresses, print the errors against them too.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="any format ASE reads")
    parser.add_argument(
        "--potential", default="default", help="name or folder; see `symcalc potentials`"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE.extxyz", help="write the structures with their results"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Evaluate, write if asked to, print."""
    from ase.io import write

    from ase_symcalc.cli.evaluate_report import labelled, print_json, print_tables
    from ase_symcalc.cli.structure_files import check_output, read_images
    from ase_symcalc.errors import InputError
    from ase_symcalc.evaluation import evaluate
    from ase_symcalc.potential_files import load_potential

    images = list(read_images(args.file))
    if args.out:
        if args.out.suffix not in (".extxyz", ".xyz"):
            raise InputError(f"expected --out to end in .extxyz or .xyz, got {args.out}")
        check_output(args.out, args.file)
    potential = load_potential(args.potential)
    results = evaluate(images, potential)
    if args.out:
        write(args.out, labelled(images, results), format="extxyz")
    show = print_json if args.json else print_tables
    show(args, images, results, potential.card)
    return 0
