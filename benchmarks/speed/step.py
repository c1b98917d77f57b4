"""What a step of molecular dynamics through ASE costs, from 8 to 4096 atoms, and where it goes.

    python benchmarks/speed/step.py --threads 2 --out step.json

Velocity Verlet on silicon at 300 K, symmetry off: energy, forces and stress of every step, no
answer from a cache. Each size runs in a process of its own, so that its peak memory is its own.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

REPEATS = (1, 2, 3, 4, 6, 8)


def measure(repeats, potential, dtype, threads, seconds):
    """Run MD for a while and return medians."""
    import resource
    import statistics

    import numpy as np
    import torch
    from ase import units
    from ase.build import bulk
    from ase.md.velocitydistribution import thermalize_momenta
    from ase.md.verlet import VelocityVerlet

    from ase_symcalc import SymCalc

    torch.set_num_threads(threads)
    atoms = bulk("Si", cubic=True) * (repeats, repeats, repeats)
    calc = atoms.calc = SymCalc(potential, dtype=dtype, symmetry="off")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    thermalize_momenta(atoms, temperature_K=300, rng=np.random.default_rng(0))
    dynamics = VelocityVerlet(atoms, 2 * units.fs)
    dynamics.run(3)
    walls, cpus, hops, rebuilt = [], [], [], 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(walls) < 10:
        wall, cpu = time.perf_counter(), time.process_time()
        dynamics.run(1)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
        hops.append(dict(calc.evaluation.seconds))
        rebuilt += calc.evaluation.list_rebuilt
    wall = statistics.median(walls)
    shares = {
        name: statistics.median(h.get(name, 0.0) for h in hops) / wall
        for name in sorted({n for h in hops for n in h})
    }
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "atoms": len(atoms),
        "edges": calc.evaluation.n_edges,
        "steps": len(walls),
        "wall_us_per_atom": 1e6 * wall / len(atoms),
        "cpu_us_per_atom": 1e6 * statistics.median(cpus) / len(atoms),
        "share_of_hops": shares,
        "lists_rebuilt": rebuilt,
        "memory_kib_per_atom": memory / len(atoms),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", default="default")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=8.0, help="for each size")
    parser.add_argument("--out", help="write the numbers as JSON")
    parser.add_argument("--only", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    settings = (args.potential, args.dtype, args.threads, args.seconds)
    if args.only:
        print(json.dumps(measure(args.only, *settings)))
        return
    rows = []
    print(f"{'atoms':>6}{'µs/atom':>10}{'CPU µs':>10}{'network':>10}{'KiB/atom':>10}")
    for repeats in REPEATS:
        command = [sys.executable, __file__, *sys.argv[1:], "--only", str(repeats)]
        row = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        rows.append(row)
        network = 100 * row["share_of_hops"].get("predict", 0)
        print(
            f"{row['atoms']:6}{row['wall_us_per_atom']:10.1f}{row['cpu_us_per_atom']:10.1f}"
            f"{network:9.0f}%{row['memory_kib_per_atom']:10.0f}",
            flush=True,
        )
    if args.out:
        from _timing import about

        settings = {"potential": args.potential, "dtype": args.dtype, "threads": args.threads}
        result = about(settings=settings, sizes=rows)
        Path(args.out).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
