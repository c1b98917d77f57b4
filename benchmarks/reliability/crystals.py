"""Random crystals relaxed together, and what became of them.

    python benchmarks/reliability/crystals.py --out random_crystals.json

One to three of the potential's elements, two to twelve atoms at random places in random cells, from
half to twice the volume that covalent spheres would fill at random; in one of ten, two atoms nearly
coincide. A picture is drawn beside the numbers.
"""

import argparse
import json
import sys
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii
from ase.geometry import cellpar_to_cell
from matplotlib.figure import Figure

from ase_symcalc import load_potential
from ase_symcalc.apps import relax_many
from ase_symcalc.errors import OutsideTrainingWarning
from ase_symcalc.structures import from_ase, neighbour_pairs

sys.path.insert(0, str(Path(__file__).parents[1]))
from _timing import about

FILLED = 0.64  # of space, by spheres packed at random
CLOSE, APART = 0.6, 1.5
"""Shares of the sum of covalent radii: atoms nearer or further than these are not bound."""
DEEP = -20.0  # eV/atom; no element is bound so much
OUTCOMES = ("converged", "not converged", "refused", "stopped by an error", "not finite")


def crystal(rng, elements):
    """One random crystal; whether two atoms nearly coincide stands in its ``info``."""
    chosen = rng.choice(elements, min(rng.integers(1, 4), len(elements)), replace=False)
    n_atoms = rng.integers(max(2, len(chosen)), 13)
    symbols = [*chosen, *rng.choice(chosen, n_atoms - len(chosen))]
    radii = covalent_radii[[atomic_numbers[symbol] for symbol in symbols]]
    volume = 4 / 3 * np.pi * (radii**3).sum() / FILLED * 2 ** rng.uniform(-1, 1)
    shape = cellpar_to_cell([*rng.uniform(0.6, 1.6, 3), *rng.uniform(60, 120, 3)])
    cell = shape * (volume / abs(np.linalg.det(shape))) ** (1 / 3)
    atoms = Atoms(symbols, cell=cell, pbc=True, scaled_positions=rng.random((n_atoms, 3)))
    atoms.info["overlapping"] = bool(rng.random() < 0.1)
    if atoms.info["overlapping"]:
        direction = rng.normal(size=3)
        direction *= 10 ** rng.uniform(-3, -0.3) / np.linalg.norm(direction)
        atoms.positions[1] = atoms.positions[0] + direction
    return atoms


def closest(atoms):
    """Least distance of two atoms, as a share of the sum of their covalent radii; at most 2."""
    arrays = from_ase(atoms)
    radii = covalent_radii[arrays.atomic_numbers]
    pairs = neighbour_pairs(arrays.positions, arrays.cell, arrays.pbc, 4 * radii.max())
    i, j = pairs.centre, pairs.neighbour
    vectors = arrays.positions[j] - arrays.positions[i] + pairs.unit_shifts @ arrays.cell
    return float((np.linalg.norm(vectors, axis=1) / (radii[i] + radii[j])).min(initial=2.0))


def outcome(relaxed):
    """Which of `OUTCOMES`."""
    if relaxed.error is not None:
        return "refused" if relaxed.steps == 0 else "stopped by an error"
    atoms = relaxed.atoms
    numbers = (relaxed.energy, relaxed.fmax, atoms.positions, atoms.cell.array, atoms.get_forces())
    if not all(np.isfinite(number).all() for number in numbers):
        return "not finite"
    return "converged" if relaxed.converged else "not converged"


def row(relaxed):
    atoms = relaxed.atoms
    found = {
        "outcome": outcome(relaxed),
        "formula": atoms.get_chemical_formula(),
        "elements": len(set(atoms.symbols)),
        "overlapping": atoms.info["overlapping"],
        "steps": relaxed.steps,
        "error": relaxed.error,
    }
    if relaxed.error is None:
        found |= {
            "energy_ev_per_atom": relaxed.energy / len(atoms),
            "volume_angstrom3_per_atom": atoms.get_volume() / len(atoms),
            "closest_share_of_radii": closest(atoms),
        }
    return found


def oddities(one):
    """Why a crystal that came to rest cannot be one."""
    share = one["closest_share_of_radii"]
    return {
        "atoms too near": share < CLOSE,
        "atoms apart": share > APART,
        "energy too low": one["energy_ev_per_atom"] < DEEP,
    }


def tally(rows):
    """How many of each outcome, and how many of those converged are none."""
    count = Counter(one["outcome"] for one in rows)
    odd = [oddities(one) for one in rows if one["outcome"] == "converged"]
    return {
        "crystals": len(rows),
        **{name: count[name] for name in OUTCOMES},
        "converged to no crystal": sum(any(one.values()) for one in odd),
        "of these": {name: sum(one[name] for one in odd) for name in odd[0]} if odd else {},
    }


def draw(rows, path):
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    done = [one for one in rows if one["error"] is None]
    for name in OUTCOMES[:2]:
        some = [one for one in done if one["outcome"] == name]
        left.hist([one["steps"] for one in some], bins=40, alpha=0.7, label=name)
        shares = [one["closest_share_of_radii"] for one in some]
        right.hist(shares, bins=np.linspace(0, 2, 41), alpha=0.7, label=name)
    for share in (CLOSE, APART):
        right.axvline(share, color="black", linestyle=":")
    left.set(xlabel="steps", ylabel="crystals")
    right.set(xlabel="least distance / sum of covalent radii", ylabel="crystals")
    left.legend()
    figure.savefig(path, dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", default="default")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--crystals", type=int, default=1000)
    parser.add_argument("--fmax", type=float, default=0.05, help="eV/Å")
    parser.add_argument("--max-steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    potential = load_potential(args.potential, dtype=args.dtype)
    rng = np.random.default_rng(args.seed)
    crystals = [crystal(rng, potential.card.elements) for _ in range(args.crystals)]
    seconds = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutsideTrainingWarning)  # that is what they are for
        results = relax_many(crystals, potential, fmax=args.fmax, max_steps=args.max_steps)
        rows = [row(relaxed) for relaxed in results]
    seconds = time.process_time() - seconds
    classes = {
        "all": rows,
        "overlapping": [one for one in rows if one["overlapping"]],
        **{
            f"{n} element{'s' * (n > 1)}, none overlapping": [
                one for one in rows if one["elements"] == n and not one["overlapping"]
            ]
            for n in (1, 2, 3)
        },
    }
    for name, some in classes.items():
        print(f"{name:34}", tally(some))
    print(f"{seconds:.0f} s of CPU time;", Counter(one["error"] for one in rows).most_common(4))
    if args.out:
        record = about(
            potential=potential.card.name,
            digest=potential.digest,
            dtype=args.dtype,
            seed=args.seed,
            fmax_ev_per_angstrom=args.fmax,
            max_steps=args.max_steps,
            cpu_seconds=seconds,
            outcomes={name: tally(some) for name, some in classes.items()},
            mean_steps=float(np.mean([one["steps"] for one in rows])),
            odd=[
                one for one in rows if one["outcome"] != "converged" or any(oddities(one).values())
            ],
        )
        args.out.write_text(json.dumps(record) + "\n", encoding="utf-8")
        draw(rows, args.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
