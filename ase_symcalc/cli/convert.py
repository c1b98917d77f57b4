"""``symcalc convert``: a checkpoint of another package, as a potential of ours."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "convert",
        help="write a checkpoint of another package as a potential folder",
        description="Read a SevenNet, MACE or NequIP checkpoint and write it as a potential "
        "folder, with a card that says where it comes from. Nothing in the file is executed.",
    )
    parser.add_argument(
        "source",
        metavar="IN",
        help="the file, or a name such as 7net-0; @ and the name of a modality or head may follow",
    )
    parser.add_argument("folder", type=Path, metavar="OUT", help="must not exist yet")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert, save, and say what it is."""
    from ase_symcalc.errors import PotentialFileError
    from ase_symcalc.potential_files import make_golden, save_potential
    from ase_symcalc.potential_files.convert import convert_file
    from ase_symcalc.potential_files.convert.splines import trial_crystals
    from ase_symcalc.potential_files.find import find_checkpoint

    checkpoint = find_checkpoint(args.source)
    if checkpoint is None:
        path = Path(args.source).expanduser()
        found = "a folder" if path.is_dir() else "neither a file that is here nor such a name"
        raise PotentialFileError(
            "expected a checkpoint of another package or the name of one, such as 7net-0; got "
            f"{args.source!r}, which is {found}. Potentials of ours need no conversion."
        )
    source, selection, name, _ = checkpoint
    model, card = convert_file(source, selection, name=name)
    command = f"symcalc convert {args.source} {args.folder}"
    golden = make_golden(model, trial_crystals(model.elements), command)
    card = save_potential(args.folder, model, card, golden)
    mirror = "and" if model.group == "O3" else "but no"
    print(f"{card.name}: {card.description}")
    print(
        f"{len(card.elements)} elements, cutoff {card.cutoff:g} Å, interaction range "
        f"{card.interaction_range:g} Å, rotation {mirror} mirror symmetry"
    )
    print(f"written to {args.folder}; use it as --potential {args.folder}/")
    return 0
