"""Defects found by the surroundings of their atoms, and coloured.

    python benchmarks/analysis/defects.py --picture environments.png --out environments.json

A copper slab, a crystal with stacking faults, two grain boundaries relaxed with ASE's EMT
potential, and a screw dislocation in tungsten; their axes are along y, across the picture.
Prints how many atoms have which name and should have it, and which groups are near the line.
"""

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import fcc111
from ase.calculators.emt import EMT
from ase.lattice.cubic import BodyCenteredCubic, FaceCenteredCubic
from ase.neighborlist import neighbor_list
from ase.optimize import FIRE
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).parents[1]))
from _timing import about

from ase_symcalc.analysis import GaussianBasis, PowerSpectrum, find_environments, label_atoms
from ase_symcalc.analysis.environments_plot import COLOURS, draw_atoms, group_colour

CORE = 4.0  # Å


def slab():
    """Twelve layers; the outer two are surfaces."""
    atoms = fcc111("Cu", (6, 4, 12), vacuum=8, orthogonal=True)
    n = len(atoms) // 12
    return atoms, {"fcc": 10 * n, "surface": 2 * n}


def stacking_faults():
    """ABC layers with two intrinsic faults; each makes two layers hexagonal."""
    spacing, height = 2.55, 2.55 * (2 / 3) ** 0.5
    layers = "ABCABCABABCABCABCABCAC"
    cell = np.array([[1, 0, 0], [0.5, 0.75**0.5, 0], [0, 0, 0]]) * spacing
    shift = (cell[0] + cell[1]) / 3
    cell[2, 2] = len(layers) * height
    places = ["ABC".index(name) * shift + [0, 0, i * height] for i, name in enumerate(layers)]
    atoms = Atoms(f"Cu{len(layers)}", places, cell=cell, pbc=True) * (6, 4, 1)
    around = [layers[i - 1] == layers[(i + 1) % len(layers)] for i in range(len(layers))]
    return atoms, {"hcp": 24 * sum(around), "fcc": 24 * (len(layers) - sum(around))}


def grain_boundaries(a=3.59):
    """Two symmetric Σ5(210)[001] tilt boundaries, made by mirrors and relaxed.

    Pairs of atoms that the mirrors bring too close are one atom between them.
    """
    directions = [[-1, 2, 0], [0, 0, 1], [2, 1, 0]]
    grain = FaceCenteredCubic(directions=directions, size=(2, 2, 2), symbol="Cu", latticeconstant=a)
    image = grain.copy()
    image.positions[:, 2] *= -1
    both = grain + image
    both.cell[2] *= 2
    keep = np.ones(len(both), dtype=bool)
    for i, j, vector in zip(*neighbor_list("ijD", both, a / 2), strict=True):
        if i < j and keep[i] and keep[j]:
            both.positions[i] += vector / 2
            keep[j] = False
    both = both[keep]
    both.calc = EMT()
    FIRE(both, logfile=None).run(fmax=0.05, steps=200)
    both.positions[:, 2] += both.cell[2, 2] / 4
    both.wrap()
    return both


def name_boundaries(axes):
    """Colour by the nearest reference; counts names by distance from a boundary."""
    atoms = grain_boundaries()
    labels = np.array(label_atoms(atoms)[0])
    draw_atoms(axes, atoms, [COLOURS[label] for label in labels], "grain boundaries, by reference")
    half = atoms.cell[2, 2] / 2
    away = abs(atoms.positions[:, 2] % half - half / 2)
    shells = {"within 1 Å": away < 1, "1 to 3 Å": (away >= 1) & (away < 3), "beyond": away >= 3}
    return {name: dict(Counter(labels[shell].tolist())) for name, shell in shells.items()}


def screw_dislocation(a=3.165, radius=22.0):
    """A cylinder, displaced along its axis by the angle over 2π Burgers vectors.

    The line is in the middle of three rows of atoms. The isotropic solution of Volterra: Hirth
    and Lothe, Theory of Dislocations, section 3-2.
    """
    crystal = BodyCenteredCubic(
        directions=[[1, 1, -2], [-1, 1, 0], [1, 1, 1]],
        size=(7, 12, 2),
        symbol="W",
        latticeconstant=a,
    )
    x, y, _ = (crystal.positions - crystal.cell.sum(axis=0) / 2 - [2.69, 0.745, 0]).T
    burgers = a * 3**0.5 / 2
    crystal.positions[:, 2] += burgers * np.arctan2(y, x) / (2 * np.pi)
    length = crystal.cell[2, 2]
    inside = np.hypot(x, y) < radius
    places = np.column_stack([x, crystal.positions[:, 2], y])[inside]
    return Atoms(["W"] * inside.sum(), places, cell=[0, length, 0], pbc=[False, True, False])


def name_atoms(axes, build, title):
    """Colour by the nearest reference; returns what was found, and what should be."""
    atoms, expected = build()
    labels, _ = label_atoms(atoms)
    draw_atoms(axes, atoms, [COLOURS[label] for label in labels], f"{title}, by reference")
    return {"found": dict(Counter(labels)), "expected": expected}


def group_core(axes):
    """Colour the dislocation by groups: nearest the line are three rows, then three more."""
    atoms = screw_dislocation()
    found = find_environments(
        [atoms], PowerSpectrum(("W",), GaussianBasis(5.0, 6, 6)), threshold=0.05
    )
    groups = found.groups[0]
    draw_atoms(
        axes, atoms, [group_colour(g) for g in groups.tolist()], "screw dislocation, by group"
    )
    away = np.hypot(atoms.positions[:, 0], atoms.positions[:, 2])
    inside = [g for g in range(found.n_groups) if away[groups == g].min() < CORE]
    return {
        f"groups that begin within {CORE} Å of the line": [
            {
                "atoms": int((groups == g).sum()),
                "from_A": round(float(away[groups == g].min()), 2),
                "to_A": round(float(away[groups == g].max()), 2),
            }
            for g in inside
        ]
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picture", default="environments.png")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    args = parser.parse_args()
    figure = Figure(figsize=(15, 5), layout="constrained")
    FigureCanvasAgg(figure)
    first, second, third, fourth = figure.subplots(1, 4, width_ratios=(3, 2, 2.5, 4))
    results = {
        "slab": name_atoms(first, slab, "surfaces of a slab"),
        "stacking faults": name_atoms(second, stacking_faults, "stacking faults"),
        "grain boundaries": name_boundaries(third),
        "screw dislocation": group_core(fourth),
    }
    for name, numbers in results.items():
        print(name, numbers)
    named = {first: ("fcc", "surface"), second: ("fcc", "hcp"), third: ("fcc", "hcp", "liquid")}
    for axes, names in named.items():
        handles = [axes.scatter([], [], color=COLOURS[name], label=name) for name in names]
        axes.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.12))
    figure.savefig(args.picture, dpi=110)
    if args.out:
        record = about(cases=results)
        args.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
