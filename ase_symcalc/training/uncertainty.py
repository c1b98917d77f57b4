"""From features and errors of labelled frames to what `evaluation.uncertainty` reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from scipy.optimize import minimize
from scipy.special import logsumexp

from ase_symcalc.evaluation import descriptors
from ase_symcalc.evaluation.uncertainty import SMALLEST, squared_distances
from ase_symcalc.graph import join_graphs
from ase_symcalc.potential_files import Potential
from ase_symcalc.potential_files.error_model import ErrorModel
from ase_symcalc.training.dataset import Frame, pack
from ase_symcalc.training.metrics import frame_errors

ENOUGH = 4000
"""Atoms of each element that are looked at"""
COMPONENTS = 8
"""Gaussians of an element, if there are enough atoms for them"""
FLATTEST = 1e-2
"""Smallest variance along a principal axis, relative to the largest"""
TINIEST = 1e-12
"""Of variances, where all features are the same"""
BLUR = 0.1
"""Added to variances of whitened features; with less or more, errors follow distance less well"""
ROUNDS = 20
FARTHEST, MARGIN = 0.99, 1.5
"""Share of the atoms within some squared distance; beyond so many times of it is outside"""
SHRINKAGE = 5.0
"""How strongly the elements' laws are held together, in atoms"""
SMALLEST_ERROR = 1e-4  # eV/Å
MAX_EDGES = 20_000


class Gaussian(NamedTuple):
    """One component of a mixture, as `ErrorModel` has it."""

    offset: float
    mean: Float64[np.ndarray, "n_features"]
    factor: Float64[np.ndarray, "n_features n_features"]


def fit_heads(
    potentials: Mapping[str, Potential], learnt: Sequence[Frame], held_out: Sequence[Frame]
) -> dict[str, ErrorModel]:
    """Error model of each head that has frames with forces on both sides."""
    models = {}
    for head, potential in potentials.items():
        own, others = (
            [f for f in frames if f.head == head and f.forces is not None]
            for frames in (learnt, held_out)
        )
        if own and others:
            models[head] = fit_error_model(potential, own, others)
    return models


def fit_error_model(
    potential: Potential, learnt: Sequence[Frame], held_out: Sequence[Frame], *, seed: int = 0
) -> ErrorModel:
    """Mixtures of the features of frames learnt, and the law of errors of those held out.

    Parameters
    ----------
    potential : Potential
        In float32, as frames are.
    learnt, held_out : sequence of Frame
        With forces. A random part is used if there are many.
    seed : int
        Of that part, and of where mixtures start.
    """
    rng = np.random.default_rng(seed)
    rows, numbers = _features(potential, _some(learnt, rng))
    elements = np.unique(numbers)
    parts = [(z, gaussian) for z in elements for gaussian in mixture(rows[numbers == z], rng)]
    model = ErrorModel(
        exponent=0.0,
        elements=elements,
        prefactors=np.ones(len(elements)),
        limits=np.ones(len(elements)),
        components=np.array([z for z, _ in parts]),
        offsets=np.array([gaussian.offset for _, gaussian in parts]),
        means=np.array([gaussian.mean for _, gaussian in parts]),
        factors=np.array([gaussian.factor for _, gaussian in parts]),
    )
    others = _some(held_out, rng)
    their_rows, theirs = _features(potential, others)
    near, far = (
        squared_distances(model, *seen) for seen in ((rows, numbers), (their_rows, theirs))
    )
    known = np.isin(theirs, elements)
    their_rows, theirs, far = their_rows[known], theirs[known], far[known]
    found = frame_errors(potential.model, others, max_edges=MAX_EDGES).forces
    errors = np.linalg.norm(np.concatenate(list(found), dtype=np.float64), axis=1)[known]
    exponent, prefactors = law(far, errors, np.searchsorted(elements, theirs), len(elements))
    every, whose = np.concatenate([near, far]), np.concatenate([numbers, theirs])
    limits = [MARGIN * float(np.quantile(every[whose == z], FARTHEST)) for z in elements]
    return replace(model, exponent=exponent, prefactors=prefactors, limits=np.array(limits))


def mixture(
    rows: Float64[np.ndarray, "n_atoms n_features"], rng: np.random.Generator
) -> list[Gaussian]:
    """Gaussian mixture of some features, by expectation and maximisation.

    Features are whitened first. Components with fewer atoms than features are left out, and
    no variance is below that of the blur.
    """
    n, n_features = rows.shape
    centre = rows.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(rows.T, bias=True).reshape(n_features, n_features))
    floor = max(FLATTEST * variances[-1], TINIEST)
    white = axes / np.sqrt(np.maximum(variances, floor))
    x = (rows - centre) @ white
    shares = np.eye(COMPONENTS)[_nearest(x, rng)]
    for _ in range(ROUNDS):
        crowded = shares.sum(axis=0) >= n_features
        shares = shares[:, crowded] if crowded.any() else np.ones((n, 1))
        shares /= np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(float).tiny)
        parts = [_gaussian(x, share) for share in shares.T]
        logs = np.stack([_log_density(x, part) for part in parts], axis=1)
        shares = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
    back = np.linalg.inv(white)
    return [
        Gaussian(part.offset, centre + part.mean @ back, _triangle(white @ part.factor))
        for part in parts
    ]


def law(
    distances: Float64[np.ndarray, "n"],
    errors: Float64[np.ndarray, "n"],
    kinds: Int64[np.ndarray, "n"],
    n_kinds: int,
) -> tuple[float, Float64[np.ndarray, "n_kinds"]]:
    """Exponent b and prefactors a_z of mean errors a_z (d² + 0.01)^b.

    By the likelihood of exponential distributions, which estimates means without bias whatever
    the true distribution is (P. McCullagh and J. A. Nelder, Generalized Linear Models, 1989,
    chapter 8). Prefactors are held together, so that few atoms of a kind are enough.
    """
    t = np.log(distances + SMALLEST)
    e = np.maximum(errors, SMALLEST_ERROR)

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        b, logs = parameters[0], parameters[1:]
        expected = logs[kinds] + b * t
        apart = logs - logs.mean()
        ratio = e * np.exp(-expected)
        slope = np.bincount(kinds, 1 - ratio, n_kinds) + 2 * SHRINKAGE * apart
        value = float((expected + ratio).sum() + SHRINKAGE * (apart**2).sum())
        return value / len(e), np.array([((1 - ratio) * t).sum(), *slope]) / len(e)

    start = np.array([0.5, *np.full(n_kinds, np.log(e.mean()))])
    bounds = [(0.0, 2.0), *[(None, None)] * n_kinds]
    found = minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x
    return float(found[0]), np.exp(found[1:])


def _nearest(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Which of some rows each is nearest to; these are drawn far from each other.

    D. Arthur and S. Vassilvitskii, Proc. 18th ACM-SIAM Symp. Discrete Algorithms, 1027 (2007).
    """
    start = x[rng.integers(len(x))]
    squares = ((x - start) ** 2).sum(axis=1)[:, None]
    while squares.shape[1] < COMPONENTS and (least := squares.min(axis=1)).any():
        start = x[rng.choice(len(x), p=least / least.sum())]
        squares = np.column_stack([squares, ((x - start) ** 2).sum(axis=1)])
    return squares.argmin(axis=1)


def _gaussian(x: np.ndarray, shares: np.ndarray) -> Gaussian:
    weight = shares.sum()
    mean = shares @ x / weight
    apart = x - mean
    covariance = (shares[:, None] * apart).T @ apart / weight + BLUR * np.eye(x.shape[1])
    factor = np.linalg.inv(np.linalg.cholesky(covariance)).T
    return Gaussian(np.log(weight / len(x)) + np.log(np.diag(factor)).sum(), mean, factor)


def _triangle(factor: np.ndarray) -> np.ndarray:
    """Lower triangle with the same square, which takes half the room in a file."""
    return np.linalg.cholesky(factor @ factor.T)


def _log_density(x: np.ndarray, part: Gaussian) -> np.ndarray:
    return part.offset - 0.5 * (((x - part.mean) @ part.factor) ** 2).sum(axis=1)


def _some(frames: Sequence[Frame], rng: np.random.Generator) -> list[Frame]:
    """Frames drawn until there are enough atoms of each element, or no frames left."""
    count: Counter[int] = Counter()
    chosen = []
    for i in rng.permutation(len(frames)):
        numbers = frames[i].graph.atomic_numbers.tolist()
        if any(count[z] < ENOUGH for z in set(numbers)):
            count.update(numbers)
            chosen.append(frames[i])
    return chosen


def _features(
    potential: Potential, frames: Sequence[Frame]
) -> tuple[Float64[np.ndarray, "n n_features"], Int64[np.ndarray, "n"]]:
    rows, numbers = [], []
    for members in pack([f.graph.n_edges for f in frames], MAX_EDGES):
        graph = join_graphs([frames[i].graph for i in members])
        rows.append(descriptors(potential.model, graph, True))
        numbers.append(graph.atomic_numbers.numpy())
    return np.vstack(rows), np.concatenate(numbers)
