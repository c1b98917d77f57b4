"""An ordinary LAMMPS input, and the two lines in it that are ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ase.data import atomic_numbers

from ase_symcalc.errors import InputError

STYLE = "symcalc"
RUNS = ("run", "minimize", "rerun", "neb", "dynamical_matrix", "third_order", "temper")
"""Commands that ask for forces."""

_AFTERWARDS = {
    "clear": "a new box needs a run of its own",
    "kspace_style": "it has no long-range part of its own, and a charge means nothing to it",
    "pair_style": "it is the only pair style there is from its line on",
}
"""What cannot follow the potential, and why."""


class Command(NamedTuple):
    """A command, perhaps of several lines of a file."""

    text: str
    """as it stands there"""
    words: tuple[str, ...]
    """of its first line, without comments"""
    where: str
    """file and line"""

    def refuse(self, why: str) -> InputError:
        """Return an error that names the place."""
        return InputError(f"{self.where}: {why}")


@dataclass(frozen=True, slots=True)
class LammpsInput:
    """Commands of an input, cut where the potential comes in."""

    before: Sequence[Command]
    """up to the line ``pair_style symcalc``"""
    style: Command
    between: Sequence[Command]
    coefficients: Command
    after: Sequence[Command]

    @classmethod
    def read(cls, path: Path) -> LammpsInput:
        """Read a file, and what it includes if the potential is there.

        Parameters
        ----------
        path : Path
            With one line ``pair_style symcalc NAME_OR_FOLDER`` and, after it, one
            ``pair_coeff * *`` with the element of each atom type.

        Raises
        ------
        InputError
            If one of them is missing, comes twice, or something is asked for that does not go
            together with them; the message names the line.
        OSError
            If the file cannot be read.
        """
        commands = list(_flat(path, ()))
        styles = [n for n, one in enumerate(commands) if _is_ours(one)]
        if not styles:
            raise InputError(
                f"{path}: expected a line `pair_style {STYLE} NAME`, with the name or folder of a "
                "potential, and found none outside of `if` and loops over files"
            )
        at = styles[0]
        style = commands[at]
        if style.words[1] != STYLE:
            raise style.refuse(
                f"expected `pair_style {STYLE} NAME` alone: it is no part of hybrid pair styles"
            )
        following = (n for n, one in enumerate(commands) if n > at and one.words[0] == "pair_coeff")
        end = next(following, None)
        if end is None:
            raise style.refuse(
                "expected a line `pair_coeff * *` after it, with the element of each atom type"
            )
        for one in commands[at + 1 :]:
            _check_afterwards(one, is_second=one.words[0] == "pair_coeff" and one != commands[end])
        for one in commands:
            _check(one)
        return cls(commands[:at], style, commands[at + 1 : end], commands[end], commands[end + 1 :])

    def until_first_run(self) -> Sequence[Command]:
        """Commands after the potential is complete, up to the first that asks for forces."""
        runs = [n for n, one in enumerate(self.after) if one.words[0] in RUNS]
        return self.after[: runs[0]] if runs else self.after


@dataclass(frozen=True, slots=True)
class Style:
    """What the line of the potential says."""

    potential: str
    dtype: str = "float64"
    device: str = "cpu"

    @classmethod
    def of(cls, command: Command, expand: Callable[[str], str]) -> Style:
        """Read ``pair_style symcalc NAME [dtype float32] [device cuda]``.

        Parameters
        ----------
        command : Command
        expand : callable
            Puts in the values of variables.

        Raises
        ------
        InputError
        """
        _, _, *words = expand(" ".join(command.words)).split()
        options = dict(zip(words[1::2], words[2::2], strict=False))
        if len(words) % 2 == 0 or not options.keys() <= {"dtype", "device"}:
            raise command.refuse(
                f"expected `pair_style {STYLE} NAME`, and perhaps `dtype float32` or "
                f"`device cuda` after it; got `{' '.join(command.words)}`"
            )
        return cls(words[0], **options)


def elements_of(
    command: Command, expand: Callable[[str], str], n_types: int, known: Iterable[str]
) -> tuple[str, ...]:
    """Read ``pair_coeff * * Cu Ag``: the element of each atom type.

    Raises
    ------
    InputError
        If they are not as many as there are types, or the potential does not know one.
    """
    _, *words = expand(" ".join(command.words)).split()
    symbols = tuple(words[2:])
    if words[:2] != ["*", "*"] or len(symbols) != n_types:
        raise command.refuse(
            f"expected `pair_coeff * *` with {n_types} "
            f"{'element' if n_types == 1 else 'elements'}, one for each atom type; "
            f"got `{' '.join(command.words)}`"
        )
    known = list(known)
    for symbol in symbols:
        if symbol not in known:
            what = "knows" if symbol in atomic_numbers else "can know; symbols are as in Cu"
            raise command.refuse(
                f"{symbol} is no element that the potential {what}; it knows {', '.join(known)}"
            )
    return symbols


def said(message: str) -> str:
    """Make the end of a sentence of an error of LAMMPS."""
    error, *_ = message.splitlines()
    sentence = re.sub(r"^ERROR( on proc \d+)?: |\s*\(src/\S+\)$", "", error).rstrip(".")
    hint = ""
    if "Label wasn't found" in sentence:
        hint = f"; a jump cannot cross the lines of `pair_style {STYLE}` and its pair_coeff"
    return f"LAMMPS says: {sentence}{hint}"


def located(message: str, commands: Sequence[Command]) -> str:
    """Make a sentence of an error of LAMMPS, with the place in the input if it can be found."""
    marks = [line for line in message.splitlines() if line.startswith("Last input line: ")]
    line = marks[0].removeprefix("Last input line: ").split() if marks else []
    where = next((one.where for one in commands if line and _plain(one.text) == line), None)
    if where is None:
        where = f"at `{' '.join(line)}`" if line else "in the input"
    return f"{where}: {said(message)}"


def _flat(path: Path, parents: tuple[Path, ...]) -> Iterator[Command]:
    """Commands of a file; those of a file that it includes, if it speaks of potentials."""
    if path in parents:
        raise InputError(f"{path} includes itself")
    for one in _commands(path):
        inner = Path(one.words[1]) if one.words[0] == "include" and len(one.words) > 1 else None
        if inner and inner.is_file():
            included = list(_flat(inner, (*parents, path)))
            if any(one.words[0] in ("pair_style", "pair_coeff") for one in included):
                yield from included
                continue
        yield one


def _commands(path: Path) -> Iterator[Command]:
    """Cut a file into commands: ``&`` and triple quotes make one of several lines."""
    parts: list[str] = []
    start = 1
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        start = start if parts else number
        parts.append(line)
        text = "\n".join(parts)
        if line.rstrip().endswith("&") or text.count('"""') % 2:
            continue
        if words := _plain(text):
            yield Command(text, tuple(words), f"{path}, line {start}")
        parts = []
    if parts:
        raise InputError(f"{path}, line {start}: expected the command to end, but the file does")


def _plain(text: str) -> list[str]:
    """Words of a command, without comments and marks of continuation."""
    whole = re.sub(r"&[ \t]*\n", "", text)
    return re.sub(r"#.*", "", whole).split()


def _is_ours(command: Command) -> bool:
    return command.words[0] == "pair_style" and STYLE in command.words[1:]


def _check_afterwards(command: Command, *, is_second: bool) -> None:
    name = command.words[0]
    if is_second:
        raise command.refuse("expected one line `pair_coeff * *`, and this is another one")
    if why := _AFTERWARDS.get(name):
        raise command.refuse(f"{name} cannot follow `pair_style {STYLE}`: {why}")


def _check(command: Command) -> None:
    name, *words = command.words
    if name == "neigh_modify" and "exclude" in words:
        raise command.refuse(
            "neigh_modify exclude would have no effect: the potential is of all atoms together"
        )
    if name == "comm_modify" and "group" in words:
        raise command.refuse(
            "comm_modify group would hide neighbours from the potential; leave it out"
        )
