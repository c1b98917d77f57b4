"""``symcalc relax``: a crystal or a molecule downhill, with a shipped potential."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase import Atoms

UNCONVERGED = 1
INTERRUPTED = 130

DEFAULTS = {
    "potential": "default",
    "cell": True,
    "fmax": 0.01,
    "optimizer": "auto",
    "max_steps": 500,
    "dtype": "float64",
    "symmetry": "auto",
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
    parser.add_argument("--potential", help="name or folder; see `symcalc potentials`")
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
    parser.add_argument(
        "--symprec",
        type=float,
        metavar="Å",
        help="first make exact the space group that a crystal has within this tolerance, such as "
        "1e-3 for a file with four digits (default: take the structure as it is)",
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    parser.set_defaults(run=run, **DEFAULTS)


def run(args: argparse.Namespace) -> int:
    """Relax; 0 when converged, 1 when not, 130 when stopped by Ctrl-C."""
    from ase.io import write

    from ase_symcalc.apps.relax import relax
    from ase_symcalc.apps.relax_plot import plot_relaxation
    from ase_symcalc.calculator import SymCalc
    from ase_symcalc.cli.relax_report import ProgressLine, in_words, print_json, print_summary
    from ase_symcalc.cli.structure_files import last_image
    from ase_symcalc.potential_files import load_potential
    from ase_symcalc.symmetry.idealise import idealise

    atoms, n_images = last_image(args.file)
    _settle_outputs(args, atoms)
    ideal = None if args.symprec is None else idealise(atoms, args.symprec)
    atoms = ideal.atoms if ideal else atoms
    potential = load_potential(args.potential, dtype=args.dtype)
    atoms.calc = SymCalc(potential, dtype=args.dtype, symmetry=args.symmetry)
    with ProgressLine(quiet=args.quiet) as progress:
        if n_images > 1:
            progress.say(f"{args.file} holds {n_images} structures; relaxing the last")
        if ideal:
            progress.say(f"idealised within {args.symprec:g} Å: {in_words(ideal)}")
        try:
            result = relax(
                atoms,
                fmax=args.fmax,
                cell=args.cell,
                max_steps=args.max_steps,
                optimizer=args.optimizer,
                trajectory=args.trajectory,
                on_step=progress.step,
            )
        except KeyboardInterrupt:
            progress.say(_how_to_resume(args, progress.n_images))
            return INTERRUPTED
    write(args.out, result.atoms)
    if args.plot:
        plot_relaxation(result, args.plot, title=f"{args.file.name}, {potential.card.name}")
    if args.json:
        print_json(args, result, potential.card, ideal)
    elif not args.quiet:
        print_summary(args, result, potential.card)
    if not result.converged:
        print(f"symcalc relax: {_what_to_try(args, result)}", file=sys.stderr)
        return UNCONVERGED
    return 0


def _symmetry(text: str) -> str | float:
    if text in ("auto", "off"):
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected auto, off or a tolerance in Å, got {text!r}"
        ) from None


def _settle_outputs(args: argparse.Namespace, atoms: Atoms) -> None:
    """Fill in the names that were not given, and check all before computing."""
    from ase_symcalc.apps.relax_plot import PICTURES
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
    outputs = [args.out, args.trajectory]
    if args.plot:
        if args.plot.suffix not in PICTURES:
            known = ", ".join(PICTURES)
            raise InputError(f"expected a picture ending in one of {known}; got {args.plot}")
        check_output(args.plot, args.file)
        outputs.append(args.plot)
    check_distinct(outputs)


def _how_to_resume(args: argparse.Namespace, n_images: int) -> str:
    if n_images == 0:
        return "stopped before the first step; nothing was written"
    return (
        f"stopped after {n_images - 1} steps, all of them in {args.trajectory}. To go on: "
        f"{_resume(args)}"
    )


def _resume(args: argparse.Namespace) -> str:
    """Build the same command, from the last step on."""
    words = ["symcalc", "relax", str(args.trajectory), "--out", str(args.out)]
    for name, default in DEFAULTS.items():
        if (value := getattr(args, name)) != default:
            option = name.replace("_", "-")
            words += [f"--no-{option}"] if value is False else [f"--{option}", str(value)]
    return shlex.join(words)


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
