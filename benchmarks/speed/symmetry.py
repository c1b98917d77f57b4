"""Time and edges of symmetric structures: one atom of each orbit against all atoms.

    python benchmarks/speed/symmetry.py --threads 1 --out symmetry.json

Energy, forces and stress through `SymCalc`, from atoms to results, symmetry "auto" against "off".
Structures are built of the potential's elements in the places of the minerals they are named
for; every call sees another volume. "P1" has no symmetry; "P1 that was Si" lost it before the
first measured call. The search for symmetry, made once for a structure, is timed by itself.

Calls are timed twice: reduced and full ones in turn, so that each finds the caches as the other
left them, and several of a kind in a row, as relaxations and molecular dynamics make them.
"""

import argparse
import itertools
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from ase.build import bulk
from ase.spacegroup import crystal

sys.path.insert(0, str(Path(__file__).parents[1]))
from _timing import about, interleaved

from ase_symcalc import SymCalc, load_potential
from ase_symcalc.models import ModelConfig, build_model
from ase_symcalc.symmetry.orbits import find_symmetry
from ase_symcalc.symmetry.tolerance import TIGHT

IN_A_ROW = 20


def structures():
    silicon = bulk("Si", cubic=True)
    rutile = crystal("NiLi", [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136, cellpar=_tetragonal())
    spinel = crystal(
        ["Li", "Ni", "Si"],
        [(1 / 8, 1 / 8, 1 / 8), (1 / 2, 1 / 2, 1 / 2), (0.262, 0.262, 0.262)],
        spacegroup=227,
        setting=2,
        cellpar=[8.08, 8.08, 8.08, 90, 90, 90],
    )
    garnet = crystal(
        ["Cu", "Ni", "Li", "Si"],
        [(1 / 8, 0, 1 / 4), (0, 0, 0), (3 / 8, 0, 1 / 4), (0.038, 0.045, 0.651)],
        spacegroup=230,
        cellpar=[11.8, 11.8, 11.8, 90, 90, 90],
    )
    moved = silicon * (4, 4, 4)
    moved.positions[0] += 0.02
    return {
        "rutile 2x2x2": rutile * (2, 2, 2),
        "spinel": spinel,
        "garnet": garnet,
        "Si 2x2x2": silicon * (2, 2, 2),
        "Si 3x3x3": silicon * (3, 3, 3),
        "Si 4x4x4": silicon * (4, 4, 4),
        "Si 4x4x4, one moved": moved,
        "P1": _rattled(silicon * (3, 3, 3)),
        "P1 that was Si": _rattled(silicon * (3, 3, 3)),
        "P1, large": _rattled(silicon * (4, 4, 4)),
    }


def _tetragonal():
    return [4.6, 4.6, 2.95, 90, 90, 90]


def _rattled(atoms):
    atoms.positions += np.random.default_rng(0).normal(0, 0.05, atoms.positions.shape)
    return atoms


def measure(name, atoms, potential, seconds):
    reduced, full = SymCalc(potential), SymCalc(potential, symmetry="off")
    if name == "P1 that was Si":
        reduced.calculate(bulk("Si", cubic=True) * (3, 3, 3), ["forces"])
    states = itertools.cycle(breathing(atoms))
    times = interleaved(
        {
            "reduced": lambda: reduced.calculate(next(states), ["forces"]),
            "full": lambda: full.calculate(next(states), ["forces"]),
        },
        seconds=seconds,
    )
    in_a_row = interleaved(
        {
            "reduced": lambda: several(reduced, states),
            "full": lambda: several(full, states),
        },
        seconds=seconds,
    )
    in_a_row = {
        kind: {name: time / (1 if name == "repeats" else IN_A_ROW) for name, time in taken.items()}
        for kind, taken in in_a_row.items()
    }
    for calc in (reduced, full):
        calc.calculate(atoms, ["forces"])
    search = interleaved({"search": lambda: searched(atoms)}, seconds=0.1)["search"]
    error = np.abs(reduced.results["forces"] - full.results["forces"]).max()
    return {
        "name": name,
        "atoms": len(atoms),
        "orbits": reduced.evaluation.n_orbits,
        "operations": reduced.evaluation.n_operations,
        "edges": reduced.evaluation.n_edges,
        "edges_full": reduced.evaluation.n_edges_full,
        "times": times,
        "faster": times["full"]["wall"] / times["reduced"]["wall"],
        "times_in_a_row": in_a_row,
        "faster_in_a_row": in_a_row["full"]["wall"] / in_a_row["reduced"]["wall"],
        "search": search,
        "search_of_full": search["wall"] / times["full"]["wall"],
        "largest_force_error": float(error),
        "hops": dict(reduced.evaluation.seconds),
    }


def several(calc, states):
    for _ in range(IN_A_ROW):
        calc.calculate(next(states), ["forces"])


def breathing(atoms):
    """The structure at three volumes: no call sees the positions of the last one."""
    states = []
    for factor in (1.0, 1.0005, 0.9995):
        state = atoms.copy()
        state.set_cell(atoms.cell * factor, scale_atoms=True)
        states.append(state)
    return states


def searched(atoms):
    return find_symmetry(atoms.positions, atoms.cell.array, atoms.pbc, atoms.numbers, TIGHT)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", default="default")
    parser.add_argument("--channels", type=int, help="random weights, and so many channels")
    parser.add_argument("--dtype", default="float64")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0, help="for each structure")
    parser.add_argument("--only", help="part of a structure's name")
    parser.add_argument("--out", help="write the numbers as JSON")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    potential = load_potential(args.potential, dtype=args.dtype)
    if args.channels:
        settings = potential.model.config.to_dict() | {"num_channels": args.channels}
        settings.pop("family")
        model = build_model(ModelConfig.from_dict(settings)).to(potential.dtype)
        potential = replace(potential, model=model.requires_grad_(False).eval())
    print(
        f"{'':20} {'atoms':>5} {'orbits':>6} {'edges':>6} {'of':>6}"
        f" {'reduced':>9} {'full':>9} {'faster':>7} {'in a row':>9} {'search':>9}"
    )
    rows = []
    for name, atoms in structures().items():
        if args.only and args.only not in name:
            continue
        row = measure(name, atoms, potential, args.seconds)
        rows.append(row)
        walls = [1e3 * row["times"][n]["wall"] for n in ("reduced", "full")]
        print(
            f"{name:20} {row['atoms']:5} {row['orbits']:6} {row['edges']:6} {row['edges_full']:6}"
            f" {walls[0]:6.1f} ms {walls[1]:6.1f} ms {row['faster']:7.2f}"
            f" {row['faster_in_a_row']:9.2f} {1e3 * row['search']['wall']:6.1f} ms"
        )
    if args.out:
        result = about(settings=vars(args), structures=rows)
        Path(args.out).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
