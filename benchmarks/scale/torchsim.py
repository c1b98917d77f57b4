"""CPU time for each structure in TorchSim, by how many are in a batch.

    python benchmarks/scale/torchsim.py --out benchmarks/results/torchsim.json

Silicon crystals of 16 atoms, shaken anew before every call by less than the skin, with the default
potential: `SymCalcModel` on states of 1, 4 and 16 of them, and `SymCalc` on one.
"""

import argparse
import json
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import torch
from ase.build import bulk

sys.path.insert(0, str(Path(__file__).parents[1]))
from _timing import about, interleaved

from ase_symcalc import SymCalc, load_potential

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # TorchSim compiles by torch.jit
    from torch_sim.io import atoms_to_state

    from ase_symcalc.integrations.torchsim import SymCalcModel

BATCHES = (1, 4, 16)
STEP = 1e-3  # Å


def crystals(n):
    structures = []
    for seed in range(n):
        atoms = bulk("Si", cubic=True) * (2, 1, 1)
        atoms.rattle(0.05, seed=seed)
        structures.append(atoms)
    return structures


def batched(potential, n):
    model = SymCalcModel(potential, dtype=potential.dtype)
    state = atoms_to_state(crystals(n), model.device, model.dtype)
    first = state.positions.clone()

    def call():
        state.positions = first + STEP * torch.randn_like(first)
        model(state)

    return call


def single(potential, dtype):
    (atoms,) = crystals(1)
    atoms.calc = SymCalc(potential, dtype=dtype)
    first = atoms.positions.copy()

    def call():
        atoms.positions = first + STEP * torch.randn(first.shape).numpy()
        atoms.get_stress()

    return call


def measure(dtype, seconds):
    potential = load_potential("default", dtype=dtype)
    calls = {f"SymCalcModel, {n} in a batch": batched(potential, n) for n in BATCHES}
    calls["SymCalc"] = single(potential, dtype)
    times = interleaved(calls, seconds=seconds)
    sizes = dict(zip(calls, (*BATCHES, 1), strict=True))
    return {name: 1e3 * found["cpu"] / sizes[name] for name, found in times.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="for each precision")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    found = {dtype: measure(dtype, args.seconds) for dtype in ("float64", "float32")}
    record = {
        "about": about(torch_sim=version("torch-sim-atomistic")),
        "cpu_ms_per_structure": found,
    }
    text = json.dumps(record, indent=2)
    print(text)
    if args.out:
        args.out.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
