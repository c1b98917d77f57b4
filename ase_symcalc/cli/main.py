"""``symcalc``: the table of commands, and how their failures read."""

from __future__ import annotations

import argparse
import shlex
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ase_symcalc import __version__
from ase_symcalc.cli import (
    calibrate,
    check,
    convert,
    describe,
    elastic,
    eos,
    evaluate,
    export,
    ipi,
    lammps,
    md,
    neb,
    phonons,
    potentials,
    qha,
    relax,
    screen,
    screen_store,
    surface,
    train,
    vacancy,
    vibrations,
)
from ase_symcalc.cli.stopping import INTERRUPTED

COMMANDS = (
    relax,
    md,
    eos,
    elastic,
    phonons,
    qha,
    vibrations,
    neb,
    vacancy,
    surface,
    describe,
    evaluate,
    screen,
    screen_store,
    ipi,
    lammps,
    potentials,
    train,
    calibrate,
    check,
    convert,
    export,
)

FAILED = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the return value is the exit code of ``symcalc``.

    Returns
    -------
    int
        0 done, 1 done but not converged, 2 refused or failed with a sentence on stderr,
        130 stopped by Ctrl-C.
    """
    words = sys.argv[1:] if arguments is None else arguments
    args = _parser().parse_args(_joined(words))
    args.command_line = shlex.join(["symcalc", *words])
    try:
        with _warnings_in_words(args):
            return args.run(args)
    except KeyboardInterrupt:
        print(f"symcalc {args.command}: stopped", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if not _is_for_people(error):
            raise
        print(f"symcalc {args.command}: {_sentence(error)}", file=sys.stderr)
        return FAILED


def _joined(words: Sequence[str]) -> Sequence[str]:
    """Let ``screen status`` be ``screen-status``; a folder of that name is ``./status``."""
    if len(words) > 1 and words[0] == "screen" and words[1] in screen_store.ACTIONS:
        return [f"screen-{words[1]}", *words[2:]]
    return words


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


@contextmanager
def _warnings_in_words(args: argparse.Namespace) -> Iterator[None]:
    """Print our own warnings as sentences, without the line of code; none if quiet."""
    from ase_symcalc.errors import OutsideTrainingWarning

    show = warnings.showwarning

    def in_words(message: Any, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, OutsideTrainingWarning):
            print(f"symcalc {args.command}: warning: {message}", file=sys.stderr)
        else:
            show(message, category, *where, **more)

    with warnings.catch_warnings():
        quiet = getattr(args, "quiet", False)
        warnings.simplefilter("ignore" if quiet else "always", OutsideTrainingWarning)
        warnings.showwarning = in_words
        yield


def _is_for_people(error: Exception) -> bool:
    """Whether the message says it all; anything else is a bug and keeps its traceback."""
    from ase.calculators.calculator import CalculatorError, PropertyNotImplementedError

    from ase_symcalc.errors import SymCalcError

    return isinstance(error, (SymCalcError, CalculatorError, PropertyNotImplementedError, OSError))


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)
