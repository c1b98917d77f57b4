"""Time of many relaxations in lock-step against one after another.

    python benchmarks/scale/batches.py --out benchmarks/results/batches.json

Crystals of 2 to 20 atoms of the default potential's elements, strained and shaken, cells
relaxed to 0.01 eV/Å in float64: `relax_many` on all of them against a loop over `relax`, on the
first ones, without symmetry, which shaken crystals have not. Times are for each crystal: those
of the CPU, which other work on the machine changes least, and of the wall. The floor is the
network alone: the crystals evaluated together, neighbours known, as often as `relax_many` did.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from ase.build import bulk

sys.path.insert(0, str(Path(__file__).parents[1]))
from _memory import forget_peak, peak, resident
from _timing import about

from ase_symcalc import SymCalc, load_potential
from ase_symcalc.apps import relax, relax_many
from ase_symcalc.evaluation import evaluate_pairs
from ase_symcalc.structures import from_ase, neighbour_pairs

KINDS = {
    "Ni": ("fcc", 3.52),
    "Cu": ("fcc", 3.61),
    "Mo": ("bcc", 3.15),
    "Li": ("bcc", 3.44),
    "Si": ("diamond", 5.43),
    "Ge": ("diamond", 5.66),
}
MOST_ATOMS = 20


def crystals(n):
    """Supercells of 2 to 20 atoms, each with a strain and displacements of its own."""
    random = np.random.default_rng(0)
    structures = []
    for index in range(n):
        symbol = list(KINDS)[index % len(KINDS)]
        cell = bulk(symbol, *KINDS[symbol], cubic=True)
        atoms = cell * (int(random.integers(1, MOST_ATOMS // len(cell) + 1)), 1, 1)
        strain = random.normal(scale=0.02, size=(3, 3))
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        atoms.rattle(0.08, seed=index)
        structures.append(atoms)
    return structures


class Clock:
    """Adds up times."""

    def __init__(self):
        self.wall = self.cpu = 0.0

    def __call__(self, call):
        wall, cpu = time.perf_counter(), time.process_time()
        result = call()
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu
        return result


def _cpu(call):
    clock = Clock()
    clock(call)
    return clock.cpu


def loop(structures, calculator):
    results = []
    for given in structures:
        atoms = given.copy()
        atoms.calc = calculator
        results.append(relax(atoms))
    return results


def measure(structures, n_loop, potential):
    calculator = SymCalc(potential, symmetry="off")
    loop(structures[:2], calculator)
    list(relax_many(structures[:6], potential))
    single, together = Clock(), Clock()
    before = resident()
    forget_peak()
    batch = together(lambda: list(relax_many(structures, potential)))
    grown = peak() - before
    singles = single(lambda: loop(structures[:n_loop], calculator))
    known = [from_ase(atoms) for atoms in structures[:100]]
    cutoff = potential.model.cutoff
    pairs = [neighbour_pairs(a.positions, a.cell, a.pbc, cutoff) for a in known]
    together_again = list(zip(known, pairs, strict=True))
    floor = min(_cpu(lambda: evaluate_pairs(together_again, potential)) for _ in range(7))
    steps = np.mean([result.steps + 1 for result in batch])
    apart = [
        abs(a.energy - b.energies[-1]) / len(a.atoms)
        for a, b in zip(batch, singles, strict=False)  # only the first went through the loop
    ]
    n = len(structures)
    one, many = single.cpu / len(singles), together.cpu / n
    return {
        "crystals": [n, len(singles)],
        "atoms": float(np.mean([len(atoms) for atoms in structures])),
        "converged": [
            sum(result.converged for result in batch),
            sum(result.converged for result in singles),
        ],
        "evaluations": [float(steps), float(np.mean([r.steps + 1 for r in singles]))],
        "batch_cpu_ms": 1e3 * many,
        "loop_cpu_ms": 1e3 * one,
        "floor_cpu_ms": 1e3 * floor / len(known) * float(steps),
        "cpu_ratio": one / many,
        "wall_ratio": single.wall / len(singles) / (together.wall / n),
        "memory_MiB": grown,
        "energies_apart_meV_per_atom": {
            "median": 1e3 * float(np.median(apart)),
            "most": 1e3 * float(max(apart)),
        },
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crystals", type=int, default=60)
    parser.add_argument("--loop", type=int, default=60, help="of these, one after another")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    result = measure(crystals(args.crystals), args.loop, load_potential("default"))
    record = {"about": about(threads=args.threads), **result}
    text = json.dumps(record, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
