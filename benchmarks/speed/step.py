"""What a step of molecular dynamics through ASE costs, from 8 to 4096 atoms, and where it goes.

    python benchmarks/speed/step.py --out step.json

Velocity Verlet on silicon at 300 K, symmetry off: energy, forces and stress of every step, no
answer from a cache. Each size runs in a process of its own, so that its peak memory is its own.
The needed arithmetic is that of the convolutions, forward and with the gradients by features and
by edges, and of the linear maps, forward and with the gradient by features; harmonics, splines,
gates, the readout and the neighbour list are not counted. The peak is that of a matrix product
in the same process; both are taken by CPU seconds, in which a shared machine does not count.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from _memory import forget_peak, peak, resident
from _timing import about, timed

REPEATS = (1, 2, 3, 4, 6, 8)
FIRST = """
from ase.build import bulk
from ase_symcalc import SymCalc
atoms = bulk("Si", cubic=True)
atoms.calc = SymCalc({potential!r}, dtype={dtype!r})
atoms.get_potential_energy()
"""


def measure(repeats, potential, dtype, threads, seconds):
    """Run MD for a while and return medians."""
    import torch

    from ase_symcalc import SymCalc, load_potential

    torch.set_num_threads(threads)
    potential = load_potential(potential, dtype=dtype)
    calc = SymCalc(potential, dtype=dtype, symmetry="off")
    loaded = resident()
    forget_peak()
    dynamics = verlet(calc, repeats)
    dynamics.run(3)
    walls, cpus, hops, rebuilt = [], [], [], 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(walls) < 10:
        wall, cpu = timed(lambda: dynamics.run(1))
        walls.append(wall)
        cpus.append(cpu)
        hops.append(dict(calc.evaluation.seconds))
        rebuilt += calc.evaluation.list_rebuilt
    grown = peak() - loaded
    atoms, edges = dynamics.atoms, calc.evaluation.n_edges
    wall = statistics.median(walls)
    shares = {
        name: statistics.median(h.get(name, 0.0) for h in hops) / wall
        for name in sorted({n for h in hops for n in h})
    }
    per_edge, per_atom = needed_flops(potential.model)
    flops = edges * per_edge + len(atoms) * per_atom
    most = peak_flops(getattr(torch, dtype))
    return {
        "atoms": len(atoms),
        "edges": edges,
        "threads": threads,
        "dtype": dtype,
        "steps": len(walls),
        "wall_us_per_atom": 1e6 * wall / len(atoms),
        "fastest_us_per_atom": 1e6 * min(walls) / len(atoms),
        "cpu_us_per_atom": 1e6 * statistics.median(cpus) / len(atoms),
        "share_of_hops": shares,
        "forward": forward_share(calc, atoms, shares["network"] * wall),
        "lists_rebuilt": rebuilt,
        "memory_mib": grown,
        "flops_per_atom": flops / len(atoms),
        "peak_flops": most,
        "of_peak": flops / statistics.median(cpus) / most,
    }


def verlet(calc, repeats):
    import numpy as np
    from ase import units
    from ase.build import bulk
    from ase.md.velocitydistribution import thermalize_momenta
    from ase.md.verlet import VelocityVerlet

    atoms = bulk("Si", cubic=True) * (repeats, repeats, repeats)
    atoms.calc = calc
    thermalize_momenta(atoms, temperature_K=300, rng=np.random.default_rng(0))
    return VelocityVerlet(atoms, 2 * units.fs)


def forward_share(calc, atoms, network):
    """What an energy without derivatives takes of the network's time."""
    seconds = []
    for _ in range(5):
        atoms.positions[0] += 1e-4
        atoms.get_potential_energy()
        seconds.append(calc.evaluation.seconds["network"])
    return statistics.median(seconds) / network


def needed_flops(model):
    """Multiplications and additions for energy, forces and stress: per edge, per atom.

    A convolution is linear in features and in edges, so its two gradients cost as much again
    each. The first layer's features are those of a species: nothing flows back into them.
    """
    per_edge = per_atom = 0
    for number, layer in enumerate(model.layers):
        back = number > 0
        per_edge += (2 + back) * layer.table.flops_per_edge
        maps = {name: each for name, each in layer.named_children() if hasattr(each, "form")}
        for name, each in maps.items():
            size = sum(2 * a.dim * a.mul * b.mul for a, b in each.form.pairs)
            per_atom += (2 if name == "after" else 1 + back) * size
    return per_edge, per_atom


def peak_flops(dtype, size=1536):
    """Operations in a CPU second of the fastest of some matrix products."""
    import torch

    a = torch.randn(size, size, dtype=dtype)
    return 2 * size**3 / min(timed(lambda: a @ a)[1] for _ in range(6))


def first_energy(potential, dtype, times=3):
    """Median wall and CPU time of a fresh process, from its start to its end."""
    command = [sys.executable, "-c", FIRST.format(potential=potential, dtype=dtype)]
    walls, cpus = [], []
    for _ in range(times):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        walls.append(timed(lambda: subprocess.run(command, check=True))[0])
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return {"wall": statistics.median(walls), "cpu": statistics.median(cpus)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", default="default")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "float64"])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--repeats", nargs="+", type=int, default=REPEATS, help="cells per edge")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each size")
    parser.add_argument("--out", help="write the numbers as JSON")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        print(json.dumps(measure(**json.loads(args.only))))
        return
    start = first_energy(args.potential, args.dtypes[0])
    print(f"first energy of a fresh process: {start['wall']:.2f} s ({start['cpu']:.2f} s CPU)")
    head = ("threads", "dtype", "atoms", "µs/atom", "CPU µs", "network", "of peak", "MiB")
    print("".join(f"{name:>10}" for name in head))
    rows = [
        run(args, repeats, dtype, threads)
        for threads in args.threads
        for dtype in args.dtypes
        for repeats in args.repeats
    ]
    if args.out:
        settings = {"potential": args.potential, "seconds": args.seconds}
        result = about(settings=settings, first_energy=start, sizes=rows)
        Path(args.out).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


def run(args, repeats, dtype, threads):
    """Measure one size in a process of its own."""
    settings = {"repeats": repeats, "dtype": dtype, "threads": threads}
    settings |= {"potential": args.potential, "seconds": args.seconds}
    command = [sys.executable, __file__, "--only", json.dumps(settings)]
    row = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    print(
        f"{threads:10}{dtype:>10}{row['atoms']:10}{row['wall_us_per_atom']:10.1f}"
        f"{row['cpu_us_per_atom']:10.1f}{100 * row['share_of_hops']['network']:9.0f}%"
        f"{100 * row['of_peak']:9.1f}%{row['memory_mib']:10.1f}",
        flush=True,
    )
    return row


if __name__ == "__main__":
    main()
