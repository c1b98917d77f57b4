"""``symcalc train``: a potential from labelled frames."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ase_symcalc.cli.stopping import INTERRUPTED

if TYPE_CHECKING:
    from ase_symcalc.training import TrainConfig


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "train",
        help="train a potential on labelled frames",
        description="Train a potential as a TOML file says, or, with --fine-tune, train one "
        "further on frames of your own. A run that was stopped goes on where it was when the "
        "command is given again; the errors, log and plots are in its folder.",
    )
    parser.add_argument("files", nargs="+", help="a TOML file; with --fine-tune, labelled frames")
    parser.add_argument(
        "--fine-tune", metavar="NAME", help="potential to train further, by its name or folder"
    )
    parser.add_argument(
        "--out", metavar="FOLDER", help="where the run writes, if not where the TOML file says"
    )
    parser.add_argument(
        "--members", type=int, metavar="N", help="train N potentials that differ in their seed"
    )
    parser.add_argument(
        "--data",
        metavar="FOLDER",
        help="that data files are relative to, if not the file's own, as those beginning ./ stay",
    )
    parser.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="go on from the checkpoint in the folder of the run, if there is one",
    )
    parser.add_argument("--quiet", action="store_true", help="show no progress")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train; 0 when all epochs are done or the time given is up, 130 when stopped by Ctrl-C."""
    from ase_symcalc.training import train

    config = _config(args)
    try:
        folder = train(config, resume=args.resume, progress=not args.quiet)
    except KeyboardInterrupt:
        words = "stopped; without --no-resume the same command goes on from the last checkpoint"
        print(f"symcalc train: {words} in {config.folder}, if there is one", file=sys.stderr)
        return INTERRUPTED
    if not args.quiet:
        print(f"written to {folder}")
    return 0


def _config(args: argparse.Namespace) -> TrainConfig:
    from ase_symcalc.errors import InputError
    from ase_symcalc.training import fine_tuning, read_config

    if args.fine_tune:
        if args.data:
            raise InputError("--data is for the files that a TOML file names; leave it out")
        config = fine_tuning(args.fine_tune, args.files, args.out)
    elif len(args.files) > 1:
        raise InputError(
            f"expected one TOML file, got {len(args.files)} files; to train a potential further "
            "on frames, name it with --fine-tune"
        )
    else:
        config = read_config(args.files[0], args.data)
    changes = {"folder": args.out, "members": args.members}
    return replace(config, **{key: value for key, value in changes.items() if value is not None})
