"""Expected errors of forces against true ones, and which structures are called unfamiliar.

    python benchmarks/reliability/uncertainty.py --potential pbe16 --data FOLDER \
        --out uncertainty-pbe16.json --plot uncertainty-pbe16.png

FOLDER holds the test files that potentials/NAME/train.toml names. Some frames of each are drawn,
those without a force above 30 eV/Å.
"""

import argparse
import json
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.build import add_adsorbate, bulk, fcc111, surface
from ase.cluster import Icosahedron
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.stats import spearmanr

from ase_symcalc import SymCalc, __version__, evaluate, load_potential
from ase_symcalc.errors import OutsideTrainingWarning
from ase_symcalc.evaluation.uncertainty import expected_errors, outside, squared_distances
from ase_symcalc.training import read_config
from ase_symcalc.training.dataset import read_atoms

CRYSTALS = {
    "Li": ("bcc", 3.43, "diamond"),
    "Si": ("diamond", 5.47, "fcc"),
    "Ni": ("fcc", 3.51, "diamond"),
    "Cu": ("fcc", 3.62, "diamond"),
    "Ge": ("diamond", 5.76, "fcc"),
    "Mo": ("bcc", 3.17, "fcc"),
}
"""Element: lattice, a / Å, and a lattice that is nothing like it."""
NEIGHBOUR = {
    "fcc": 2**-0.5,
    "bcc": 0.75**0.5,
    "diamond": 0.1875**0.5,
}
"""Shortest distance, in lattice constants."""
HARDEST = 30.0  # eV/Å
BINS = 12


def test_frames(config, n_atoms, rng):
    """Some frames of each test file, by the file's name."""
    drawn = {}
    for file in config.data.test:
        frames = [a for a in read_atoms(file) if np.abs(a.get_forces()).max() < HARDEST]
        own, size = [], 0
        for i in rng.permutation(len(frames)):
            if size < n_atoms:
                own.append(frames[i])
                size += len(frames[i])
        drawn["/".join(Path(file.path).parts[-2:]).split(".")[0]] = own
    return drawn


def familiar(symbol, rng):
    """What is in the training data, or nearly."""
    lattice, a, _ = CRYSTALS[symbol]
    crystal = bulk(symbol, lattice, a=a, cubic=True)
    shaken = crystal * (2, 2, 2)
    shaken.rattle(0.05, rng=rng)
    strained = crystal.copy()
    strained.set_cell(crystal.cell.array * [1.03, 1.0, 0.99], scale_atoms=True)
    return {"crystal": crystal, "shaken by 0.05 Å": shaken, "strained by 3 %": strained}


def strange(symbol, rng):
    """What is far from it."""
    lattice, a, other = CRYSTALS[symbol]
    crystal = bulk(symbol, lattice, a=a, cubic=True)
    bond = NEIGHBOUR[lattice] * a
    hot = crystal * (2, 2, 2)
    hot.rattle(0.2 * bond, rng=rng)
    slab = fcc111(symbol, (2, 2, 4), a=bond * 2**0.5, vacuum=7.0)
    add_adsorbate(slab, symbol, 0.8 * bond, "ontop")
    return {
        f"as {other}": bulk(symbol, other, a=bond / NEIGHBOUR[other], cubic=True),
        "crystal, half the volume": bulk(symbol, lattice, a=a * 0.5 ** (1 / 3), cubic=True),
        "shaken by a fifth of a bond": hot,
        "random": random_places(symbol, a**3 / len(crystal), bond, rng),
        "open surface (310)": surface(crystal, (3, 1, 0), 3, vacuum=7.0),
        "adatom on (111)": slab,
        "icosahedron of 13": Icosahedron(symbol, 2, bond * 2**0.5),
        "two atoms": Atoms(symbol * 2, [(0, 0, 0), (bond, 0, 0)]),
    }


def random_places(symbol, volume, bond, rng, n=32):
    """Atoms at the density of the crystal, none closer than 0.7 bonds."""
    side = (n * volume) ** (1 / 3)
    places = []
    while len(places) < n:
        place = rng.uniform(0, side, 3)
        apart = np.array([place - other for other in places]).reshape(-1, 3)
        apart -= side * np.round(apart / side)
        if not len(apart) or np.linalg.norm(apart, axis=1).min() > 0.7 * bond:
            places.append(place)
    return Atoms(f"{symbol}{n}", places, cell=[side] * 3, pbc=True)


def unseen_pairs(card):
    """Rocksalt of two elements that never met in training."""
    pairs = [
        (a, b)
        for i, a in enumerate(CRYSTALS)
        for b in list(CRYSTALS)[i + 1 :]
        if a in card.elements and b in card.elements and f"{a}-{b}" not in card.pairs
    ]
    found = {}
    for a, b in pairs[:6]:
        bond = 0.5 * sum(NEIGHBOUR[CRYSTALS[s][0]] * CRYSTALS[s][1] for s in (a, b))
        found[f"{a}-{b}"] = bulk(a + b, "rocksalt", a=2 * bond)
    return found


def ask(calc, atoms):
    """Expected errors as `get_uncertainty` has them, and how many atoms it would name."""
    model, numbers = calc.potentials[0].error_model, atoms.numbers.astype(np.int64)
    distances = squared_distances(model, calc.get_descriptors(atoms), numbers)
    return expected_errors(model, distances, numbers), int(outside(model, distances, numbers).sum())


def calibration(potential, frames):
    calc, rows = SymCalc(potential, dtype="float32"), {}
    for name, own in frames.items():
        found = evaluate(own, potential)
        true = [
            np.linalg.norm(result.forces - atoms.get_forces(), axis=1)
            for result, atoms in zip(found, own, strict=True)
        ]
        asked = [ask(calc, atoms) for atoms in own]
        rows[name] = {
            "expected": np.concatenate([errors for errors, _ in asked]),
            "true": np.concatenate(true),
            "flagged": sum(n for _, n in asked),
        }
        print(name, len(rows[name]["true"]), "atoms", flush=True)
    return rows


def binned(expected, true):
    """Means over bins with as many atoms each."""
    order = np.array_split(np.argsort(expected), BINS)
    return [(float(expected[i].mean()), float(true[i].mean())) for i in order]


def plot(path, title, rows, cases):
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.15))
    expected = np.concatenate([row["expected"] for row in rows.values()])
    true = np.concatenate([row["true"] for row in rows.values()])
    for name, row in rows.items():
        some = slice(None, None, max(1, len(row["true"]) // 400))
        left.loglog(row["expected"][some], row["true"][some], ".", ms=2, alpha=0.6, label=name)
    means = np.array(binned(expected, true))
    left.loglog(*means.T, "ko-", ms=5, label=f"means of {BINS} bins")
    ends = np.array([means.min() / 3, means.max() * 6])
    left.plot(ends, ends, color="0.5", linewidth=1, label="equal")
    left.set(xlabel="expected error of a force / (eV/Å)", ylabel="true error / (eV/Å)")
    left.set(xlim=ends, ylim=(means.min() / 30, means.max() * 20))
    left.set_title(f"{title}, test frames: rank correlation {spearmanr(expected, true)[0]:.2f}")
    left.legend(fontsize="x-small", markerscale=2)
    kinds = list(dict.fromkeys(kind for kind, *_ in cases))
    for kind, _, largest, n_flagged, _ in cases:
        colour = "C3" if n_flagged else "C0"
        right.semilogx(largest, kinds.index(kind), "o", color=colour, alpha=0.7)
    right.set_yticks(range(len(kinds)), kinds)
    right.invert_yaxis()
    right.set(xlabel="largest expected error / (eV/Å)")
    right.set_title("one dot for each element; red: called unfamiliar")
    right.grid(axis="y", color="0.9")
    FigureCanvasAgg(figure).print_png(str(path))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--potential", default="default")
    parser.add_argument("--config", help="TOML of the training; default: that beside the card")
    parser.add_argument("--data", required=True, help="folder of the data sets")
    parser.add_argument("--atoms", type=int, default=1500, help="of each test file")
    parser.add_argument("--out", help="write the numbers as JSON")
    parser.add_argument("--plot", help="write the picture")
    args = parser.parse_args()
    warnings.simplefilter("ignore", OutsideTrainingWarning)
    potential = load_potential(args.potential, dtype="float32")
    config = read_config(args.config or potential.folder / "train.toml", args.data)
    rng = np.random.default_rng(1)
    rows = calibration(potential, test_frames(config, args.atoms, rng))
    expected = np.concatenate([row["expected"] for row in rows.values()])
    true = np.concatenate([row["true"] for row in rows.values()])
    cases = []
    for symbol in (s for s in CRYSTALS if s in potential.card.elements):
        made = {**familiar(symbol, rng), **strange(symbol, rng)}
        cases += [(kind, symbol, atoms) for kind, atoms in made.items()]
    pairs = unseen_pairs(potential.card)
    cases += [("unseen pair, rocksalt", pair, atoms) for pair, atoms in pairs.items()]
    calc, told = SymCalc(potential, dtype="float32"), []
    for kind, symbol, atoms in cases:
        errors, n_flagged = ask(calc, atoms)
        told.append((kind, symbol, float(errors.max()), n_flagged, len(atoms)))
    for kind in dict.fromkeys(row[0] for row in told):
        own = [row for row in told if row[0] == kind]
        names = " ".join(row[1] for row in own if row[3])
        print(f"{kind:30} flagged {sum(row[3] > 0 for row in own)} of {len(own)}: {names}")
    correlation = float(spearmanr(expected, true)[0])
    print(f"rank correlation {correlation:.3f}, means {expected.mean():.4f} {true.mean():.4f} eV/Å")
    if args.plot:
        plot(args.plot, potential.card.name, rows, told)
    if args.out:
        about = {
            "potential": potential.card.name,
            "digest": potential.digest,
            "versions": {"ase_symcalc": __version__, "torch": torch.__version__},
            "date": time.strftime("%Y-%m-%d"),
            "rank_correlation": correlation,
            "mean_expected_ev_per_angstrom": float(expected.mean()),
            "mean_true_ev_per_angstrom": float(true.mean()),
            "bins_expected_true": binned(expected, true),
            "test_files": {
                name: {
                    "atoms": len(row["true"]),
                    "flagged": row["flagged"],
                    "rank_correlation": float(spearmanr(row["expected"], row["true"])[0]),
                    "mean_expected": float(row["expected"].mean()),
                    "mean_true": float(row["true"].mean()),
                }
                for name, row in rows.items()
            },
            "structures": [
                dict(zip(("kind", "of", "largest_expected", "flagged", "atoms"), row, strict=True))
                for row in told
            ],
        }
        with open(args.out, "w", encoding="utf-8") as stream:
            json.dump(about, stream, indent=2)


if __name__ == "__main__":
    main()
