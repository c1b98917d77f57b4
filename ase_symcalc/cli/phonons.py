"""``symcalc phonons``: bands, density of states, thermal properties of a crystal."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from ase_symcalc.cli.options import (
    add_calculator_options,
    add_output_options,
    calculator,
    settle_outputs,
)
from ase_symcalc.cli.vibrating import (
    ForceKeeper,
    add_preparation_options,
    add_supercell_options,
    prepared,
)

UNSTABLE = 1


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "phonons",
        help="phonon bands, density of states, heat capacity",
        description="Phonons of a crystal by finite displacements, as few as symmetry leaves, "
        "through phonopy. Writes results, a picture of bands and density of states, and a file "
        "that phonopy goes on from. LO-TO splitting is left out: the potential knows no charges. "
        "Exit code 1 means that modes are imaginary: the crystal is not stable.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="of several images, the last")
    add_calculator_options(parser)
    add_preparation_options(parser)
    add_supercell_options(parser)
    parser.add_argument(
        "--max-temperature", type=float, metavar="K", help="of thermal properties (default: 1000)"
    )
    parser.add_argument(
        "--imaginary",
        type=float,
        metavar="THz",
        help="imaginary frequencies below are taken for rounding (default: 0.05)",
    )
    add_output_options(parser, json_name="NAME-phonons.json")
    parser.add_argument(
        "--yaml",
        type=Path,
        metavar="FILE.yaml",
        help="input for phonopy (default: NAME-phonopy_params.yaml)",
    )
    parser.set_defaults(
        run=run, min_length=12.0, displacement=0.01, max_temperature=1000.0, imaginary=0.05
    )


def run(args: argparse.Namespace) -> int:
    """Compute phonons; 0 if all are real, 1 if not, 130 when stopped by Ctrl-C."""
    from ase_symcalc.apps.imaginary import imaginary_in_words
    from ase_symcalc.apps.phonons import phonons
    from ase_symcalc.apps.phonons_plot import plot_phonons
    from ase_symcalc.cli.phonons_report import record_of, rows_of
    from ase_symcalc.cli.progress import Progress
    from ase_symcalc.cli.publish import publish
    from ase_symcalc.cli.structure_files import (
        check_distinct,
        check_output,
        last_image,
        which_was_taken,
    )

    atoms, n_images = last_image(args.file)
    settle_outputs(args, "phonons", atoms)
    args.yaml = args.yaml or Path(f"{args.file.stem}-phonopy_params.yaml")
    check_output(args.yaml, args.file)
    check_distinct([args.out, args.plot, args.yaml, *filter(None, [args.report])])
    atoms.calc = calculator(args)
    with Progress(quiet=args.quiet) as progress:
        progress.say(*which_was_taken(args.file, n_images))
        forces = ForceKeeper(args, progress)
        try:
            ready = prepared(args, atoms, progress)
            result = phonons(
                ready,
                supercell=args.supercell,
                min_length=args.min_length,
                displacement=args.displacement,
                max_temperature=args.max_temperature,
                imaginary=args.imaginary,
                known=forces.known,
                on_step=forces.step,
            )
        except KeyboardInterrupt:
            return forces.stopped()
    record = record_of(args, atoms, ready, result)

    def draw() -> None:
        result.phonopy.save(args.yaml)
        plot_phonons(result, args.plot, title=f"{args.file.name}, {record['potential']['name']}")

    publish(
        args,
        record,
        title=f"Phonons of {atoms.get_chemical_formula()} ({args.file.name})",
        rows=rows_of(result),
        caption="Bands along the standard path, and density of states",
        atoms=result.primitive,
        files=[("for phonopy", args.yaml)],
        draw=draw,
    )
    if result.imaginary:
        print(f"symcalc phonons: {imaginary_in_words(result.imaginary)}", file=sys.stderr)
        return UNSTABLE
    return 0
