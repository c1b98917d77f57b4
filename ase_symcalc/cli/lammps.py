"""``symcalc lammps``: an ordinary LAMMPS input with a potential of ours."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ase_symcalc.integrations.lammps_check import Comparison
    from ase_symcalc.integrations.lammps_driver import LammpsRun

DIFFERS = 1
PROGRAM = """import os, sys, threading
out, err, alive = map(int, sys.argv.pop(1).split(","))
os.dup2(out, 1), os.dup2(err, 2)
def end_with_starter():
    os.read(alive, 1)
    os._exit(1)
threading.Thread(target=end_with_starter, daemon=True).start()
from ase_symcalc.cli.main import main
sys.exit(main())"""
"""What a process runs that writes where the one that started it writes, and ends with it"""
PATIENCE = 5.0
"""Seconds for processes to finish their step after Ctrl-C, which reaches them too"""


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "lammps",
        help="run a LAMMPS input with a potential, on one or many processes",
        description="Run an input of LAMMPS in which `pair_style symcalc NAME [dtype float32] "
        "[device cuda]` names the potential and `pair_coeff * * Cu Ag` the element of each atom "
        "type. `mpiexec -n 4 symcalc lammps in.lammps` and `symcalc lammps -n 4 in.lammps` share "
        "the atoms out to four processes. Units are metal.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the input")
    parser.add_argument(
        "-n", "--processes", type=int, metavar="N", help="start so many on this machine"
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="stop at the first run and compare energy, forces and stress with SymCalc; exit code "
        "1 means that they differ",
    )
    parser.add_argument(
        "--var",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a variable of the input, as LAMMPS' -var; may be given several times",
    )
    parser.add_argument(
        "--log", default="log.lammps", metavar="FILE", help="of LAMMPS (default: log.lammps)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run; 0 when done, 1 when a check found a difference, 2 when it was refused."""
    if args.processes is not None:
        return _launch(args)
    from ase_symcalc.integrations.lammps_callback import end_all
    from ase_symcalc.integrations.lammps_driver import LammpsRun, share_cores, together, world

    comm = world()
    meeting = comm.Dup()  # nothing else is said there
    try:
        share_cores(comm)
        with LammpsRun(args.file, variables=dict(args.var), log=args.log, comm=comm) as lammps:
            if args.check:
                return _check(lammps, comm)
            lammps.run()
            return 0
    except BaseException as error:
        if not together(meeting):
            end_all(comm, error)
        if comm.rank:  # the first one speaks for all
            return 2
        raise


def _check(lammps: LammpsRun, comm: Any) -> int:
    comparison = lammps.check()
    if comm.rank == 0:
        _print_table(comparison)
    return 0 if comm.bcast(comparison.agrees) else DIFFERS


def _print_table(comparison: Comparison) -> None:
    from rich.box import SIMPLE
    from rich.table import Table

    from ase_symcalc.cli.console import output

    table = Table("", "LAMMPS", "SymCalc", "largest difference", "allowed", "unit", box=SIMPLE)
    for row in comparison.rows:
        numbers = f"{row.lammps:.8f}", f"{row.symcalc:.8f}", f"{row.difference:.1e}"
        table.add_row(row.name, *numbers, f"{row.allowed:.0e}", row.unit)
    output().print(table)
    differing = [row.name for row in comparison.rows if not row.agrees]
    verdict = f"{' and '.join(differing)} DIFFER: do not use this LAMMPS" if differing else "agree"
    print(f"{comparison.n_atoms} atoms: {verdict}", flush=True)


def _launch(args: argparse.Namespace) -> int:
    """Start the same command in several processes that talk through shared memory."""
    import os
    import shutil
    import subprocess

    from ase_symcalc.errors import InputError
    from ase_symcalc.integrations.lammps_driver import INSTALL

    if args.processes < 1:
        raise InputError(f"expected -n to be at least 1, got {args.processes}")
    beside = Path(sys.executable).with_name("mpiexec.gforker")
    launcher = str(beside) if beside.exists() else shutil.which("mpiexec.gforker")
    if launcher is None:
        raise InputError(f"several processes need mpich's mpiexec.gforker: {INSTALL}")
    words = [str(args.file), "--log", args.log, *(["--check"] if args.check else [])]
    words += [word for variable in args.var for word in ("--var", *variable)]
    command = [launcher, "-n", str(args.processes), sys.executable, "-c", PROGRAM]
    environment = {"UCX_TLS": "shm,self", **os.environ}  # no sockets
    # this launcher ends output at the first letter beyond ASCII, and processes outlive it
    alive, mine = os.pipe()
    handed_on = os.dup(1), os.dup(2), alive
    command += [",".join(map(str, handed_on)), "lammps", *words]
    try:
        launched = subprocess.Popen(command, env=environment, pass_fds=handed_on)
        try:
            return launched.wait()
        except KeyboardInterrupt:
            with suppress(subprocess.TimeoutExpired):
                launched.wait(PATIENCE)
            raise
    finally:
        for file in (*handed_on, mine):  # without ours, the processes end
            os.close(file)
