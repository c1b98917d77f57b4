"""``symcalc vacancy``: what it costs to take an atom out of a crystal, and to move the hole."""

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
        "vacancy",
        help="energies of vacancies and of their hops",
        description="Formation energy of a vacancy on each inequivalent site of a crystal, relaxed "
        "and not, in a supercell of constant volume; with --migration also the barrier for the "
        "hop of a nearest neighbour. Exit code 1 means that something did not come to rest.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="of several images, the last")
    add_calculator_options(parser)
    parser.add_argument(
        "--min-length",
        type=float,
        metavar="Å",
        help="between a vacancy and its periodic images, at least (default: 10)",
    )
    parser.add_argument(
        "--mu",
        action="append",
        type=_chemical_potential,
        metavar="EL=eV",
        help="chemical potential of an element on the potential's scale of energy, such as "
        "Cu=-4.10; may be repeated (default: energy per atom of the crystal if it is of one "
        "element; a compound has none)",
    )
    parser.add_argument(
        "--migration",
        action="store_true",
        help="find the barrier for a hop of a nearest neighbour of the same element",
    )
    parser.add_argument(
        "--images", type=int, metavar="N", help="of a hop, between its ends (default: 5)"
    )
    add_defect_options(parser, "vacancy")
    add_output_options(parser, json_name="NAME-vacancy.json")
    parser.set_defaults(run=run, min_length=10.0, mu=[], migration=False, images=5)


def run(args: argparse.Namespace) -> int:
    """Compute vacancies; 0 when all is at rest, 1 when not, 130 when stopped by Ctrl-C."""
    from ase_symcalc.apps.neb_plot import plot_path
    from ase_symcalc.apps.vacancy import vacancy
    from ase_symcalc.cli.defects import part_in_words, write_images
    from ase_symcalc.cli.progress import Progress
    from ase_symcalc.cli.publish import publish
    from ase_symcalc.cli.structure_files import last_image, which_was_taken
    from ase_symcalc.cli.vacancy_report import hops_of, record_of, rows_of, settings_of

    atoms, n_images = last_image(args.file)
    settle_defect_outputs(args, "vacancy", atoms, pictured=args.migration)
    atoms.calc = calculator(args)
    with (
        Partial(args, "vacancy", atoms, settings_of(args)) as parts,
        Progress(quiet=args.quiet) as progress,
    ):
        progress.say(*which_was_taken(args.file, n_images))
        try:
            result = vacancy(
                atoms,
                min_length=args.min_length,
                mu=dict(args.mu),
                relax_bulk=args.relax_bulk,
                migration=args.migration,
                n_images=args.images,
                fmax=args.fmax,
                max_steps=args.max_steps,
                parts=parts,
                on_step=lambda step: progress.update(part_in_words(step)),
            )
        except KeyboardInterrupt:
            return parts.stopped(progress)
    hops = hops_of(result)
    args.plot = args.plot if hops else None
    record = record_of(args, atoms, result)

    def draw() -> None:
        write_images(args.trajectory, [site.atoms for site in result.sites])
        if hops:
            title = f"{args.file.name}, {record['potential']['name']}"
            plot_path(hops[0].path, args.plot, title=title)

    publish(
        args,
        record,
        title=f"Vacancies in {atoms.get_chemical_formula()} ({args.file.name})",
        rows=rows_of(result),
        caption="Energy along the hop of a nearest neighbour, of the first site",
        atoms=result.bulk,
        files=[("supercells", args.trajectory)],
        draw=draw,
    )
    parts.discard()
    return exit_code("vacancy", args, converged=result.converged)


def _chemical_potential(text: str) -> tuple[str, float]:
    symbol, _, value = text.partition("=")
    try:
        return symbol, float(value)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected an element and its energy in eV, such as Cu=-4.10, got {text!r}"
        ) from None
