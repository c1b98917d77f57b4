"""``symcalc calibrate``: expected errors of forces, for a potential that has none."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "calibrate",
        help="store with a potential what errors of its forces are to be expected",
        description="Compare the data that a potential was trained on with its errors on the part "
        "held out, and write a copy that knows its uncertainty. A training does so at its end.",
    )
    parser.add_argument("potential", metavar="POTENTIAL", help="name or folder")
    parser.add_argument("config", metavar="FILE.toml", help="that it was trained with")
    parser.add_argument(
        "--data", metavar="FOLDER", help="that data files are relative to, if not the file's own"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", required=True, help="the copy; must not exist yet"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Copy, calibrate, and say what each element's force errors are like."""
    from shutil import copytree, rmtree

    from ase_symcalc.errors import InputError
    from ase_symcalc.potential_files import find_potential
    from ase_symcalc.training import read_config
    from ase_symcalc.training.calibrate import calibrate

    config = read_config(args.config, args.data)
    folder = find_potential(args.potential)
    if args.out.exists():
        raise InputError(f"expected a folder that does not exist yet, got --out {args.out}")
    copytree(folder, args.out)
    try:
        models = calibrate(args.out.absolute(), config)
    except BaseException:
        rmtree(args.out)
        raise
    for head, model in models.items():
        where = f"@{head}: " if head else ""
        print(f"{where}{len(model.elements)} elements, exponent {model.exponent:.2f}")
    print(f"written to {args.out}; use it as --potential {args.out}/")
    return 0
