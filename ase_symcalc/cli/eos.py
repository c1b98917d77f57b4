"""``symcalc eos``: equilibrium volume and bulk modulus of a crystal."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase_symcalc.cli.options import (
    add_calculator_options,
    add_output_options,
    calculator,
    settle_outputs,
)
from ase_symcalc.cli.stopping import Partial, add_resume_option
from ase_symcalc.cli.vibrating import add_preparation_options, prepared

if TYPE_CHECKING:
    from ase import Atoms

    from ase_symcalc.apps.eos import EosPoint, EosResult
    from ase_symcalc.cli.progress import Progress

UNCONVERGED = 1


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "eos",
        help="equation of state: volume, bulk modulus",
        description="Energies of a crystal at several volumes, and Birch-Murnaghan's and Vinet's "
        "equations of state through them. The atoms relax at each volume; where symmetry does "
        "not fix the shape of the cell, let that relax too (--free shape). Exit code 1 means "
        "that something did not come to rest.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="of several images, the last")
    add_calculator_options(parser)
    add_preparation_options(parser)
    parser.add_argument(
        "--free",
        choices=("positions", "shape", "nothing"),
        help="what relaxes at each volume (default: positions)",
    )
    parser.add_argument(
        "--range",
        type=float,
        metavar="X",
        help="volumes are 1 - X to 1 + X times that of the structure (default: 0.06)",
    )
    parser.add_argument("--points", type=int, metavar="N", help="volumes (default: 11)")
    parser.add_argument("--fmax", type=float, help="largest force left, eV/Å (default: 0.001)")
    add_resume_option(parser)
    add_output_options(parser, json_name="NAME-eos.json")
    parser.set_defaults(run=run, free="positions", range=0.06, points=11, fmax=1e-3)


def run(args: argparse.Namespace) -> int:
    """Fit equations of state; 0 if all came to rest, 1 if not, 130 when stopped by Ctrl-C."""
    from ase_symcalc.apps.eos_plot import plot_eos
    from ase_symcalc.cli.eos_report import record_of, rows_of, settings_of
    from ase_symcalc.cli.progress import Progress
    from ase_symcalc.cli.publish import publish
    from ase_symcalc.cli.structure_files import last_image, which_was_taken

    atoms, n_images = last_image(args.file)
    settle_outputs(args, "eos", atoms)
    atoms.calc = calculator(args)
    with (
        Partial(args, "eos", atoms, settings_of(args)) as parts,
        Progress(quiet=args.quiet) as progress,
    ):
        progress.say(*which_was_taken(args.file, n_images))
        try:
            result = _compute(args, atoms, parts, progress)
        except KeyboardInterrupt:
            return parts.stopped(progress)
    record = record_of(args, atoms, result)
    title = f"{args.file.name}, {record['potential']['name']}"
    publish(
        args,
        record,
        title=f"Equation of state of {atoms.get_chemical_formula()} ({args.file.name})",
        rows=rows_of(result),
        caption="Energies and equations of state, and the distance between them",
        atoms=result.atoms,
        files=[],
        draw=lambda: plot_eos(result, args.plot, title=title),
    )
    parts.discard()
    if not result.converged:
        print(
            f"symcalc eos: at some volumes the atoms did not come to rest within {args.fmax:g} "
            "eV/Å; try --relax first, a smaller --range or a larger --fmax",
            file=sys.stderr,
        )
        return UNCONVERGED
    return 0


def _compute(
    args: argparse.Namespace, atoms: Atoms, parts: Partial, progress: Progress
) -> EosResult:
    from ase_symcalc.apps.eos import eos

    def show(point: EosPoint) -> None:
        words = f"{point.volume:.3f} Å³  {point.energy:.6f} eV"
        progress.bar(point.done, point.total, words)

    return eos(
        prepared(args, atoms, progress, parts),
        free=args.free,
        half_range=args.range,
        n_volumes=args.points,
        fmax=args.fmax,
        parts=parts,
        on_point=show,
    )
