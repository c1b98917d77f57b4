"""``symcalc elastic``: elastic constants and moduli of a crystal."""

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

    from ase_symcalc.apps.elastic import ElasticResult
    from ase_symcalc.cli.progress import Progress

UNTRUSTED = 1


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "elastic",
        help="elastic constants, moduli, stability",
        description="All elastic constants of a crystal, from the stresses of the few strains "
        "that its symmetry asks for, or from second derivatives of the energy; moduli of a "
        "polycrystal; and whether the crystal is stable. Exit code 1 means that it is not, or "
        "that something did not come to rest.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="of several images, the last")
    add_calculator_options(parser)
    add_preparation_options(parser)
    parser.add_argument(
        "--method",
        choices=("strain", "analytic"),
        help="differences of stresses, or second derivatives (default: strain)",
    )
    parser.add_argument(
        "--clamped", action="store_true", help="leave out how the atoms follow the strain"
    )
    parser.add_argument("--fmax", type=float, help="largest force left, eV/Å (default: 1e-4)")
    add_resume_option(parser)
    add_output_options(parser, json_name="NAME-elastic.json")
    parser.set_defaults(run=run, method="strain", fmax=1e-4)


def run(args: argparse.Namespace) -> int:
    """Compute elastic constants; 0 if they can be trusted, 1 if not, 130 when stopped."""
    from ase_symcalc.apps.elastic_plot import plot_elastic
    from ase_symcalc.cli.elastic_report import record_of, rows_of, settings_of
    from ase_symcalc.cli.progress import Progress
    from ase_symcalc.cli.publish import publish
    from ase_symcalc.cli.structure_files import last_image, which_was_taken

    atoms, n_images = last_image(args.file)
    settle_outputs(args, "elastic", atoms)
    atoms.calc = calculator(args)
    with (
        Partial(args, "elastic", atoms, settings_of(args)) as parts,
        Progress(quiet=args.quiet) as progress,
    ):
        progress.say(*which_was_taken(args.file, n_images))
        try:
            ready, result = _compute(args, atoms, parts, progress)
        except KeyboardInterrupt:
            return parts.stopped(progress)
    record = record_of(args, atoms, result)
    title = f"{args.file.name}, {record['potential']['name']}"
    publish(
        args,
        record,
        title=f"Elastic constants of {atoms.get_chemical_formula()} ({args.file.name})",
        rows=rows_of(result),
        caption="Elastic constants along the Cartesian axes of the structure, and Young's modulus",
        atoms=ready,
        files=[],
        draw=lambda: plot_elastic(result, args.plot, title=title),
    )
    parts.discard()
    if sentence := _doubts(args, result):
        print(f"symcalc elastic: {sentence}", file=sys.stderr)
        return UNTRUSTED
    return 0


def _compute(
    args: argparse.Namespace, atoms: Atoms, parts: Partial, progress: Progress
) -> tuple[Atoms, ElasticResult]:
    """Return the structure that was strained, and its constants."""
    from ase_symcalc.apps.elastic import elastic

    ready = prepared(args, atoms, progress, parts)
    if args.method == "analytic":
        progress.update("second derivatives of the energy")
    result = elastic(
        ready,
        method=args.method,
        clamped=args.clamped,
        fmax=args.fmax,
        parts=parts,
        on_step=lambda step: progress.bar(step.done, step.total, "strained crystals"),
    )
    return ready, result


def _doubts(args: argparse.Namespace, result: ElasticResult) -> str:
    from ase_symcalc.cli.elastic_report import instability_in_words

    sentences = [instability_in_words(result)] if not result.stable else []
    if not result.converged:
        sentences.append(
            f"in some strained crystals the atoms did not come to rest within {args.fmax:g} eV/Å; "
            "try --relax first, a larger --fmax, or --method analytic"
        )
    return ". ".join(sentences)
