"""``symcalc relax``: a crystal or a molecule downhill, with a shipped potential."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase_symcalc.cli.options import (
    CALCULATOR_DEFAULTS,
    add_calculator_options,
    add_report_option,
    add_talk_options,
    calculator,
    settle_pictures,
    words_of,
)
from ase_symcalc.cli.stopping import INTERRUPTED

if TYPE_CHECKING:
    from ase import Atoms

    from ase_symcalc.apps.relax import RelaxResult
    from ase_symcalc.cli.progress import Progress
    from ase_symcalc.symmetry.idealise import Idealised

UNCONVERGED = 1

DEFAULTS = {
    **CALCULATOR_DEFAULTS,
    "cell": True,
    "fmax": 0.01,
    "optimizer": "auto",
    "max_steps": 500,
}


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "relax",
        help="relax positions and cell",
        description="Relax the atoms and the cell of a structure, in any format ASE reads. Writes "
        "the relaxed structure and a trajectory into the current folder. Exit code 1 means "
        "that the forces were still too large when the steps ran out.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="of several images, the last")
    add_calculator_options(parser)
    parser.add_argument(
        "--cell",
        action=argparse.BooleanOptionalAction,
        help="relax the cell too, along periodic directions (default: yes)",
    )
    parser.add_argument("--fmax", type=float, help="largest force left, eV/Å (default: 0.01)")
    parser.add_argument(
        "--optimizer",
        choices=("auto", "BFGS", "LBFGS", "FIRE"),
        help="default: auto, which is BFGS, or LBFGS for more than 300 atoms",
    )
    parser.add_argument("--max-steps", type=int, metavar="N", help="default: 500")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="relaxed structure (default: NAME-relaxed.EXT)"
    )
    parser.add_argument(
        "--trajectory", type=Path, metavar="FILE.traj", help="default: NAME-relaxed.traj"
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE.png", help="picture of energy, force and stress"
    )
    add_report_option(parser)
    parser.add_argument(
        "--symprec",
        type=float,
        metavar="Å",
        help="first make exact the space group that a crystal has within this tolerance, such as "
        "1e-3 for a file with four digits (default: take the structure as it is)",
    )
    add_talk_options(parser)
    parser.set_defaults(run=run, **DEFAULTS)


def run(args: argparse.Namespace) -> int:
    """Relax; 0 when converged, 1 when not, 130 when stopped by Ctrl-C."""
    from ase_symcalc.cli.progress import Progress
    from ase_symcalc.cli.relax_report import in_words
    from ase_symcalc.cli.structure_files import last_image, which_was_taken
    from ase_symcalc.symmetry.idealise import idealise

    atoms, n_images = last_image(args.file)
    _settle_outputs(args, atoms)
    ideal = None if args.symprec is None else idealise(atoms, args.symprec)
    atoms = ideal.atoms if ideal else atoms
    atoms.calc = calculator(args)
    with Progress(quiet=args.quiet) as progress:
        progress.say(*which_was_taken(args.file, n_images))
        if ideal:
            progress.say(f"idealised within {args.symprec:g} Å: {in_words(ideal)}")
        result = _downhill(args, atoms, progress)
    if result is None:
        return INTERRUPTED
    _tell(args, atoms, result, ideal)
    if not result.converged:
        print(f"symcalc relax: {_what_to_try(args, result)}", file=sys.stderr)
        return UNCONVERGED
    return 0


def _downhill(args: argparse.Namespace, atoms: Atoms, progress: Progress) -> RelaxResult | None:
    """Relax; None when stopped by Ctrl-C."""
    from ase_symcalc.apps.relax import RelaxStep, relax
    from ase_symcalc.cli.relax_report import step_in_words

    steps = 0

    def show(step: RelaxStep) -> None:
        nonlocal steps
        steps += 1
        progress.update(step_in_words(step))

    try:
        return relax(
            atoms,
            fmax=args.fmax,
            cell=args.cell,
            max_steps=args.max_steps,
            optimizer=args.optimizer,
            trajectory=args.trajectory,
            on_step=show,
        )
    except KeyboardInterrupt:
        progress.say(_how_to_resume(args, steps))
        return None


def _tell(
    args: argparse.Namespace, atoms: Atoms, result: RelaxResult, ideal: Idealised | None
) -> None:
    """Write and print what came of it."""
    from ase.io import write

    from ase_symcalc.cli.relax_report import print_json, print_summary, record_of, write_pictures

    write(args.out, result.atoms)
    record = record_of(args, atoms, result, ideal)
    write_pictures(args, result, record)
    if args.json:
        print_json(record)
    elif not args.quiet:
        print_summary(args, result, record)


def _settle_outputs(args: argparse.Namespace, atoms: Atoms) -> None:
    """Fill in the names that were not given, and check all before computing."""
    from ase_symcalc.cli.structure_files import (
        check_distinct,
        check_output,
        check_structure_output,
        is_trajectory_name,
        relaxed_name,
        trajectory_name,
    )
    from ase_symcalc.errors import InputError

    args.out = args.out or relaxed_name(args.file)
    args.trajectory = args.trajectory or trajectory_name(args.file)
    check_structure_output(args.out, atoms, args.file)
    if not is_trajectory_name(args.trajectory):
        raise InputError(
            "the trajectory has ASE's own format; expected a name that ends in .traj and that "
            f"ASE takes for no other, got {args.trajectory}"
        )
    check_output(args.trajectory, args.file)
    check_distinct([args.out, args.trajectory, *settle_pictures(args)])


def _how_to_resume(args: argparse.Namespace, n_images: int) -> str:
    if n_images == 0:
        return "stopped before the first step; nothing was written"
    return (
        f"stopped after {n_images - 1} steps, all of them in {args.trajectory}. To go on: "
        f"{_resume(args)}"
    )


def _resume(args: argparse.Namespace) -> str:
    """Build the same command, from the last step on."""
    outputs = [str(args.trajectory), "--out", str(args.out)]
    return shlex.join(["symcalc", "relax", *outputs, *words_of(args, DEFAULTS)])


def _what_to_try(args: argparse.Namespace, result: Any) -> str:
    advice = (
        f"not converged after {result.steps} steps: the largest force is "
        f"{result.fmax[-1]:.4f} eV/Å; it must fall below {args.fmax:g}, and with the cell so must "
        f"the stress times the volume per atom. Go on with `{_resume(args)}`, raise --max-steps, "
        "or try --optimizer FIRE"
    )
    if args.dtype == "float32":
        advice += "; float32 may be too coarse for this fmax, float64 is not"
    return advice
