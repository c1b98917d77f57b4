"""Volumes and energies of mixing of alloys from the embedding of their crystals.

    python benchmarks/analysis/embedding.py train.extxyz test.extxyz --out results.json

Both files hold frames with an energy each; compressed ones are read too (.xz). Ridge regression
and kernel ridge regression learn from crystals of the first; strength and width are chosen by
cross-validation there. Errors are on the second, beside those of the mean of the first and of
a fit to the composition alone.
"""

import argparse
import io
import json
import lzma
import sys
import time
from pathlib import Path

import numpy as np
from ase.io import read
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

sys.path.insert(0, str(Path(__file__).parents[1]))
from _timing import about

from ase_symcalc.analysis import GaussianBasis, PowerSpectrum, material_embedding


def frames(path, most, largest, rng):
    content = path.read_bytes()
    text = (lzma.decompress(content) if path.suffix == ".xz" else content).decode()
    every = read(io.StringIO(text), ":", format="extxyz")
    every = [atoms for atoms in every if len(atoms) <= largest]
    chosen = rng.permutation(len(every))[:most]
    return [every[i] for i in sorted(chosen)]


def mixing(structures, elements, references):
    """Energy per atom above that of the elements in the same proportions, meV."""
    shares = composition(structures, elements)
    energies = np.array([atoms.get_potential_energy() / len(atoms) for atoms in structures])
    return 1000 * (energies - shares @ references)


def composition(structures, elements):
    return np.array([[(a.symbols == e).mean() for e in elements] for a in structures])


def lowest(structures, elements):
    """Lowest energy per atom of each pure element, eV."""
    pure = {e: [] for e in elements}
    for atoms in structures:
        if len(kinds := set(atoms.symbols)) == 1:
            pure[kinds.pop()].append(atoms.get_potential_energy() / len(atoms))
    return np.array([min(pure[e]) for e in elements])


def models():
    strengths = np.logspace(-6, 3, 10)
    kernel = GridSearchCV(
        KernelRidge(kernel="rbf"),
        {"alpha": [1e-5, 1e-4, 1e-3, 1e-2], "gamma": [3e-5, 1e-4, 3e-4, 1e-3, 3e-3]},
        cv=5,
    )
    return {
        "ridge": make_pipeline(StandardScaler(), RidgeCV(strengths)),
        "kernel ridge": make_pipeline(StandardScaler(), kernel),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--most", type=int, default=800, help="frames of each file")
    parser.add_argument("--largest", type=int, default=16, help="atoms of a frame")
    parser.add_argument("--out", type=Path, help="write the numbers as JSON")
    args = parser.parse_args()
    rng = np.random.default_rng(1)
    train, test = (frames(p, args.most, args.largest, rng) for p in (args.train, args.test))
    elements = tuple(sorted({s for atoms in train for s in atoms.symbols}))
    descriptor = PowerSpectrum(elements, GaussianBasis(5.0, 4, 4), normalised=False)
    start = time.process_time()
    x, x_test = (np.array([material_embedding(a, descriptor) for a in s]) for s in (train, test))
    spent = time.process_time() - start
    shares, shares_test = (composition(s, elements) for s in (train, test))
    # who is in the middle is not in the density around it
    x, x_test = np.hstack([x, shares]), np.hstack([x_test, shares_test])
    references = lowest(train, elements)
    targets = {
        "volume, Å³/atom": [[a.get_volume() / len(a) for a in s] for s in (train, test)],
        "mixing, meV/atom": [mixing(s, elements, references) for s in (train, test)],
    }
    results = about(train=len(train), test=len(test), embedding_cpu_s=spent, mae={})
    for name, (y, y_test) in targets.items():
        y, y_test = np.array(y), np.array(y_test)
        linear = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-6, 3, 10)))
        predictions = {
            "mean": np.full(len(y_test), y.mean()),
            "composition": linear.fit(shares, y).predict(shares_test),
        }
        predictions |= {n: m.fit(x, y).predict(x_test) for n, m in models().items()}
        errors = {n: float(abs(p - y_test).mean()) for n, p in predictions.items()}
        results["mae"][name] = errors | {"spread of the test set": float(y_test.std())}
        print(name, {n: round(e, 4) for n, e in results["mae"][name].items()})
    if args.out:
        args.out.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
