"""What the tests let processes of LAMMPS do: ``python -m tests.integrations.lammps_job JOB.json``.

Each process runs every input of the job; the first writes what all have found.
"""

import json
import os
import sys
from pathlib import Path

from mpi4py import MPI

from ase_symcalc.errors import SymCalcError
from ase_symcalc.integrations import lammps_callback
from ase_symcalc.integrations.lammps_callback import end_all
from ase_symcalc.integrations.lammps_driver import LammpsRun

COMM = MPI.COMM_WORLD
THERMO = ("temp", "pe", "etotal", "vol", "lx", "ly", "lz", "xy")
THERMO += ("pxx", "pyy", "pzz", "pxy", "pxz", "pyz")


def gathered(lmp):
    """Positions and forces by ID, and sums that LAMMPS prints, in float64."""
    n = lmp.extract_setting("nlocal")
    take = lmp.numpy.extract_atom
    ids = take("id", nelem=n).ravel().tolist() if n else []
    columns = [take(name, nelem=n, dim=3).reshape(-1, 3).tolist() if n else [] for name in "xf"]
    for name, dim in (("e", 1), ("s", 6)):  # energies and stresses of atoms
        known = lmp.has_id("compute", name) and n
        values = lmp.numpy.extract_compute(name, 1, 1 + (dim > 1))[:n] if known else []
        columns.append(values if isinstance(values, list) else values.reshape(n, -1).tolist())
    parts = COMM.gather((ids, *columns))
    counts = COMM.gather(n)
    thermo = {key: lmp.get_thermo(key) for key in THERMO}
    if COMM.rank:
        return None
    every = {}
    for name, column in zip(("x", "f", "e", "s"), range(1, 5), strict=True):
        rows = {k: v for part in parts for k, v in zip(part[0], part[column], strict=False)}
        every[name] = [rows[k] for k in sorted(rows)]
    return {"thermo": thermo, "atoms_of_processes": counts, **every}


def runs(job):
    for name, path in job["run"].items():
        with LammpsRun(Path(path), log="none", screen=False) as lammps:
            lammps.run()
            found = gathered(lammps.lmp)
            found = found and {**found, "searches": lammps.forces.n_searches}
        yield name, found


def checks(job):
    for name, path in job["check"].items():
        with LammpsRun(Path(path), log="none", screen=False) as lammps:
            comparison = lammps.check()
        yield name, {row.name: row.difference for row in comparison.rows}


def refusals(job):
    for name, path in job["refuse"].items():
        try:
            with LammpsRun(Path(path), log="none", screen=False) as lammps:
                lammps.run()
        except SymCalcError as error:
            yield name, str(error)
        else:
            yield name, "was not refused"


def ends(job):
    """What would have ended the process: the first failure inside a step."""
    for name, path in job["end"].items():
        errors = []
        lammps_callback.end_all = lambda comm, error, errors=errors: errors.append(error)
        with LammpsRun(Path(path), log="none", screen=False) as lammps:
            lammps.run()
        yield name, [type(errors[0]).__name__, str(errors[0])]


def raising(step):
    """Let the last process fail in a step."""
    evaluate, calls = lammps_callback.evaluate_domain, []

    def evaluate_domain(*arguments):
        calls.append(1)
        if len(calls) == step and COMM.rank == COMM.size - 1:
            raise ZeroDivisionError("a fault on one process")
        return evaluate(*arguments)

    lammps_callback.evaluate_domain = evaluate_domain


def main():
    job = json.loads(Path(sys.argv[1]).read_text("utf-8"))
    if "raise" in job:
        raising(job["raise"])
    kinds = {"run": runs, "check": checks, "refuse": refusals, "end": ends}
    found = {kind: dict(kinds[kind](job)) for kind in kinds if kind in job}
    if COMM.rank == 0:
        Path(job["out"]).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except BaseException as error:
        end_all(COMM, error)
    os._exit(0)  # nothing to wait for
