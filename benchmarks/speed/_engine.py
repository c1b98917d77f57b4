"""One engine in a process of its own: answers "calculate this structure once" in JSON lines.

`peers.py` starts it with the interpreter of the engine's environment, so nothing is imported
that is not in all of them: Python, NumPy, ASE. Every call moves the atoms.

    echo '{"structure": "Si 8", "call": 0}' | python _engine.py ase_symcalc FILE float32 1
"""

import json
import os
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk

sys.path.insert(0, str(Path(__file__).parents[1]))
from _memory import forget_peak, peak, resident

PACKAGES = ("ase", "e3nn", "mace-torch", "numpy", "sevenn", "symmetrix-xl", "torch")


def structures():
    """Name: atoms at rest. A crystal keeps its symmetry, in the others every atom moves."""
    silicon = bulk("Si", cubic=True)
    corners = [(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)]
    perovskite = Atoms("SrTiO3", scaled_positions=corners, cell=[3.905] * 3, pbc=True)
    return {
        "Si 8": silicon,
        "Si 512": silicon * (4, 4, 4),
        "Si 216": silicon * (3, 3, 3),
        "Si 64": silicon * (2, 2, 2),
        "SrTiO3 40": perovskite * (2, 2, 2),
        "SrTiO3 40, crystal": perovskite * (2, 2, 2),
    }


def moved(atoms, name, call):
    """Put the atoms where no call has had them; the same for every engine."""
    rng = np.random.default_rng(call)
    if name.endswith("crystal"):
        atoms.set_cell(atoms.cell * (1 + 1e-3 * rng.uniform(-1, 1)), scale_atoms=True)
        return atoms
    places = np.random.default_rng(0).normal(0, 0.05, atoms.positions.shape)
    atoms.positions += places + rng.normal(0, 0.01, places.shape)  # Å
    return atoms


def symcalc(checkpoint, dtype, threads):
    import torch

    from ase_symcalc import SymCalc

    torch.set_num_threads(threads)
    return SymCalc(checkpoint, dtype=dtype)


def mace_torch(checkpoint, dtype, threads):
    import torch
    from mace.calculators import MACECalculator

    torch.set_num_threads(threads)
    return MACECalculator(checkpoint, device="cpu", default_dtype=dtype)


def sevenn(checkpoint, dtype, threads):
    import torch
    from sevenn.calculator import SevenNetCalculator

    if dtype != "float32":
        raise ValueError("sevenn's calculator knows float32 only")
    torch.set_num_threads(threads)
    return SevenNetCalculator(checkpoint, device="cpu")


def symmetrix(checkpoint, dtype, threads):  # threads: by OMP_NUM_THREADS
    from symmetrix import Symmetrix

    return Symmetrix(checkpoint, dtype=dtype)


ENGINES = {
    "ase_symcalc": symcalc,
    "mace-torch": mace_torch,
    "sevenn": sevenn,
    "symmetrix-xl": symmetrix,
}


def calculate(calculator, name, call):
    """Energy, forces and stress through ASE."""
    atoms = moved(structures()[name], name, call)
    atoms.calc = calculator
    before = resident()
    forget_peak()
    wall, cpu = time.perf_counter(), time.process_time()
    forces = atoms.get_forces()  # first: an engine may leave derivatives out if it can
    stress = atoms.get_stress()
    energy = atoms.get_potential_energy()
    times = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    evaluation = getattr(calculator, "evaluation", None)
    return {
        **times,
        "atoms": len(atoms),
        "edges": evaluation.n_edges_full if evaluation else None,
        "resident": before,
        "peak": peak(),
        "energy": float(energy),
        "forces": forces.tolist(),
        "stress": stress.tolist(),
    }


def versions():
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def main():
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever else an engine prints goes where its warnings go

    def answer(content):
        print(json.dumps(content), file=answers, flush=True)

    name, checkpoint, dtype, threads = sys.argv[1:]
    start = time.perf_counter()
    try:
        calculator = ENGINES[name](checkpoint, dtype, int(threads))
    except Exception as error:  # another package's: it could be anything
        answer({"error": f"{type(error).__name__}: {error}"})
        return
    seconds = time.perf_counter() - start
    answer({"versions": versions(), "construction": seconds, "resident": resident()})
    for line in sys.stdin:
        request = json.loads(line)
        reply = calculate(calculator, request["structure"], request["call"])
        if not request.get("results"):
            for key in ("energy", "forces", "stress"):
                del reply[key]
        answer(reply)


if __name__ == "__main__":
    main()
