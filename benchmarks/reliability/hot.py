"""Crystals at twice the temperature at which they melt, and atoms that start on top of each other.

    python benchmarks/reliability/hot.py --out hot.json

Each element by itself, 32 atoms, Langevin at constant volume. Then crystals in which pairs of atoms
are pushed together to between a tenth and a half of a bond, relaxed and let go.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

import numpy as np
from ase import units
from ase.build import bulk
from ase.calculators.calculator import CalculatorError
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta

from ase_symcalc import SymCalc, load_potential
from ase_symcalc.apps import relax_many
from ase_symcalc.errors import OutsideTrainingWarning

sys.path.insert(0, str(Path(__file__).parents[1]))
from _timing import about

CRYSTALS = {
    "Li": ("bcc", 3.43, 454, 1.0),
    "Si": ("diamond", 5.47, 1687, 2.0),
    "Ni": ("fcc", 3.52, 1728, 2.0),
    "Cu": ("fcc", 3.63, 1358, 2.0),
    "Ge": ("diamond", 5.76, 1211, 2.0),
    "Nb": ("bcc", 3.32, 2750, 2.0),
    "Mo": ("bcc", 3.16, 2896, 2.0),
    "Ag": ("fcc", 4.15, 1235, 2.0),
    "Ta": ("bcc", 3.32, 3290, 2.0),
    "W": ("bcc", 3.18, 3695, 2.0),
    "Au": ("fcc", 4.16, 1337, 2.0),
}
"""Element: lattice, a / Å, melting temperature / K, time step / fs."""
REPEATS = {"fcc": (2, 2, 2), "bcc": (2, 2, 4), "diamond": (2, 2, 1)}
EVERY = 20
"""Steps between two readings."""


def perfect(symbol):
    lattice, a, _, _ = CRYSTALS[symbol]
    return bulk(symbol, lattice, a=a, cubic=True) * REPEATS[lattice]


def closest(atoms):
    distances = atoms.get_all_distances(mic=True)
    return float(distances[np.triu_indices(len(atoms), 1)].min())


def heated(symbol, calculator, temperature, picoseconds, rng, atoms=None):
    """Run Langevin; what was read on the way, and the sentence that ended it."""
    step = CRYSTALS[symbol][3] if atoms is None else 0.5
    atoms = perfect(symbol) if atoms is None else atoms
    bond = closest(perfect(symbol))
    atoms.calc = calculator
    thermalize_momenta(atoms, temperature_K=temperature, rng=rng)
    dynamics = Langevin(
        atoms,
        step * units.fs,
        temperature_K=temperature,
        friction=0.02 / units.fs,
        rng=rng,
        fixcm=False,
    )
    rows, error = [], None
    try:
        for _ in range(round(picoseconds * 1000 / step / EVERY)):
            dynamics.run(EVERY)
            rows.append((atoms.get_temperature(), atoms.get_potential_energy(), closest(atoms)))
    except CalculatorError as why:
        error = str(why)
    read = np.array(rows).reshape(-1, 3)
    half = read[len(read) // 2 :]
    return {
        "target_k": temperature,
        "timestep_fs": step,
        "picoseconds": len(rows) * EVERY * step / 1000,
        "error": error,
        "finite": bool(np.isfinite(read).all() and np.isfinite(atoms.positions).all()),
        "mean_temperature_k": half[:, 0].mean() if len(half) else None,
        "highest_temperature_k": read[:, 0].max(initial=0.0),
        "closest_share_of_bond": read[:, 2].min(initial=np.inf) / bond,
    }


def pushed(symbol, rng):
    """A crystal with pairs of its atoms pushed together."""
    atoms = perfect(symbol)
    bond = closest(atoms)
    atoms.rattle(0.05, rng=rng)
    for _ in range(rng.integers(1, 4)):
        first = rng.integers(len(atoms))
        away = atoms.get_distances(first, np.arange(len(atoms)), mic=True, vector=True)
        lengths = np.linalg.norm(away, axis=1)
        second = int(np.argsort(lengths)[1])
        share = rng.uniform(0.1, 0.5) * bond
        atoms.positions[second] = atoms.positions[first] + away[second] / lengths[second] * share
    return atoms


def tally(relaxed):
    count = {"converged": 0, "not converged": 0, "raised": 0, "not finite": 0}
    for one in relaxed:
        if one.error is not None:
            count["raised"] += 1
        elif not np.isfinite([one.energy, one.fmax, *one.atoms.positions.ravel()]).all():
            count["not finite"] += 1
        else:
            count["converged" if one.converged else "not converged"] += 1
    return count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", default="default")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--picoseconds", type=float, default=20.0)
    parser.add_argument("--starts", type=int, default=20, help="for each element")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    potential = load_potential(args.potential, dtype=args.dtype)
    rng = np.random.default_rng(7)
    hot, freed, relaxations = {}, {}, {}
    warnings.simplefilter("ignore", OutsideTrainingWarning)  # that is what they are for
    for symbol in (s for s in CRYSTALS if s in potential.card.elements):
        calculator = SymCalc(potential, dtype=args.dtype)
        twice = 2 * CRYSTALS[symbol][2]
        hot[symbol] = heated(symbol, calculator, twice, args.picoseconds, rng)
        starts = [pushed(symbol, rng) for _ in range(args.starts)]
        relaxations[symbol] = tally(relax_many(starts, potential, fmax=0.05, max_steps=300))
        freed[symbol] = heated(symbol, calculator, 300, args.picoseconds / 20, rng, starts[0])
        for name, row in (("twice the melting point", hot), ("pushed together, 300 K", freed)):
            one = row[symbol]
            print(
                f"{symbol:3}{name:26}{one['picoseconds']:6.1f} ps, highest "
                f"{one['highest_temperature_k']:.0f} of {one['target_k']:.0f} K, closest "
                f"{one['closest_share_of_bond']:.2f} of a bond; {one['error']}"
            )
        print(f"{symbol:3}pushed together, relaxed", relaxations[symbol], flush=True)
    if args.out:
        record = about(
            potential=potential.card.name,
            digest=potential.digest,
            dtype=args.dtype,
            twice_melting=hot,
            pushed_together_relaxed=relaxations,
            pushed_together_300_k=freed,
        )
        args.out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
