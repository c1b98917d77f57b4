"""A step of LAMMPS with a potential of ours, on one and more processes, beside SymCalc in ASE.

    python benchmarks/scale/lammps.py --out benchmarks/results/lammps.json

Copper at 300 K, velocity Verlet, one thread for each process. Processes share the machine's cores,
so times on more processes than free cores say nothing; bytes and ghosts do not depend on that.
"""

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from ase import units
from ase.build import bulk
from ase.io import write
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet

sys.path.pop(0)  # where this file would hide the package lammps
sys.path.insert(0, str(Path(__file__).parents[1]))
from _timing import about

from ase_symcalc import SymCalc, load_potential

INPUT = """units metal
read_data {data}
pair_style symcalc {potential} dtype {dtype}
pair_coeff * * Cu
neighbor 1.0 bin
velocity all create 300 1
fix nve all nve
timestep 0.002
thermo {steps}
run 2
run {steps}
"""


def copper(n):
    atoms = bulk("Cu", cubic=True) * (n, n, n)
    atoms.rattle(0.05, seed=1)
    return atoms


def in_ase(atoms, potential, steps):
    """Seconds of a step."""
    atoms.calc = SymCalc(potential, dtype=str(potential.dtype)[6:], symmetry="off")
    thermalize_momenta(atoms, temperature_K=300, rng=np.random.default_rng(0))
    md = VelocityVerlet(atoms, 2 * units.fs)
    md.run(2)
    start = time.perf_counter()
    md.run(steps)
    return (time.perf_counter() - start) / steps


def in_lammps(atoms, args, steps, n_processes):
    """Start processes that run this file, and read what the first one writes."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder) / "copper.data", Path(folder) / "out.json"
        write(data, atoms, format="lammps-data", masses=True)
        words = {"potential": args.potential, "dtype": args.dtype, "steps": steps}
        (Path(folder) / "in.lammps").write_text(INPUT.format(data=data, **words), "utf-8")
        launcher = str(Path(sys.executable).with_name("mpiexec.gforker"))
        command = [launcher, "-n", str(n_processes), sys.executable, __file__, "--worker", folder]
        environment = {**os.environ, "UCX_TLS": "shm,self", "OMP_NUM_THREADS": "1"}
        subprocess.run(command, env=environment, check=True, timeout=900)
        return json.loads(out.read_text("utf-8"))


def worker(folder):
    """One of the processes: the input, with a clock at each step."""
    from mpi4py import MPI

    from ase_symcalc.integrations import lammps_driver

    class Timed(lammps_driver.DomainForces):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.starts = []

        def __call__(self, *arguments):
            self.starts.append(time.perf_counter())
            super().__call__(*arguments)
            self.sent = self.domain.exchange.bytes_sent - getattr(self, "before", 0)
            self.before = self.domain.exchange.bytes_sent

    comm, lammps_driver.DomainForces = MPI.COMM_WORLD, Timed
    with lammps_driver.LammpsRun(folder / "in.lammps", log="none", screen=False) as lammps:
        lammps.run()
        forces, n_own = lammps.forces, lammps.lmp.extract_setting("nlocal")
        exchange = forces.domain.exchange
        here = {
            "atoms": n_own,
            "ghosts": len(forces.domain.rows) - n_own,
            "rows_sent": exchange.n_sent,
            "rows_received": exchange.n_received,
            "bytes_sent": forces.sent,
        }
        between = [b - a for a, b in itertools.pairwise(forces.starts[4:])]
        n_layers = lammps.potential.model.num_layers
    everywhere = comm.gather(here)
    if comm.rank:
        return
    total = {key: sum(one[key] for one in everywhere) for key in here}
    on_atoms = 9 * 8 * total["rows_received"]  # forces and virials of ghosts
    per_layer = (total["bytes_sent"] - on_atoms) / max(n_layers - 1, 1)
    result = {
        "ms_per_step": 1e3 * statistics.median(between),
        "fastest_ms": 1e3 * min(between),
        "steps": len(between),
        "searches": forces.n_searches,
        "of_processes": everywhere,
        "bytes_per_layer": per_layer,
        "bytes_per_layer_and_atom": per_layer / total["atoms"],
        "bytes_per_layer_and_row_sent": per_layer / max(total["rows_sent"], 1),
    }
    (folder / "out.json").write_text(json.dumps(result), "utf-8")


def measure(args):
    potential = load_potential(args.potential, dtype=args.dtype)
    rows = []
    for n in args.sizes:
        atoms = copper(n)
        steps = max(10, min(30, 20_000 // len(atoms)))
        row = {"atoms": len(atoms), "ase_ms_per_step": 1e3 * in_ase(copper(n), potential, steps)}
        for count in args.processes:
            row[f"lammps_{count}"] = in_lammps(atoms, args, steps, count)
        rows.append(row)
    return {
        "potential": potential.card.name,
        "digest": potential.digest,
        "layers": potential.model.num_layers,
        "cutoff": potential.card.cutoff,
        "sizes": rows,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", default="default")
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float32")
    parser.add_argument("--sizes", type=int, nargs="+", default=[4, 7], help="4 n³ atoms")
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        worker(args.worker)
        return
    torch.set_num_threads(1)
    record = {"about": about(dtype=args.dtype), **measure(args)}
    text = json.dumps(record, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
