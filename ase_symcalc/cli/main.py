"""``symcalc``: the table of commands, and how their failures read."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ase_symcalc import __version__
from ase_symcalc.cli import convert, evaluate, potentials, relax, train

COMMANDS = (relax, evaluate, potentials, train, convert)

FAILED = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells report it


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the return value is the exit code of ``symcalc``.

    Returns
    -------
    int
        0 done, 1 done but not converged, 2 refused or failed with a sentence on stderr,
        130 stopped by Ctrl-C.
    """
    args = _parser().parse_args(arguments)
    try:
        return args.run(args)
    except KeyboardInterrupt:
        print(f"symcalc {args.command}: stopped", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if not _is_for_people(error):
            raise
        print(f"symcalc {args.command}: {_sentence(error)}", file=sys.stderr)
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="symcalc",
        description="Relax and evaluate structures with equivariant potentials, and train them.",
        epilog="symcalc COMMAND --help says more about a command.",
    )
    parser.add_argument("--version", action="version", version=f"symcalc {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def _is_for_people(error: Exception) -> bool:
    """Whether the message says it all; anything else is a bug and keeps its traceback."""
    from ase.calculators.calculator import CalculatorError, PropertyNotImplementedError

    from ase_symcalc.errors import SymCalcError

    return isinstance(error, (SymCalcError, CalculatorError, PropertyNotImplementedError, OSError))


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
