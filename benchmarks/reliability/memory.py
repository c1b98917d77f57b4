"""Resident memory over ten thousand evaluations of structures that change.

    python benchmarks/reliability/memory.py --out memory.json

Crystals with and without symmetry and clusters, of one to 216 atoms, in random order; one of 4096
atoms in every thousand. A picture is drawn beside the numbers.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from matplotlib.figure import Figure

from ase_symcalc import SymCalc, __version__

sys.path.insert(0, str(Path(__file__).parents[1]))

from _memory import resident

CRYSTALS = {
    "Li": ("bcc", 3.43),
    "Si": ("diamond", 5.47),
    "Ni": ("fcc", 3.51),
    "Cu": ("fcc", 3.62),
    "Ge": ("diamond", 5.76),
    "Mo": ("bcc", 3.17),
}
EVERY = 50
"""Evaluations between two readings."""


def structure(rng, number):
    symbol = rng.choice(list(CRYSTALS))
    lattice, a = CRYSTALS[symbol]
    atoms = bulk(symbol, lattice, a=a * rng.uniform(0.97, 1.05), cubic=True)
    if number % 1000 == 500:
        atoms = bulk("Si", cubic=True) * (8, 8, 8)
    else:
        atoms *= rng.integers(1, 4, 3).tolist()
    if rng.random() < 0.5:
        atoms.rattle(0.05, rng=rng)
    return Atoms(atoms.symbols, atoms.positions) if rng.random() < 0.2 else atoms


def curve(calc, n, seed):
    rng, rows = np.random.default_rng(seed), []
    for number in range(n):
        calc.get_property(rng.choice(["energy", "forces"]), structure(rng, number))
        if (number + 1) % EVERY == 0:
            rows.append((number + 1, resident()))
    return rows


def draw(rows, path):
    figure = Figure(figsize=(6, 3), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*rows, strict=True))
    axes.set(xlabel="evaluations", ylabel="resident memory / MiB", ylim=(0, None))
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", default="default")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--evaluations", type=int, default=10_000)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    calc = SymCalc(args.potential, dtype=args.dtype)
    rows = curve(calc, args.evaluations, seed=7)
    later = [mib for number, mib in rows if number > args.evaluations // 10]
    result = {
        "version": __version__,
        "potential": calc.potentials[0].card.name,
        "dtype": args.dtype,
        "threads": torch.get_num_threads(),
        "evaluations": args.evaluations,
        "after_a_tenth_mib": later[0],
        "most_later_mib": max(later),
        "at_the_end_mib": later[-1],
        "slope_mib_per_1000": 1000 * np.polyfit(*np.transpose(rows[len(rows) // 10 :]), 1)[0],
        "curve": rows,
    }
    print({name: value for name, value in result.items() if name != "curve"})
    if args.out:
        args.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        draw(rows, args.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
