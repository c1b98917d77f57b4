"""Time of whole jobs with and without the use of symmetry.

    python benchmarks/speed/apps.py --out benchmarks/results/apps.json

Each job of `JOBS` runs on each crystal of `crystals` with symmetry "auto" and "off", in turns,
float64; the fastest time of each counts. Results of earlier runs for other jobs, crystals or
potentials stay in the file.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch
from ase import Atoms
from ase.build import bulk

sys.path.insert(0, str(Path(__file__).parents[1]))
from _timing import about

from ase_symcalc import SymCalc, load_potential
from ase_symcalc.apps import elastic, eos, phonons, relax

JOBS = {  # name: what is done to a crystal at its minimum, with a calculator; returns a number
    "eos": lambda atoms: eos(atoms).best.bulk_modulus,
    "elastic": lambda atoms: float(elastic(atoms).constants[0, 0]),
    "phonons": lambda atoms: float(phonons(atoms).gamma[-1]),
}


def crystals():
    a = 3.946
    places = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    perovskite = Atoms("SrTiO3", scaled_positions=places, cell=[a, a, a], pbc=True)
    return {
        "Si 8": bulk("Si", cubic=True),
        "Si 64": bulk("Si", cubic=True) * (2, 2, 2),
        "Si 216": bulk("Si", cubic=True) * (3, 3, 3),
        "SrTiO3 40": perovskite * (2, 2, 2),
    }


def measure(job, atoms, potential, repeats):
    """Seconds with and without symmetry, and what came out."""
    times, values = {"auto": [], "off": []}, {}
    calculators = {symmetry: SymCalc(potential, symmetry=symmetry) for symmetry in times}
    atoms.calc = calculators["auto"]
    start = relax(atoms, fmax=1e-3).atoms
    for _ in range(repeats):
        for symmetry, calculator in calculators.items():
            fresh = start.copy()
            fresh.calc = calculator
            calculator.reset()
            begin = time.perf_counter()
            values[symmetry] = job(fresh)
            times[symmetry].append(time.perf_counter() - begin)
    fastest = {symmetry: min(taken) for symmetry, taken in times.items()}
    return {
        "seconds": fastest,
        "faster": fastest["off"] / fastest["auto"],
        "values": values,
        "repeats": repeats,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", default="pbe16")
    parser.add_argument("--job", nargs="+", choices=list(JOBS), default=list(JOBS))
    parser.add_argument("--only", help="part of a crystal's name")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", help="write the numbers as JSON")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    potential = load_potential(args.potential)
    rows = []
    for name, atoms in crystals().items():
        if args.only and args.only not in name:
            continue
        if not set(atoms.symbols) <= set(potential.card.elements):
            continue
        for job in args.job:
            row = measure(JOBS[job], atoms, potential, args.repeats)
            rows.append({"job": job, "crystal": name, "potential": potential.card.name, **row})
            seconds = row["seconds"]
            print(
                f"{job:10} {name:12} {seconds['auto']:8.2f} s {seconds['off']:8.2f} s"
                f" {row['faster']:6.2f} times"
            )
    if args.out:
        path = Path(args.out)
        done = {(row["job"], row["crystal"], row["potential"]) for row in rows}
        known = json.loads(path.read_text("utf-8"))["jobs"] if path.exists() else []
        others = [
            row for row in known if (row["job"], row["crystal"], row["potential"]) not in done
        ]
        result = about(jobs=[*others, *rows])
        path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
