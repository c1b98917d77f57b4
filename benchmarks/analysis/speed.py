"""Power spectra of the same atoms by this package and by dscribe, in turns, in one run.

    python benchmarks/analysis/speed.py --out speed.json

Needs dscribe. Both run on one thread with the same radial functions, weights and cutoff; median
CPU times of whole calls are printed, neighbour search included, and by how much the kernels of
the two differ. dscribe cuts at the same distance, since the weights end there.
"""

import argparse
import json
import statistics
import sys
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from ase.build import bulk
from dscribe.descriptors import SOAP

sys.path.insert(0, str(Path(__file__).parents[1]))
from _timing import about

from ase_symcalc.analysis import Bispectrum, GaussianBasis, PowerSpectrum, environment_kernel

CASES = {  # atoms, elements, n_max, lmax
    "Si 64": (bulk("Si", cubic=True) * (2, 2, 2), ("Si",), 6, 4),
    "Si 512": (bulk("Si", cubic=True) * (4, 4, 4), ("Si",), 6, 4),
    "Si 64, lmax 8": (bulk("Si", cubic=True) * (2, 2, 2), ("Si",), 8, 8),
    "NiMo 64": (bulk("NiMo", "rocksalt", a=5.0, cubic=True) * (2, 2, 2), ("Ni", "Mo"), 6, 4),
}


def measure(atoms, elements, n_max, lmax, repeats):
    basis = GaussianBasis(5.0, n_max, lmax, 0.5)
    ours = PowerSpectrum(elements, basis, normalised=False)
    triples = Bispectrum(elements, GaussianBasis(5.0, 2, lmax, 0.5))
    theirs = SOAP(
        r_cut=5.0,
        n_max=n_max,
        l_max=lmax,
        sigma=0.5,
        species=list(elements),
        periodic=True,
        weighting={"function": "poly", "c": 1, "m": 2, "r0": 5.0, "w0": 0},
    )
    calls = {"ours": ours, "dscribe": theirs.create, "our bispectrum, n_max 2": triples}
    times = {name: [] for name in calls}
    rows = {name: call(atoms) for name, call in calls.items()}  # what is built once is built
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.process_time()
            call(atoms)
            times[name].append(time.process_time() - start)
    median = {name: 1000 * statistics.median(t) for name, t in times.items()}
    weighted = [_full(rows[name], len(elements), n_max, lmax) for name in ("ours", "dscribe")]
    kernels = [environment_kernel(w[:8], w[:8]) for w in weighted]
    return median | {
        "dscribe over ours": median["dscribe"] / median["ours"],
        "kernels differ by": float(abs(kernels[0] - kernels[1]).max()),
    }


def _full(rows, n_elements, n_max, lmax):
    """Count pairs of radial functions of one element twice, as the whole product has them."""
    upper = np.triu_indices(n_max)
    once = np.where(upper[0] == upper[1], 1, 2**0.5)
    factors = []
    for first in range(n_elements):
        for second in range(first, n_elements):
            part = once if first == second else np.full(n_max**2, 2**0.5)
            factors += [part] * (lmax + 1)
    return rows * np.concatenate(factors)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    results = {}
    for name, (atoms, elements, n_max, lmax) in CASES.items():
        atoms.rattle(0.05, seed=1)
        results[name] = measure(atoms, elements, n_max, lmax, args.repeats)
        print(name, {key: float(f"{value:.3g}") for key, value in results[name].items()})
    if args.out:
        record = about(dscribe=version("dscribe"), cases=results)
        args.out.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
