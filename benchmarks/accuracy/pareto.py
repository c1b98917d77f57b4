"""Held-out errors against the cost of a step, for networks of several sizes.

    python benchmarks/accuracy/pareto.py --data FOLDER --runs runs/pareto \
        --out benchmarks/results/pareto.json
    python benchmarks/accuracy/pareto.py --runs runs/pareto --time-only \
        --out benchmarks/results/pareto.json

Each network is trained for the same wall time on the same frames, one in eight of the sets at
the common VASP-PBE level, with a learning rate that ends its cosine when the time is up, and
measured on frames that it has not seen. What was trained already is not trained again. The
second form measures only the times, with the code as it is now.
"""

import argparse
import csv
import json
import re
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from ase.build import bulk

from ase_symcalc import SymCalc
from ase_symcalc.training import train
from ase_symcalc.training.config import TrainConfig, config_from_table

sys.path.insert(0, str(Path(__file__).parents[1]))
from _timing import about

ELEMENTS = (
    *("Li", "N", "O", "Mg", "Si", "Ti", "Ni", "Cu", "Ge", "Sr"),
    *("Nb", "Mo", "Ag", "Ta", "W", "Au"),
)


def gates(layers: int, channels: int, lmax: int, sh_lmax: int, cutoff: float = 5.0) -> dict:
    """Network of NequIP type, features up to lmax."""
    return {
        "cutoff": cutoff,
        "num_layers": layers,
        "num_channels": channels,
        "lmax": lmax,
        "sh_lmax": sh_lmax,
    }


def mace(channels: int, lmax: int, sh_lmax: int, correlation: int) -> dict:
    """Network of MACE type with two layers."""
    return {
        "family": "mace",
        "cutoff": 5.0,
        "hidden_irreps": "+".join(f"{channels}x{l}{'eo'[l % 2]}" for l in range(lmax + 1)),
        "sh_lmax": sh_lmax,
        "correlation": [correlation, correlation],
        "num_intervals": 128,
    }


NETWORKS = {
    "3 layers, 32 channels, l 2": gates(3, 32, 2, 2),
    "2 layers, 32 channels, l 2": gates(2, 32, 2, 2),
    "3 layers, 32 channels, l 1": gates(3, 32, 1, 1),
    "2 layers, 64 channels, l 1": gates(2, 64, 1, 1),
    "3 layers, 16 channels, l 2": gates(3, 16, 2, 2),
    "2 layers, 32 channels, l 3": gates(2, 32, 3, 3),
    "2 layers, 64 channels, l 2": gates(2, 64, 2, 2),
    "3 layers, 32 channels, l 1, harmonics 3": gates(3, 32, 1, 3),
    "3 layers, 16 channels, l 3": gates(3, 16, 3, 3),
    "3 layers, 32 channels, l 2, 6 Å": gates(3, 32, 2, 2, 6.0),
    "2 layers, 16 channels, l 1": gates(2, 16, 1, 1),
    "3 layers, 64 channels, l 2": gates(3, 64, 2, 2),
    "MACE, 32 channels, l 1, harmonics 2, correlation 2": mace(32, 1, 2, 2),
    "MACE, 32 channels, l 1, harmonics 2, correlation 3": mace(32, 1, 2, 3),
    "MACE, 32 channels, l 1, harmonics 3, correlation 3": mace(32, 1, 3, 3),
    "MACE, 64 channels, l 1, harmonics 2, correlation 3": mace(64, 1, 2, 3),
}

DEVIATORIC = {"stress": "deviatoric", "stress_key": "stress_raw"}
TRAIN = {  # Ni and Cu have no pressure to learn from
    **{f"mlearn/{s}_train": {} for s in ("Li", "Si", "Ge", "Mo")},
    **{f"mlearn/{s}_train": DEVIATORIC for s in ("Ni", "Cu")},
    "nimo-snap/train": DEVIATORIC,
    **{f"{s}/train": {} for s in ("nbmotaw", "mo-snap2017", "li3n-snap", "si-pyxtal")},
    **{f"{s}/train": {} for s in ("agau", "mgo", "srtio3")},
}
TEST = {  # of the published test files; Cu, Si have none, and frames of training files are kept
    **{f"mlearn/{s}_test": "::2" for s in ("Li", "Ni", "Ge", "Mo")},
    **{f"mlearn/{s}_train": "4::32" for s in ("Si", "Cu")},
    "nbmotaw/test": "::4",
    "si-pyxtal/train": "4::64",
    "agau/test": "::8",
    "mgo/test": "::8",
    "srtio3/test": "::4",
}


def configuration(name: str, folder: Path, data: Path, epochs: int, batch: int) -> TrainConfig:
    return config_from_table(
        {
            "folder": str(folder),
            "seed": 1,
            "model": {"elements": list(ELEMENTS), **NETWORKS[name]},
            "data": {
                "train": [
                    {"path": f"{data}/{path}.extxyz.xz", "index": "::8", **options}
                    for path, options in TRAIN.items()
                ],
                "test": [
                    {"path": f"{data}/{path}.extxyz.xz", "index": index}
                    for path, index in TEST.items()
                ],
            },
            "optimiser": {"learning_rate": 0.005, "max_edges": batch, "average_decay": 0.99},
            "loss": {
                "energy_scale": 0.005,
                "first": {"energy": 0.5, "forces": 1.0, "stress": 0.5},
                "second": {"energy": 5.0, "forces": 1.0, "stress": 0.5},
            },
            "schedule": {
                "epochs": epochs,
                "second_stage": 0.3,
                "warmup_epochs": 0.5,
                "checkpoint_minutes": 1000.0,
            },
            "card": {"name": folder.name, "preview": True},
        }
    )


def trained(name: str, runs: Path, data: Path, seconds: float, batch: int) -> dict:
    """Errors of a network after so many seconds; an epoch is tried first to count how many."""
    folder = runs / re.sub("[^a-z0-9]+", "-", name.lower()).strip("-")
    result = folder / "result.json"
    if result.exists():
        return json.loads(result.read_text())
    trial = folder / "trial"
    train(configuration(name, trial, data, 1, batch), resume=False, progress=False)
    epochs = max(3, round(seconds / (60 * last_row(trial)["minutes"])))
    train(configuration(name, folder, data, epochs, batch), resume=False, progress=False)
    errors = json.loads((folder / "errors.json").read_text())
    rows = {k.removesuffix(", test"): v for k, v in errors.items() if k.endswith(", test")}
    keys = ("energy_mae", "energy_rmse", "force_mae", "force_rmse")
    found = {
        "network": name,
        "folder": folder.name,
        "epochs": epochs,
        "minutes": last_row(folder)["minutes"],
        "errors": {k: {key: v[key] for key in keys} for k, v in rows.items()},
    }
    result.write_text(json.dumps(found, indent=2) + "\n")
    return found


def last_row(folder: Path) -> dict[str, float]:
    with (folder / "log.csv").open() as stream:
        return {k: float(v) for k, v in list(csv.DictReader(stream))[-1].items()}


def mean_error(row: dict, key: str) -> float:
    """Geometric mean over the sets, so that a set counts the same whatever its errors are."""
    return float(
        np.exp(np.mean([np.log(e[key]) for name, e in row["errors"].items() if name != "all"]))
    )


def time_step(potential: Path, seconds: float) -> float:
    """CPU time in µs per atom of energy, forces and stress of 216 silicon atoms that move."""
    atoms = bulk("Si", cubic=True) * (3, 3, 3)
    calc = atoms.calc = SymCalc(potential, dtype="float32", symmetry="off")
    rng = np.random.default_rng(0)
    start, times = atoms.get_positions(), []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 10:
        atoms.positions = start + rng.normal(scale=0.03, size=start.shape)
        begin = time.process_time()
        calc.calculate(atoms, ["energy", "forces", "stress"])
        times.append(time.process_time() - begin)
    return 1e6 * statistics.median(times) / len(atoms)


def front(rows: list[dict], key: str) -> list[dict]:
    """Rows that no other is both faster and better than, fastest first."""
    best, kept = float("inf"), []
    for row in sorted(rows, key=lambda row: row["us_per_atom"]):
        if row[key] < best:
            best = row[key]
            kept.append(row)
    return kept


def plot(rows: list[dict], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    labels = {"force": "forces, meV/Å", "energy": "energy, meV/atom"}
    for axes, (key, label) in zip(figure.subplots(1, 2), labels.items(), strict=True):
        best = front(rows, key)
        axes.plot([r["us_per_atom"] for r in best], [r[key] for r in best], "-", color="0.6")
        for row in rows:
            (point,) = axes.plot(row["us_per_atom"], row[key], "o")
            axes.annotate(
                row["network"].replace(" layers, ", "×").replace(" channels,", ","),
                (row["us_per_atom"], row[key]),
                xytext=(4, 4),
                textcoords="offset points",
                fontsize=7,
                color=point.get_color(),
            )
        axes.set(xscale="log", xlabel="step of 216 Si atoms, CPU µs/atom", ylabel=label)
        axes.set_title("held-out MAE, geometric mean over sets", fontsize=9)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the training sets")
    parser.add_argument("--runs", type=Path, required=True, help="where the networks are kept")
    parser.add_argument("--out", type=Path, help="write JSON and, beside it, a PNG")
    parser.add_argument("--time-only", action="store_true")
    parser.add_argument("--seconds", type=float, default=140.0, help="of training for each")
    parser.add_argument("--max-edges", type=int, default=4000, help="in a mini-batch")
    parser.add_argument("--only", nargs="*", help="names, or parts of names")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.runs.mkdir(parents=True, exist_ok=True)
    names = [n for n in NETWORKS if not args.only or any(part in n for part in args.only)]
    if not args.time_only:
        if args.data is None:
            parser.error("training needs --data FOLDER")
        for name in names:
            row = trained(name, args.runs, args.data, args.seconds, args.max_edges)
            force, energy = mean_error(row, "force_mae"), mean_error(row, "energy_mae")
            print(f"{name:42}{energy:8.2f} meV/atom{force:8.1f} meV/Å", flush=True)
    rows = [json.loads(path.read_text()) for path in sorted(args.runs.glob("*/result.json"))]
    for row in rows:
        row["energy"], row["force"] = mean_error(row, "energy_mae"), mean_error(row, "force_mae")
        row["us_per_atom"] = time_step(args.runs / row["folder"] / "potential", 2.0)
    rows.sort(key=lambda row: row["us_per_atom"])
    best = {key: {row["network"] for row in front(rows, key)} for key in ("energy", "force")}
    print(f"{'':42}{'µs/atom':>8}{'meV/atom':>10}{'meV/Å':>8}{'epochs':>8}  on the front")
    for row in rows:
        marks = ", ".join(key for key in best if row["network"] in best[key])
        print(
            f"{row['network']:42}{row['us_per_atom']:8.1f}{row['energy']:10.2f}"
            f"{row['force']:8.1f}{row['epochs']:8d}  {marks}"
        )
    if args.out:
        settings = {"seconds": args.seconds, "max_edges": args.max_edges, "dtype": "float32"}
        result = about(settings=settings, networks=rows)
        args.out.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
        plot(rows, args.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
