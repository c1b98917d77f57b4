"""What Ctrl-C leaves of a run, and how the run goes on."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import TracebackType

    from ase import Atoms

    from ase_symcalc.cli.progress import Progress

INTERRUPTED = 130
"""128 + SIGINT, as shells report it"""

OWN = ("command", "structure", "settings", "potential")
"""What a run that goes on must have in common with the one that was stopped."""


def add_resume_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--resume``, for a run that keeps its `Partial`."""
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the parts that a run which was stopped had done",
    )


def with_resume(args: argparse.Namespace) -> str:
    """Build the same command that goes on."""
    words = shlex.split(args.command_line)
    return shlex.join(words if args.resume else [*words, "--resume"])


class Partial(dict[str, Any]):
    """Parts of a run, written to NAME.partial.json beside the results as soon as they are done.

    The file says what it belongs to: structure, settings, potential. A run that is refused
    removes it; Ctrl-C, a kill and a full disk leave it.

    Parameters
    ----------
    args : argparse.Namespace
        With the outputs settled.
    command : str
    atoms : Atoms
        As given, with the calculator attached.
    settings : mapping
        All that the parts depend on.

    Raises
    ------
    InputError
        If they are to go on from a file that is not there, or is of another run.
    """

    def __init__(
        self, args: argparse.Namespace, command: str, atoms: Atoms, settings: dict[str, Any]
    ) -> None:
        from ase_symcalc.apps.record import make_record

        super().__init__()
        self.args = args
        self.path = args.out.with_name(f"{args.out.stem}.partial.json")
        settings = {name: value for name, value in settings.items() if name != "file"}
        record = make_record(
            command, atoms=atoms, settings=settings, results={}, calculator=atoms.calc
        )
        self.own = {name: record[name] for name in OWN}
        if args.resume:
            self.update(self._read())

    def __setitem__(self, name: str, part: Any) -> None:
        """Write it with all others."""
        super().__setitem__(name, part)
        self._write()

    def __enter__(self) -> Partial:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        from ase_symcalc.errors import SymCalcError

        if self and isinstance(error, SymCalcError):  # it would come again
            self.discard()

    def discard(self) -> None:
        """Remove the file: what it is for is written."""
        self.path.unlink(missing_ok=True)

    def stopped(self, progress: Progress) -> int:
        """Say what there is, and how to go on."""
        if not self:
            progress.say(
                "stopped; nothing was written, for no part was done. "
                f"`{self.args.command_line}` starts anew"
            )
            return INTERRUPTED
        self._write()  # Ctrl-C may have come before the last part was
        parts = f"{len(self)} parts are" if len(self) > 1 else "one part is"
        progress.say(
            f"stopped; {parts} done (the last: {list(self)[-1]}) and in {self.path}. To go on: "
            f"{with_resume(self.args)}"
        )
        return INTERRUPTED

    def _write(self) -> None:
        from ase_symcalc.apps.record import write_json

        write_json(self.path, {**self.own, "complete": False, "parts": self})

    def _read(self) -> dict[str, Any]:
        from ase_symcalc.errors import InputError
        from ase_symcalc.potential_files.tables import read_json

        if not self.path.is_file():
            raise InputError(
                f"--resume goes on from {self.path}, which does not exist; leave --resume out"
            )
        try:
            written = read_json(self.path.read_bytes())
            parts = dict(written["parts"])
            others = [name for name in OWN if written[name] != self.own[name]]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.path} is not what a stopped run leaves; remove it, and leave --resume out"
            ) from error
        if others:
            raise InputError(
                f"{self.path} is of another run: not the same {' and '.join(others)}. Give the "
                "same command as then, or leave --resume out to start anew"
            )
        return parts
