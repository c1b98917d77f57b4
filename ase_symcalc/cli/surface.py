"""``symcalc surface``: what it costs to cut a crystal."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ase_symcalc.cli.defects import add_defect_options, exit_code, settle_defect_outputs
from ase_symcalc.cli.options import add_calculator_options, add_output_options, calculator
from ase_symcalc.cli.stopping import Partial


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "surface",
        help="energies of surfaces",
        description="Energy of a crystal's surfaces along a lattice plane, relaxed and not, of "
        "every termination that leaves a slab with two like faces; from slabs of two thicknesses. "
        "Exit code 1 means that something did not come to rest.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="of several images, the last")
    add_calculator_options(parser)
    parser.add_argument(
        "--hkl",
        type=int,
        nargs=3,
        required=True,
        metavar=("H", "K", "L"),
        help="Miller indices in the cell of FILE if that is a conventional cell, and else in the "
        "conventional cell of the standard setting",
    )
    parser.add_argument(
        "--min-thickness", type=float, metavar="Å", help="of the thinner slab (default: 15)"
    )
    parser.add_argument(
        "--vacuum", type=float, metavar="Å", help="of the slab's cell (default: 15)"
    )
    parser.add_argument(
        "--unlike-faces",
        action="store_true",
        help="also compute slabs with two different faces, whose mean energy is then known",
    )
    add_defect_options(parser, "surface")
    add_output_options(parser, json_name="NAME-surface.json")
    parser.set_defaults(run=run, min_thickness=15.0, vacuum=15.0, unlike_faces=False)


def run(args: argparse.Namespace) -> int:
    """Compute surfaces; 0 when all is at rest, 1 when not, 130 when stopped by Ctrl-C."""
    from ase_symcalc.apps.structure_plot import plot_structure
    from ase_symcalc.apps.surface import surface
    from ase_symcalc.cli.defects import part_in_words, write_images
    from ase_symcalc.cli.progress import Progress
    from ase_symcalc.cli.publish import publish
    from ase_symcalc.cli.structure_files import last_image, which_was_taken
    from ase_symcalc.cli.surface_report import record_of, rows_of, settings_of

    atoms, n_images = last_image(args.file)
    settle_defect_outputs(args, "surface", atoms, pictured=True)
    atoms.calc = calculator(args)
    with (
        Partial(args, "surface", atoms, settings_of(args)) as parts,
        Progress(quiet=args.quiet) as progress,
    ):
        progress.say(*which_was_taken(args.file, n_images))
        try:
            result = surface(
                atoms,
                args.hkl,
                min_thickness=args.min_thickness,
                vacuum=args.vacuum,
                unlike_faces=args.unlike_faces,
                relax_bulk=args.relax_bulk,
                fmax=args.fmax,
                max_steps=args.max_steps,
                parts=parts,
                on_step=lambda step: progress.update(part_in_words(step)),
            )
        except KeyboardInterrupt:
            return parts.stopped(progress)
    record = record_of(args, atoms, result)
    slabs = [slab for termination in result.terminations for slab in termination.slabs]

    def draw() -> None:
        write_images(args.trajectory, slabs)
        plot_structure(slabs[1], args.plot)

    plane = " ".join(str(index) for index in result.hkl)
    publish(
        args,
        record,
        title=f"({plane}) surface of {atoms.get_chemical_formula()} ({args.file.name})",
        rows=rows_of(result),
        caption="The thicker relaxed slab of the lowest termination",
        atoms=result.bulk,
        files=[("slabs", args.trajectory)],
        draw=draw,
    )
    parts.discard()
    return exit_code("surface", args, converged=result.converged)
