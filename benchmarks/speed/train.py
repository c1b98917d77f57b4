"""Atoms per second of a training step, against mace-torch on the same cores.

    python benchmarks/speed/train.py --mace FOLDER --threads 2 --out train.json

FOLDER is a virtual environment with mace-torch. Without it only our side is timed.

A step is what a training loop does for one mini-batch: join the frames, forward, forces and
stress, loss, backward through all of it, gradient clipping, Adam, moving average. Both sides
take the same frames (rattled silicon, 64 atoms each) in float32, each in a process of its own,
in turns. All networks have two layers, a cutoff of 5 Å, 8 Bessel functions and harmonics to
l = 2. MACE has 32 channels of features to l = 1 and correlation 2 or 3, in mace-torch and in our
code; our own networks, with gates in place of products, have as many channels, or about as many
weights, or features to l = 2.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

N_FRAMES, CUTOFF, CHANNELS = 4, 5.0, 32
TURN = 0.5  # s, the same for all, or a busy machine would favour short steps
ABSENT = "no mace-torch in {}: only our side is timed; name a virtual environment with --mace"


def frames():
    """Structures and labels; what the labels are does not matter to the time."""
    import numpy as np
    from ase.build import bulk

    rng = np.random.default_rng(0)
    made = []
    for i in range(N_FRAMES):
        atoms = bulk("Si", cubic=True) * 2
        atoms.rattle(0.05, seed=i)
        forces = 0.1 * rng.normal(size=(len(atoms), 3))
        made.append((atoms, {"energy": -0.1, "forces": forces, "stress": 0.01 * np.eye(3)}))
    return made


def our_steps():
    """Steps of our trainer by the name of the network, and how many weights each has."""
    import tempfile

    import torch

    from ase_symcalc.models import ModelConfig, build_model
    from ase_symcalc.models.heads import Heads
    from ase_symcalc.models.mace_config import MACEConfig
    from ase_symcalc.structures import build_graph
    from ase_symcalc.training.config import DataConfig, DataFile, TrainConfig
    from ase_symcalc.training.dataset import Frame
    from ase_symcalc.training.loop import Learnt, Trainer

    batch = [
        Frame(
            graph=build_graph(atoms, CUTOFF, dtype=torch.float32),
            energy=labels["energy"],
            forces=torch.from_numpy(labels["forces"]).float(),
            stress=torch.from_numpy(labels["stress"]).float(),
            deviatoric=False,
            weight=1.0,
            head="",
            source="silicon",
            config_type="",
            name=str(i),
            number=i,
            run="",
        )
        for i, (atoms, labels) in enumerate(frames())
    ]
    density = sum(f.graph.n_edges for f in batch) / sum(f.graph.n_atoms for f in batch)
    shared = {"elements": ("Si",), "cutoff": CUTOFF, "sh_lmax": 2, "avg_num_neighbours": density}
    hidden = f"{CHANNELS}x0e+{CHANNELS}x1o"
    gated = {
        f"gates, {n} channels, l {l}": ModelConfig(**shared, num_layers=2, num_channels=n, lmax=l)
        for n, l in ((CHANNELS, 1), (56, 1), (CHANNELS, 2))
    }
    maces = {
        f"MACE, correlation {n}": MACEConfig(**shared, hidden_irreps=hidden, correlation=(n, n))
        for n in (2, 3)
    }

    def stepper(config):
        model = build_model(config, seed=0).float()
        settings = TrainConfig(
            folder="",
            model=ModelConfig(**shared),
            data=DataConfig(train=(DataFile(""),)),
        )
        folder = Path(tempfile.gettempdir())
        trainer = Trainer(Heads({"": model}), Learnt(batch), batch, settings, folder, "")
        weights = sum(p.numel() for p in model.parameters())
        return lambda: trainer._step(batch, 1), weights

    steps = {name: stepper(config) for name, config in (gated | maces).items()}
    return steps, {"atoms": sum(f.graph.n_atoms for f in batch), "neighbours": density}


def their_steps():
    """Steps of mace-torch, as its own `take_step` makes them."""
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    import numpy as np
    import torch
    from e3nn import o3
    from mace import data, modules, tools
    from mace.tools import torch_geometric
    from mace.tools.train import take_step
    from torch_ema import ExponentialMovingAverage

    torch.set_default_dtype(torch.float32)
    table = tools.AtomicNumberTable([14])
    held = []
    for atoms, labels in frames():
        configuration = data.Configuration(
            atomic_numbers=atoms.numbers,
            positions=atoms.positions,
            cell=atoms.cell.array,
            pbc=(True, True, True),
            properties=labels,
            property_weights=dict.fromkeys(labels, 1.0),
        )
        held.append(data.AtomicData.from_config(configuration, z_table=table, cutoff=CUTOFF))
    density = sum(d.edge_index.shape[1] for d in held) / sum(d.num_nodes for d in held)
    loss = modules.WeightedEnergyForcesStressLoss(1.0, 1.0, 1.0)
    wanted = {"forces": True, "virials": False, "stress": True}

    def stepper(correlation):
        torch.manual_seed(0)
        model = modules.ScaleShiftMACE(
            r_max=CUTOFF,
            num_bessel=8,
            num_polynomial_cutoff=5,
            max_ell=2,
            interaction_cls=modules.interaction_classes["RealAgnosticResidualInteractionBlock"],
            interaction_cls_first=modules.interaction_classes["RealAgnosticInteractionBlock"],
            num_interactions=2,
            num_elements=1,
            hidden_irreps=o3.Irreps(f"{CHANNELS}x0e+{CHANNELS}x1o"),
            MLP_irreps=o3.Irreps("16x0e"),
            atomic_energies=np.zeros(1),
            avg_num_neighbors=density,
            atomic_numbers=[14],
            correlation=correlation,
            gate=torch.nn.functional.silu,
            atomic_inter_scale=1.0,
            atomic_inter_shift=0.0,
        )
        optimiser = torch.optim.Adam(model.parameters(), lr=0.005, amsgrad=True)
        average = ExponentialMovingAverage(model.parameters(), decay=0.99)

        def step():
            batch = torch_geometric.Batch.from_data_list(held)
            take_step(model, loss, batch, optimiser, average, wanted, 10.0, torch.device("cpu"))

        return step, sum(p.numel() for p in model.parameters())

    steps = {f"MACE, correlation {n}": stepper(n) for n in (2, 3)}
    return steps, {"atoms": sum(d.num_nodes for d in held), "neighbours": density}


def serve(side, threads):
    """Answer each line that names a network with the time of a step of it, mean of a turn."""
    import warnings

    import torch

    warnings.filterwarnings("ignore")
    torch.set_num_threads(threads)
    steps, about = our_steps() if side == "ours" else their_steps()
    for step, _ in steps.values():
        step()
        step()
    weights = {name: count for name, (_, count) in steps.items()}
    print(json.dumps({**about, "weights": weights, "torch": torch.__version__}), flush=True)
    for line in sys.stdin:
        wall, cpu, count = time.perf_counter(), time.process_time(), 0
        while time.perf_counter() < wall + TURN:
            steps[line.strip()][0]()
            count += 1
        times = [time.perf_counter() - wall, time.process_time() - cpu]
        print(json.dumps([spent / count for spent in times]), flush=True)


class Side:
    """A process that trains when asked."""

    def __init__(self, python, side, threads):
        # threads that spin while they wait starve both sides on a machine that others use
        policy = {"OMP_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "passive"}
        environment = {**os.environ, **policy}
        command = [python, __file__, "--side", side, "--threads", str(threads)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, env=environment
        )
        self.about = self._answer()

    def _answer(self):
        for line in self.process.stdout:
            if line.startswith(("{", "[")):
                return json.loads(line)
        raise SystemExit("a side ended before it answered; its error is above")

    def step(self, name):
        self.process.stdin.write(name + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measure(mace, threads, seconds):
    """Rows of medians, one for each network of each side, all taken in turns."""
    sides = {"ase_symcalc": Side(sys.executable, "ours", threads)}
    python = Path(mace or "nowhere") / "bin" / "python"
    if python.exists():
        sides["mace-torch"] = Side(str(python), "theirs", threads)
    else:
        print(ABSENT.format(mace or "any folder that was named"))
    calls = [(side, name) for side, own in sides.items() for name in own.about["weights"]]
    times = {call: [] for call in calls}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times[calls[-1]]) < 5:
        for side, name in calls:
            times[side, name].append(sides[side].step(name))
    for own in sides.values():
        own.close()
    rows = []
    for (side, name), taken in times.items():
        about = sides[side].about
        wall, cpu = (statistics.median(column) for column in zip(*taken, strict=True))
        rows.append(
            {
                "code": side,
                "network": name,
                "weights": about["weights"][name],
                "neighbours": about["neighbours"],
                "turns": len(taken),
                "atoms_per_second": about["atoms"] / wall,
                "atoms_per_cpu_second": about["atoms"] / cpu,
                "torch": about["torch"],
            }
        )
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mace", metavar="FOLDER", help="virtual environment with mace-torch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--out", help="write the numbers as JSON")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        serve(args.side, args.threads)
        return
    rows = measure(args.mace, args.threads, args.seconds)
    slow = {r["network"]: r for r in rows if r["code"] == "mace-torch"}
    baseline = slow.get("MACE, correlation 2")
    print(f"{'':36}{'weights':>9}{'atoms/s':>10}{'atoms/CPU s':>13}{'ratio':>8}{'CPU':>7}")
    for row in rows:
        other = slow.get(row["network"], baseline)
        ratios = ""
        if other is not None:
            keys = ("atoms_per_second", "atoms_per_cpu_second")
            row["ratio"], row["cpu_ratio"] = (row[key] / other[key] for key in keys)
            ratios = f"{row['ratio']:8.1f}{row['cpu_ratio']:7.1f}"
        print(
            f"{row['code'] + ', ' + row['network']:36}{row['weights']:9}"
            f"{row['atoms_per_second']:10.0f}{row['atoms_per_cpu_second']:13.0f}{ratios}"
        )
    print("Ratios: to mace-torch with the same network, of gates to its correlation 2.")
    if args.out:
        from _timing import about

        result = about(settings={"threads": args.threads}, rows=rows)
        Path(args.out).write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
