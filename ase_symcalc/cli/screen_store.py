"""``symcalc screen-status``, ``screen-merge`` and ``screen-export``: what is in a store."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

ACTIONS = ("status", "merge", "export")
"""May stand apart from ``screen``."""

STATUSES = ("done", "not_converged", "duplicate", "invalid", "failed")


def add_parser(subparsers: Any) -> None:
    """Add the commands to those of ``symcalc``."""
    status = subparsers.add_parser(
        "screen-status",
        help="what is in the store of a screen",
        description="Count the results of a screen, also while it runs.",
    )
    status.add_argument("store", type=Path, metavar="STORE.sqlite")
    status.add_argument(
        "--failed", action="store_true", help="list failures, and what cannot be one, and why"
    )
    status.add_argument("--json", action="store_true", help="print JSON instead of tables")
    status.set_defaults(run=run_status)

    merge = subparsers.add_parser(
        "screen-merge",
        help="put the stores of several screens into one",
        description="Take over the results of stores, of the shards of a job array say. What is "
        "better is kept: done, then not_converged, duplicate, invalid, failed.",
    )
    merge.add_argument("stores", nargs="+", type=Path, metavar="STORE.sqlite")
    merge.add_argument("--out", type=Path, required=True, metavar="STORE.sqlite")
    merge.set_defaults(run=run_merge)

    export = subparsers.add_parser(
        "screen-export",
        help="results of a screen as a table or as structures",
        description="Write results as a table (.csv, .parquet) or as structures (.extxyz, .db "
        "of ASE).",
    )
    export.add_argument("store", type=Path, metavar="STORE.sqlite")
    export.add_argument("--out", type=Path, required=True, metavar="FILE")
    export.add_argument("--status", choices=STATUSES, help="only these")
    export.set_defaults(run=run_export)


def run_status(args: argparse.Namespace) -> int:
    """Print how many results there are of which status."""
    from rich.table import Table

    from ase_symcalc.cli.console import output
    from ase_symcalc.screening import Store

    with Store(args.store) as store:
        counts, settings = store.counts(), store.settings()
        failures = []
        if args.failed:
            failures = [
                (each.label, each.error)
                for status in ("failed", "invalid")
                for each in store.outcomes(status)
            ]
    if args.json:
        nested = {
            digest: {
                "settings": settings[digest],
                "statuses": {s: n for (d, s), n in counts.items() if d == digest},
            }
            for digest in settings
        }
        print(json.dumps({"screens": nested, "failures": failures}))
        return 0
    table = Table("settings", "work", "potential", *STATUSES)
    for digest, values in settings.items():
        numbers = [str(counts.get((digest, status), 0)) for status in STATUSES]
        table.add_row(digest, values["kind"], values["digest"][:12], *numbers)
    output().print(table)
    for label, error in failures:
        print(f"{label}: {error}")
    return 0


def run_merge(args: argparse.Namespace) -> int:
    """Merge stores, all of which are opened before the first is read."""
    from contextlib import ExitStack

    from ase_symcalc.errors import InputError
    from ase_symcalc.screening import Store

    if args.out.resolve() in {path.resolve() for path in args.stores}:
        raise InputError(f"{args.out} is among the stores to be merged into it; leave it out there")
    with ExitStack() as files:
        others = [files.enter_context(Store(path)) for path in args.stores]
        store = files.enter_context(Store(args.out, write=True))
        taken = [store.merge(other) for other in others]
    for path, count in zip(args.stores, taken, strict=True):
        print(f"{path}: {count} results taken over")
    return 0


def run_export(args: argparse.Namespace) -> int:
    """Export what is in a store."""
    from ase_symcalc.cli.structure_files import check_writable
    from ase_symcalc.screening import Store, export

    check_writable(args.out)
    with Store(args.store) as store:
        count = export(store, args.out, status=args.status)
    print(f"{count} results written to {args.out}")
    return 0
