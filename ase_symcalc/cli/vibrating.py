"""What commands that displace atoms have in common: a structure at rest, forces kept."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from ase_symcalc.cli.stopping import INTERRUPTED

if TYPE_CHECKING:
    import numpy as np
    from ase import Atoms

    from ase_symcalc.apps.force_constants import ForcesStep
    from ase_symcalc.apps.kept import Parts
    from ase_symcalc.cli.progress import Progress

FMAX = 1e-4
"""eV/Å; soft modes feel what a coarser relaxation leaves."""

MAX_STEPS = 1000


def add_preparation_options(parser: argparse.ArgumentParser) -> None:
    """Add what may be done to a structure first."""
    parser.add_argument(
        "--relax",
        nargs="?",
        choices=("cell", "positions"),
        const="cell",
        help="go to the minimum first, with the cell or by the positions alone (default: take "
        "the structure as it is, and refuse it where forces are left; --relax alone: cell)",
    )
    parser.add_argument(
        "--symprec",
        type=float,
        metavar="Å",
        help="first make exact the space group that a crystal has within this tolerance, such as "
        "1e-3 for a file with four digits (default: take the structure as it is)",
    )


def add_supercell_options(parser: argparse.ArgumentParser) -> None:
    """Add how force constants are computed, and from where to go on."""
    parser.add_argument(
        "--supercell",
        type=int,
        nargs=3,
        metavar="N",
        help="multiples of the cell in FILE (default: chosen by --min-length)",
    )
    parser.add_argument(
        "--min-length",
        type=float,
        metavar="Å",
        help="the smallest supercell is taken in which an atom is this far from its own images "
        "(default: 12)",
    )
    parser.add_argument(
        "--displacement", type=float, metavar="Å", help="of one atom at a time (default: 0.01)"
    )
    parser.add_argument(
        "--resume",
        type=Path,
        metavar="FILE.npz",
        help="forces of supercells that a run which was stopped had done",
    )


def prepared(
    args: argparse.Namespace, atoms: Atoms, progress: Progress, parts: Parts | None = None
) -> Atoms:
    """Idealise and relax as the options say; ``atoms`` has a calculator and is not changed.

    What relaxed is kept in ``parts``, and not done again if it is there.

    Raises
    ------
    InputError, NumericalError
        As `idealise` and `relax`; also if the relaxation does not converge.
    """
    from ase_symcalc.apps.kept import relaxed_once
    from ase_symcalc.apps.relax import RelaxResult, relax
    from ase_symcalc.cli.relax_report import in_words, step_in_words
    from ase_symcalc.errors import NumericalError
    from ase_symcalc.symmetry.idealise import idealise

    if args.symprec is not None:
        ideal = idealise(atoms, args.symprec)
        progress.say(f"idealised within {args.symprec:g} Å: {in_words(ideal)}")
        ideal.atoms.calc = atoms.calc
        atoms = ideal.atoms
    if args.relax is None:
        return atoms

    def relaxation() -> RelaxResult:
        result = relax(
            atoms,
            fmax=FMAX,
            cell=args.relax == "cell",
            max_steps=MAX_STEPS,
            on_step=lambda step: progress.update(f"relaxing: {step_in_words(step)}"),
        )
        if not result.converged:
            raise NumericalError(
                f"the relaxation did not reach {FMAX:g} eV/Å in {MAX_STEPS} steps; the largest "
                f"force is {result.fmax[-1]:.2g} eV/Å. Use `symcalc relax` with another "
                "--optimizer, start from its result, and leave --relax out"
            )
        return result

    parts = {} if parts is None else parts
    return relaxed_once(parts, "relaxed structure", atoms, relaxation).atoms


class ForceKeeper:
    """Forces of a run, to be kept where it is stopped."""

    def __init__(self, args: argparse.Namespace, progress: Progress) -> None:
        self.args, self.progress = args, progress
        self.path = args.out.with_name(f"{args.out.stem}-forces.npz")
        self.forces: dict[str, np.ndarray] = _read_forces(args.resume) if args.resume else {}
        self.known = dict(self.forces)

    def step(self, step: ForcesStep, where: str = "") -> None:
        """Remember and show."""
        self.forces[step.key] = step.forces
        self.progress.bar(step.done, step.total, f"{where}supercells of {step.n_atoms} atoms")

    def stopped(self) -> int:
        """Write what there is and say how to go on."""
        import numpy as np

        if not self.forces:
            self.progress.say("stopped before the first supercell; nothing was written")
            return INTERRUPTED
        np.savez(self.path, allow_pickle=False, **self.forces)
        words = shlex.split(self.args.command_line)
        if "--resume" in words:  # it is given anew
            at = words.index("--resume")
            del words[at : at + 2]
        again = shlex.join([*words, "--resume", str(self.path)])
        self.progress.say(
            f"stopped; the forces of {len(self.forces)} supercells are in {self.path}. To go on: "
            f"{again}"
        )
        return INTERRUPTED


def _read_forces(path: Path) -> dict[str, np.ndarray]:
    import zipfile

    import numpy as np

    from ase_symcalc.errors import InputError

    try:
        with np.load(path, allow_pickle=False) as forces:
            return {key: forces[key] for key in forces.files}
    except (ValueError, AttributeError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path} holds no forces; expected the file that a stopped run named"
        ) from error
