"""A crystal is heated until it melts, and the names of its atoms' surroundings tell when.

    python benchmarks/analysis/melting.py --picture melting.png --out melting.json

Copper with ASE's EMT potential at constant volume, 5 % larger than at rest, heated at a constant
rate; a crystal without surfaces melts far above its melting point.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

sys.path.insert(0, str(Path(__file__).parents[1]))
from _timing import about

from ase_symcalc.analysis import GaussianBasis, PowerSpectrum, find_environments
from ase_symcalc.analysis.environments_plot import plot_environments


def heat(first, last, steps, every):
    rng = np.random.default_rng(1)
    atoms = bulk("Cu", cubic=True) * (3, 3, 3)
    atoms.set_cell(atoms.cell * 1.05 ** (1 / 3), scale_atoms=True)
    atoms.calc = EMT()
    MaxwellBoltzmannDistribution(atoms, temperature_K=first, rng=rng)
    dynamics = Langevin(
        atoms, 5 * units.fs, temperature_K=first, friction=0.02 / units.fs, rng=rng, fixcm=False
    )
    frames, temperatures = [], []
    for step in range(0, steps, every):
        target = first + (last - first) * step / steps
        dynamics.set_temperature(temperature_K=target)
        dynamics.run(every)
        frames.append(atoms.copy())
        temperatures.append(target)
    return frames, temperatures


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--first", type=float, default=300.0, help="K")
    parser.add_argument("--last", type=float, default=3300.0, help="K")
    parser.add_argument("--steps", type=int, default=2000, help="of 5 fs")
    parser.add_argument("--every", type=int, default=50)
    parser.add_argument("--picture", default="melting.png")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    args = parser.parse_args()
    frames, temperatures = heat(args.first, args.last, args.steps, args.every)
    descriptor = PowerSpectrum(("Cu",), GaussianBasis(5.0, 4, 6))
    found = find_environments(frames, descriptor, threshold=0.5)
    course = found.fractions()
    # from where they were in the first frame: atoms on their sites stay within tenths of the
    # distance of neighbours, those of a liquid do not
    moved = [
        float(((f.positions - frames[0].positions) ** 2).sum(axis=1).mean() ** 0.5) for f in frames
    ]
    plot_environments(found, args.picture, title="copper heated at constant volume")
    for i in range(0, len(frames), max(1, len(frames) // 12)):
        parts = {name: round(float(values[i]), 2) for name, values in course.items()}
        print(f"{temperatures[i]:.0f} K, moved {moved[i]:.2f} Å", parts)
    if args.out:
        record = (
            about()
            | {"temperature_K": temperatures, "moved_A": moved}
            | {n: v.tolist() for n, v in course.items()}
        )
        args.out.write_text(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
