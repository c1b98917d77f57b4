"""Options that several commands have in common."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase import Atoms

    from ase_symcalc.calculator import SymCalc

CALCULATOR_DEFAULTS = {"potential": "default", "dtype": "float64", "symmetry": "auto"}

IN_A_PAGE = (".png", ".svg")
"""Pictures that a browser shows."""


def add_calculator_options(parser: argparse.ArgumentParser) -> None:
    """Add what `calculator` needs."""
    parser.add_argument("--potential", help="name or folder; see `symcalc potentials`")
    parser.add_argument(
        "--dtype",
        choices=("float64", "float32"),
        help="precision of the network (default: float64, which small forces need)",
    )
    parser.add_argument(
        "--symmetry",
        type=_symmetry,
        help="symmetry the calculator may use: auto, off, or a tolerance in Å (default: auto)",
    )
    parser.set_defaults(**CALCULATOR_DEFAULTS)


def add_output_options(parser: argparse.ArgumentParser, *, json_name: str) -> None:
    """Add where results go, and how much is said; ``json_name`` is the default, for the help."""
    picture = str(Path(json_name).with_suffix(".png"))
    parser.add_argument(
        "--out", type=Path, metavar="FILE.json", help=f"results (default: {json_name})"
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE.png", help=f"picture (default: {picture})"
    )
    add_report_option(parser)
    add_talk_options(parser)


def add_report_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--report``."""
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE.html",
        help="one page with structure, results, pictures, warnings, and how to do it again",
    )


def add_talk_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--quiet`` and ``--json``."""
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")


def calculator(args: argparse.Namespace) -> SymCalc:
    """Load the potential, as the options say.

    Raises
    ------
    ase.calculators.calculator.InputError, ase.calculators.calculator.CalculatorSetupError
        As `SymCalc`.
    """
    from ase_symcalc.calculator import SymCalc

    return SymCalc(args.potential, dtype=args.dtype, symmetry=args.symmetry)


def settle_outputs(args: argparse.Namespace, command: str, atoms: Atoms) -> None:
    """Fill in the names that were not given, and check all before anything is computed.

    Raises
    ------
    InputError
        If there is nothing to compute, or an output cannot be written under its name.
    """
    from ase_symcalc.cli.structure_files import check_distinct, check_output
    from ase_symcalc.errors import InputError

    if len(atoms) == 0:
        raise InputError(f"{args.file} holds a structure without atoms; expected at least one")
    args.out = args.out or Path(f"{args.file.stem}-{command}.json")
    args.plot = args.plot or Path(f"{args.file.stem}-{command}.png")
    if args.out.suffix != ".json":
        raise InputError(f"expected results in a file ending in .json; got --out {args.out}")
    check_output(args.out, args.file)
    check_distinct([args.out, *settle_pictures(args)])


def settle_pictures(args: argparse.Namespace) -> list[Path]:
    """Check ``--plot`` and ``--report``, and return those that are given.

    Raises
    ------
    InputError
    """
    from ase_symcalc.apps.relax_plot import PICTURES
    from ase_symcalc.cli.structure_files import check_output
    from ase_symcalc.errors import InputError

    if args.plot and args.plot.suffix not in PICTURES:
        known = ", ".join(PICTURES)
        raise InputError(f"expected a picture ending in one of {known}; got {args.plot}")
    if args.report and args.report.suffix not in (".html", ".htm"):
        raise InputError(f"expected a report ending in .html; got {args.report}")
    if args.report and args.plot and args.plot.suffix not in IN_A_PAGE:
        known = " or ".join(IN_A_PAGE)
        raise InputError(f"the report shows the picture, so it must end in {known}: {args.plot}")
    given = [path for path in (args.plot, args.report) if path]
    for path in given:
        check_output(path, args.file)
    return given


def words_of(args: argparse.Namespace, defaults: Mapping[str, Any]) -> list[str]:
    """Options whose values are not the defaults, as they would be typed."""
    words = []
    for name, default in defaults.items():
        if (value := getattr(args, name)) != default:
            option = name.replace("_", "-")
            words += [f"--no-{option}"] if value is False else [f"--{option}", str(value)]
    return words


def _symmetry(text: str) -> str | float:
    if text in ("auto", "off"):
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected auto, off or a tolerance in Å, got {text!r}"
        ) from None
