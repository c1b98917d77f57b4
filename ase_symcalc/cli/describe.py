"""``symcalc describe``: which atoms are alike, what surrounds them, and how that changes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase_symcalc.cli.options import add_output_options

if TYPE_CHECKING:
    from ase_symcalc.analysis import Descriptor


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "describe",
        help="environments of atoms: grouped, named, followed",
        description="Group the atoms of a structure or trajectory by their surroundings, name "
        "these by the nearest of fcc, bcc, hcp, diamond, liquid and surface, if one is near, and "
        "compare the groups with Wyckoff orbits. Writes results, a picture, and a page to turn "
        "and point at.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="of several images, all")
    parser.add_argument(
        "--descriptor",
        choices=("power", "bispectrum", "network"),
        help="what surroundings are compared by: pairs or triples of the density's coefficients, "
        "or what a potential's network knows (default: power)",
    )
    parser.add_argument("--potential", help="of the network; see `symcalc potentials`")
    parser.add_argument("--cutoff", type=float, metavar="Å", help="of the density (default: 5)")
    parser.add_argument("--lmax", type=int, metavar="L", help="highest degree (default: 4)")
    parser.add_argument("--radial", type=int, metavar="N", help="functions (default: 4)")
    parser.add_argument(
        "--method",
        choices=("agglomerative", "hdbscan"),
        help="how atoms are grouped (default: agglomerative)",
    )
    parser.add_argument(
        "--threshold",
        type=float,
        metavar="D",
        help="distance of environments, 0 to 1.4, at which groups stay apart (default: 0.02)",
    )
    parser.add_argument(
        "--min-size", type=int, metavar="N", help="smallest group of hdbscan (default: 5)"
    )
    parser.add_argument(
        "--tolerance", type=float, metavar="Å", help="of the space group (default: 0.001)"
    )
    parser.add_argument(
        "--atom", type=int, metavar="N", help="whose neighbours are drawn on a sphere (default: 0)"
    )
    add_output_options(parser, json_name="NAME-describe.json")
    parser.set_defaults(
        run=run,
        descriptor="power",
        potential="default",
        cutoff=5.0,
        lmax=4,
        radial=4,
        method="agglomerative",
        threshold=0.02,
        min_size=5,
        tolerance=1e-3,
        atom=0,
    )


def run(args: argparse.Namespace) -> int:
    """Describe a file; 0 when done."""
    from ase_symcalc.analysis import find_environments
    from ase_symcalc.analysis.environments_page import environments_page
    from ase_symcalc.analysis.environments_plot import plot_environments
    from ase_symcalc.apps.record import write_json, write_whole
    from ase_symcalc.cli.describe_report import print_table, record_of
    from ase_symcalc.cli.options import settle_outputs
    from ase_symcalc.cli.progress import Progress
    from ase_symcalc.cli.structure_files import read_images
    from ase_symcalc.errors import InputError

    images = list(read_images(args.file))
    args.report = args.report or Path(f"{args.file.stem}-describe.html")
    settle_outputs(args, "describe", images[0])
    n_atoms = len(images[0])
    if not 0 <= args.atom < n_atoms:
        raise InputError(f"expected --atom from 0 to {n_atoms - 1}, got {args.atom}")
    descriptor, calculator = _descriptor(args, sorted(set(images[0].symbols)))
    with Progress(quiet=args.quiet) as progress:
        frames, of = "frame" + "s" * (len(images) > 1), "atom" + "s" * (n_atoms > 1)
        progress.say(f"{args.file}: {len(images)} {frames} of {n_atoms} {of}")
        progress.update("comparing environments")
        found = find_environments(
            images,
            descriptor,
            method=args.method,
            threshold=args.threshold,
            min_size=args.min_size,
            tolerance=args.tolerance,
        )
    title = f"Environments in {images[0].get_chemical_formula()} ({args.file.name})"
    record = record_of(args, images[-1], found, calculator)
    plot_environments(found, args.plot, atom=args.atom, title=title)
    write_json(args.out, record)
    pictures = [("Map, structure and signal on the sphere", args.plot)]
    page = environments_page(found, title=title, pictures=pictures, command_line=args.command_line)
    write_whole(args.report, page)
    print_table(args, record, found, title)
    return 0


def _descriptor(args: argparse.Namespace, elements: list[str]) -> tuple[Descriptor, Any]:
    """Return the descriptor asked for, and the calculator behind it, if any."""
    from ase_symcalc.analysis import Bispectrum, GaussianBasis, NetworkFeatures, PowerSpectrum

    if args.descriptor == "network":
        from ase_symcalc.calculator import SymCalc

        calculator = SymCalc(args.potential)
        return NetworkFeatures(calculator), calculator
    basis = GaussianBasis(args.cutoff, args.radial, args.lmax)
    kind = PowerSpectrum if args.descriptor == "power" else Bispectrum
    return kind(tuple(elements), basis), None
