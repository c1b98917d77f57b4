"""What `vacancy` and `surface` have in common."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase_symcalc.cli.options import settle_outputs
from ase_symcalc.cli.stopping import add_resume_option

if TYPE_CHECKING:
    from ase import Atoms

UNCONVERGED = 1


def add_defect_options(parser: argparse.ArgumentParser, command: str) -> None:
    """Add how to relax, and where the relaxed structures go."""
    parser.add_argument(
        "--relax-bulk",
        action=argparse.BooleanOptionalAction,
        help="relax the crystal and its cell first (default: yes)",
    )
    parser.add_argument("--fmax", type=float, help="largest force left, eV/Å (default: 0.01)")
    parser.add_argument(
        "--max-steps", type=int, metavar="N", help="of each relaxation (default: 500)"
    )
    parser.add_argument(
        "--trajectory",
        type=Path,
        metavar="FILE.traj",
        help=f"relaxed structures (default: NAME-{command}.traj)",
    )
    add_resume_option(parser)
    parser.set_defaults(relax_bulk=True, fmax=0.01, max_steps=500)


def settle_defect_outputs(
    args: argparse.Namespace, command: str, atoms: Atoms, *, pictured: bool
) -> None:
    """Fill in names that were not given, and check all before anything is computed.

    Raises
    ------
    InputError
    """
    from ase_symcalc.cli.structure_files import check_distinct, check_output, is_trajectory_name
    from ase_symcalc.errors import InputError

    if args.plot and not pictured:
        raise InputError("the picture shows a hop; ask for one with --migration, or drop --plot")
    settle_outputs(args, command, atoms)
    name = Path(f"{args.file.stem}-{command}.traj")
    other = Path(f"{command}.traj")
    args.trajectory = args.trajectory or (name if is_trajectory_name(name) else other)
    if not is_trajectory_name(args.trajectory):
        raise InputError(
            "the structures are written in ASE's own format; expected a name that ends in .traj "
            f"and that ASE takes for no other, got {args.trajectory}"
        )
    check_output(args.trajectory, args.file)
    check_distinct([args.out, args.plot, args.trajectory, *filter(None, [args.report])])


def exit_code(command: str, args: argparse.Namespace, *, converged: bool) -> int:
    """0, or 1 with a sentence that says what to try."""
    if converged:
        return 0
    print(
        f"symcalc {command}: not everything came to rest within {args.fmax:g} eV/Å; raise "
        "--max-steps or --fmax, or relax the crystal first (symcalc relax)",
        file=sys.stderr,
    )
    return UNCONVERGED


def part_in_words(step: Any) -> str:
    """Say what is at work, and where it is."""
    if getattr(step.step, "stage", None) == "saddle":
        return f"{step.part}: curvature of the saddle, displacement {step.step.step}"
    return f"{step.part}: step {step.step.step:4d}  fmax {step.step.fmax:.5f} eV/Å"


def write_images(path: Path, images: Sequence[Atoms]) -> None:
    """Write structures with their energies and forces."""
    from ase.io.trajectory import Trajectory

    with Trajectory(str(path), "w") as trajectory:
        for image in images:
            trajectory.write(image, energy=image.get_potential_energy(), forces=image.get_forces())
