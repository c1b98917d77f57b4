"""``symcalc train``: a potential from labelled frames."""

from __future__ import annotations

import argparse
import sys
from typing import Any

INTERRUPTED = 130


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "train",
        help="train a potential on labelled frames",
        description="Train a potential as a TOML file says. A run that was stopped goes on "
        "where it was; the errors, log and plots are in its folder.",
    )
    parser.add_argument("config", help="TOML file")
    parser.add_argument(
        "--data", metavar="FOLDER", help="that data files are relative to, if not the file's own"
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
    from ase_symcalc.training import read_config, train

    config = read_config(args.config, args.data)
    try:
        folder = train(config, resume=args.resume, progress=not args.quiet)
    except KeyboardInterrupt:
        words = "stopped; without --no-resume the same command goes on from the last checkpoint"
        print(f"symcalc train: {words} in {config.folder}, if there is one", file=sys.stderr)
        return INTERRUPTED
    if not args.quiet:
        print(f"written to {folder}")
    return 0
