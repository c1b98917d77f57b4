"""Molecular dynamics of the elements of a potential: does it hold, and does energy drift?

    python benchmarks/reliability/md.py --out md.json

For each crystal: Langevin at 300 K, then NVE from its last frame, so long each as asked for.
The drift is the slope of a line through the total energy per atom.
"""

import argparse
import json
import time

import numpy as np
import torch
from ase import units
from ase.build import bulk
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.md.verlet import VelocityVerlet

from ase_symcalc import SymCalc, __version__, load_potential

CELLS = {
    "Li": ("bcc", 3.43, 3, 2.0),
    "Si": ("diamond", 5.47, 2, 2.0),
    "Ni": ("fcc", 3.51, 2, 2.0),
    "Cu": ("fcc", 3.62, 2, 2.0),
    "Ge": ("diamond", 5.76, 2, 2.0),
    "Mo": ("bcc", 3.17, 3, 2.0),
}
"""Element: lattice, a / Å, repeats of the cubic cell, time step / fs."""


def run(symbol, calculator, picoseconds):
    lattice, a, repeats, step = CELLS[symbol]
    atoms = bulk(symbol, lattice, a=a, cubic=True) * (repeats, repeats, repeats)
    atoms.calc = calculator
    rng = np.random.default_rng(7)
    thermalize_momenta(atoms, temperature_K=300, rng=rng)
    n_steps = round(picoseconds * 1000 / step)
    seconds = time.perf_counter()
    thermostat = Langevin(
        atoms, step * units.fs, temperature_K=300, friction=0.01 / units.fs, rng=rng, fixcm=False
    )
    nvt = collect(thermostat, atoms, n_steps)
    nve = collect(VelocityVerlet(atoms, step * units.fs), atoms, n_steps)
    seconds = time.perf_counter() - seconds
    times = np.arange(len(nve)) * step / 1000
    drift = np.polyfit(times, nve[:, 1], 1)[0]
    return {
        "atoms": len(atoms),
        "step_fs": step,
        "picoseconds_each": picoseconds,
        "nvt_mean_temperature_k": nvt[len(nvt) // 5 :, 0].mean(),
        "nvt_highest_temperature_k": nvt[:, 0].max(),
        "nve_mean_temperature_k": nve[:, 0].mean(),
        "nve_drift_mev_per_atom_ps": 1000 * drift,
        "nve_spread_mev_per_atom": 1000
        * np.std(nve[:, 1] - np.polyval(np.polyfit(times, nve[:, 1], 1), times)),
        "largest_displacement_angstrom": float(np.abs(displacement(atoms, symbol)).max()),
        "ms_per_step": 1000 * seconds / (2 * n_steps),
    }


def collect(dynamics, atoms, n_steps):
    rows = []
    dynamics.attach(
        lambda: rows.append((atoms.get_temperature(), atoms.get_total_energy() / len(atoms)))
    )
    dynamics.run(n_steps)
    return np.array(rows)


def displacement(atoms, symbol):
    """Positions less those of the perfect crystal, centre of mass apart."""
    lattice, a, repeats, _ = CELLS[symbol]
    perfect = bulk(symbol, lattice, a=a, cubic=True) * (repeats, repeats, repeats)
    moved = atoms.positions - perfect.positions
    return moved - moved.mean(axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", default="default")
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--picoseconds", type=float, default=5.0)
    parser.add_argument("--out", help="write the numbers as JSON")
    args = parser.parse_args()
    potential = load_potential(args.potential, dtype=args.dtype)
    results = {}
    print(f"{'':4}{'atoms':>6}{'<T> NVT':>10}{'<T> NVE':>10}{'drift':>12}{'ms/step':>10}")
    for symbol in (s for s in CELLS if s in potential.card.elements):
        row = results[symbol] = run(symbol, SymCalc(potential, dtype=args.dtype), args.picoseconds)
        print(
            f"{symbol:4}{row['atoms']:6}{row['nvt_mean_temperature_k']:10.0f}"
            f"{row['nve_mean_temperature_k']:10.0f}{row['nve_drift_mev_per_atom_ps']:12.2e}"
            f"{row['ms_per_step']:10.1f}",
            flush=True,
        )
    if args.out:
        about = {
            "potential": potential.card.name,
            "digest": potential.digest,
            "dtype": args.dtype,
            "versions": {"ase_symcalc": __version__, "torch": torch.__version__},
            "date": time.strftime("%Y-%m-%d"),
        }
        with open(args.out, "w", encoding="utf-8") as stream:
            json.dump(about | {"elements": results}, stream, indent=2)


if __name__ == "__main__":
    main()
