"""Energy of silicon over a long run without a thermostat, each way that a run may be set up.

    python benchmarks/reliability/drift.py --out drift.json

Single and double precision, with and without a skin of the neighbour list, with and without
wrapping atoms back into the cell. All start from the same state. A picture is drawn beside the
numbers.
"""

import argparse
import itertools
import json
import sys
import time
from pathlib import Path

import numpy as np
from ase import units
from ase.build import bulk
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet
from matplotlib.figure import Figure

from ase_symcalc import SymCalc, load_potential

sys.path.insert(0, str(Path(__file__).parents[1]))
from _timing import about

EVERY = 10
"""Steps between two readings, and between two wrappings."""


def start():
    """Eight atoms at 600 K on their sites, so that about 300 K stay."""
    atoms = bulk("Si", a=5.47, cubic=True)
    thermalize_momenta(atoms, temperature_K=600, rng=np.random.default_rng(7))
    return atoms


def run(calculator, wrap, n_steps, step):
    """Energies, eV/atom; temperatures, K; neighbour searches; seconds."""
    atoms = start()
    atoms.calc = calculator
    dynamics = VelocityVerlet(atoms, step * units.fs)
    searches, rows = [], []
    dynamics.attach(lambda: searches.append(calculator.evaluation.list_rebuilt))
    seconds = time.process_time()
    for _ in range(n_steps // EVERY):
        dynamics.run(EVERY)
        rows.append((atoms.get_total_energy() / len(atoms), atoms.get_temperature()))
        if wrap:
            atoms.wrap()
            atoms.get_forces()  # the next step uses them, and does not search again
            searches.append(calculator.evaluation.list_rebuilt)
    energies, temperatures = np.transpose(rows)
    return energies, temperatures, int(np.sum(searches)), time.process_time() - seconds


def summary(energies, temperatures, times):
    """Slope of a line through the energies, and what is left beside it."""
    line = np.polyfit(times, energies, 1)
    fifth = len(energies) // 5
    return {
        "drift_mev_per_atom_ps": 1000 * line[0],
        "last_fifth_less_first_mev_per_atom": 1000
        * (energies[-fifth:].mean() - energies[:fifth].mean()),
        "spread_mev_per_atom": 1000 * np.std(energies - np.polyval(line, times)),
        "furthest_mev_per_atom": 1000 * np.abs(energies - energies[0]).max(),
        "mean_temperature_k": temperatures.mean(),
        "finite": bool(np.isfinite(energies).all()),
    }


def draw(curves, times, path):
    """Energy of one run, and by how much those of the others differ from it."""
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    left, right = figure.subplots(1, 2)
    (first, reference), *others = reversed(curves.items())
    left.plot(times, 1000 * (reference - reference.mean()), linewidth=0.5)
    left.set(title=", ".join(first), xlabel="time / ps", ylabel="energy / (meV/atom)")
    for name, energies in others:
        apart = 1000 * np.abs(energies - reference)
        right.plot(times, np.maximum(apart, 1e-13), ".", markersize=1, label=", ".join(name))
    right.set(title="differences from it", xlabel="time / ps", yscale="log")
    right.legend(fontsize="x-small", markerscale=6)
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", default="default")
    parser.add_argument("--picoseconds", type=float, default=100.0)
    parser.add_argument("--timestep", type=float, default=2.0, help="fs")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    n_steps = round(args.picoseconds * 1000 / args.timestep)
    times = EVERY * args.timestep / 1000 * np.arange(1, n_steps // EVERY + 1)
    runs, curves = [], {}
    print(f"{'':27}{'drift':>10}{'spread':>10}{'furthest':>10}{'searches':>10}{'ms/step':>9}")
    for dtype, skin, wrap in itertools.product(("float32", "float64"), (1.0, 0.0), (False, True)):
        potential = load_potential(args.potential, dtype=dtype)
        calculator = SymCalc(potential, dtype=dtype, skin=skin)
        energies, temperatures, searches, seconds = run(calculator, wrap, n_steps, args.timestep)
        row = {"dtype": dtype, "skin_angstrom": skin, "wrapped": wrap}
        row |= summary(energies, temperatures, times)
        row |= {"searches": searches, "cpu_ms_per_step": 1000 * seconds / n_steps}
        runs.append(row)
        how = (f"skin {skin:g} Å", "wrapped" if wrap else "as they go")
        curves[dtype, *how] = energies
        print(
            f"{', '.join((dtype, *how)):33}{row['drift_mev_per_atom_ps']:10.1e}"
            f"{row['spread_mev_per_atom']:10.4f}{row['furthest_mev_per_atom']:10.4f}"
            f"{searches:10}{row['cpu_ms_per_step']:9.2f}",
            flush=True,
        )
    if args.out:
        record = about(
            potential=potential.card.name,
            digest=potential.digest,
            atoms=len(start()),
            picoseconds=args.picoseconds,
            timestep_fs=args.timestep,
            runs=runs,
        )
        args.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        draw(curves, times, args.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
