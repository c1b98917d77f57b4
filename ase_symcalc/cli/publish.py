"""What is left of a run that is done: results, a page, a table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase import Atoms


def publish(
    args: argparse.Namespace,
    record: dict[str, Any],
    *,
    title: str,
    rows: Sequence[tuple[str, str]],
    caption: str,
    atoms: Atoms,
    files: Iterable[tuple[str, Path]],
    draw: Callable[[], object] | None = None,
) -> None:
    """Write the record, what else is to be written, and the page; print the record or a table.

    The record comes first: where it cannot be written, nothing is.

    Parameters
    ----------
    args : argparse.Namespace
    record : dict
        As `make_record` returns it.
    title : str
        Over the table and the page.
    rows : sequence of (str, str)
        Quantities with units, and values.
    caption : str
        Of the picture in ``args.plot``, if there is one.
    atoms : Atoms
        To be drawn on the page.
    files : iterable of (str, Path)
        What else is written.
    draw : callable, optional
        Writes the picture, and the other files.
    """
    from ase_symcalc.apps.record import write_json
    from ase_symcalc.cli.html_report import write_report

    write_json(args.out, record)
    if draw is not None:
        draw()
    shown = [(caption, args.plot)] if args.plot else []
    written = [("results", args.out), *(("plot", path) for _, path in shown), *files]
    if args.report:
        write_report(
            args.report,
            title=title,
            record=record,
            atoms=atoms,
            pictures=shown,
            table=rows,
            command_line=args.command_line,
        )
        written.append(("report", args.report))
    if args.json:
        print(json.dumps(record, indent=2, allow_nan=False))
    elif not args.quiet:
        _print_summary(title, rows, record, written)


def _print_summary(
    title: str,
    rows: Sequence[tuple[str, str]],
    record: dict[str, Any],
    written: Iterable[tuple[str, Path]],
) -> None:
    from rich.box import SIMPLE
    from rich.table import Table

    from ase_symcalc.cli.console import output

    console = output()
    table = Table(box=SIMPLE)
    table.add_column(title)
    table.add_column("", justify="right")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for sentence in record["warnings"]:
        console.print(f"warning: {sentence}", markup=False, soft_wrap=True)
    for name, path in written:
        console.print(f"{name:11s} {path}", markup=False, soft_wrap=True)
