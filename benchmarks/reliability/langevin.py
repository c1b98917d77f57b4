"""Fifty thousand steps of molecular dynamics, and whether the temperature is that asked for.

    python benchmarks/reliability/langevin.py --out langevin.json

Copper, 32 atoms at 300 K. Kinetic energies of a canonical ensemble are gamma distributed; readings
are further apart than the thermostat remembers. A picture is drawn beside the numbers.
"""

import argparse
import json
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from ase import units
from ase.build import bulk
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from matplotlib.figure import Figure
from scipy.stats import gamma, kstest

from ase_symcalc import SymCalc

sys.path.insert(0, str(Path(__file__).parents[1]))
from _memory import resident
from _timing import about

TEMPERATURE = 300.0  # K
FRICTION = 0.02  # 1/fs
EVERY = 100
"""Steps between two readings."""


def perfect():
    return bulk("Cu", a=3.63, cubic=True) * (2, 2, 2)


def run(atoms, n_steps, step, rng):
    """Temperatures, K, and potential energies, eV, once in `EVERY` steps; counts."""
    thermalize_momenta(atoms, temperature_K=TEMPERATURE, rng=rng)
    dynamics = Langevin(
        atoms,
        step * units.fs,
        temperature_K=TEMPERATURE,
        friction=FRICTION / units.fs,
        rng=rng,
        fixcm=False,
    )
    counts = {"searches": 0, "not_finite": 0}

    def count():
        counts["searches"] += atoms.calc.evaluation.list_rebuilt
        counts["not_finite"] += not np.isfinite(atoms.calc.results["forces"]).all()

    dynamics.attach(count)
    rows = []
    for _ in range(n_steps // EVERY):
        dynamics.run(EVERY)
        rows.append((atoms.get_temperature(), atoms.get_potential_energy()))
    return np.array(rows), {"steps": dynamics.nsteps, **counts}


def draw(temperatures, expected, path):
    figure = Figure(figsize=(9, 3), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    left.plot(temperatures, linewidth=0.5)
    left.set(xlabel=f"step / {EVERY}", ylabel="temperature / K")
    right.hist(temperatures, bins=30, density=True, alpha=0.6)
    at = np.linspace(*expected.interval(0.9999), 200)
    right.plot(at, expected.pdf(at))
    right.set(xlabel="temperature / K", ylabel="density")
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", default="default")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--timestep", type=float, default=2.0, help="fs")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    atoms = perfect()
    atoms.calc = SymCalc(args.potential, dtype=args.dtype)
    atoms.get_forces()
    before, seconds = resident(), time.process_time()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        rows, counts = run(atoms, args.steps, args.timestep, np.random.default_rng(7))
    seconds = time.process_time() - seconds
    temperatures = rows[len(rows) // 50 :, 0]
    shape = 1.5 * len(atoms)
    expected = gamma(shape, scale=TEMPERATURE / shape)
    error = temperatures.std() / np.sqrt(len(temperatures))
    away = atoms.positions - perfect().positions
    result = {
        "atoms": len(atoms),
        "timestep_fs": args.timestep,
        **counts,
        "warnings": sorted({str(one.message) for one in warned}),
        "mean_temperature_k": temperatures.mean(),
        "standard_error_k": error,
        "variance_over_expected": temperatures.var() / expected.var(),
        "kolmogorov_smirnov_p": float(kstest(temperatures, expected.cdf).pvalue),
        "highest_temperature_k": temperatures.max(),
        "furthest_from_site_angstrom": float(
            np.linalg.norm(away - away.mean(axis=0), axis=1).max()
        ),
        "grown_mib": resident() - before,
        "cpu_ms_per_step": 1000 * seconds / args.steps,
    }
    print(result)
    if args.out:
        (potential,) = atoms.calc.potentials
        record = about(potential=potential.card.name, digest=potential.digest, dtype=args.dtype)
        args.out.write_text(json.dumps(record | result, indent=1) + "\n", encoding="utf-8")
        draw(temperatures, expected, args.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
