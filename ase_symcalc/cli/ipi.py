"""``symcalc ipi``: where i-PI finds our potentials."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
from typing import Any


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "ipi",
        help="print the path of the file by which i-PI takes potentials",
        description="Print the path of a PES file for i-PI: for <pes_path> in an input, or in "
        "i-pi-driver-py -u -a ADDRESS -m custom -P $(symcalc ipi) -o template=init.xyz. "
        "Options of it: template=FILE with the atoms in i-PI's order, potential=NAME, "
        "dtype=float32, device=cpu, threads=1. Beads of a batch are evaluated together.",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the path; 0, unless i-PI is not installed."""
    from ase_symcalc import integrations
    from ase_symcalc.errors import InputError

    if find_spec("ipi") is None:
        raise InputError("i-PI is not installed: python -m pip install 'ase-symcalc[ipi]'")
    print(Path(integrations.__file__).with_name("ipi_pes.py"))
    return 0
