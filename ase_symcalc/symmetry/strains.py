"""The few strains from which all elastic constants of a crystal follow."""

from __future__ import annotations

import itertools

import numpy as np
from jaxtyping import Float64

from ase_symcalc.symmetry.groups import Group

CONDITION = 0.1  # of the largest singular value: what smaller ones say is lost in noise
ALIKE = 1e-6


def irreducible_strains(
    group: Group,
    basis: Float64[np.ndarray, "n_constants 6 6"],
    axes: Float64[np.ndarray, "3 3"],
) -> Float64[np.ndarray, "n_strains 3 3"]:
    """Strains whose stresses determine every elastic constant that a group allows.

    One for cubic crystals (along a face's diagonal), two for hexagonal ones, six for triclinic
    ones: as few as a greedy choice finds, and among equals those that keep most of the symmetry,
    so that a calculation that uses symmetry has most of it left. They turn with the crystal.

    Parameters
    ----------
    group : Group
        Every operation but the identity among its generators, as `crystal_class` gives.
    basis : (n_constants, 6, 6) array
        Its `elastic_basis`.
    axes : (3, 3) array
        Orthonormal rows that turn with the crystal, for directions that the group leaves open.

    Returns
    -------
    (n_strains, 3, 3) array
        Symmetric, the largest principal strain ±1.
    """
    candidates = _candidates(group, axes)
    kept = _n_keeping(candidates, group)
    factors = np.repeat([1, np.sqrt(2)], 3)
    responses = np.einsum("nij,sj->sni", basis, voigt_strain(candidates)) * factors
    chosen: list[int] = []
    n_known, known = 0, responses[:, :, :0]
    while n_known < len(basis):
        trials = np.concatenate([known, responses], axis=2)
        values = np.linalg.svd(trials, compute_uv=False)
        clear = values > CONDITION * values[:, :1]
        n_clear = clear.sum(axis=1)
        condition = np.where(clear, values, np.inf).min(axis=1) / values[:, 0]
        best = np.lexsort((-condition.round(6), -kept, -n_clear))[0]
        chosen.append(int(best))
        n_known = n_clear[best]
        known = np.broadcast_to(trials[best], trials.shape)
    return candidates[chosen]


def _candidates(group: Group, axes: np.ndarray) -> np.ndarray:
    """Stretches along axes and diagonals between them, and shears of two that are orthogonal."""
    proper = [turn * np.sign(np.linalg.det(turn)) for turn in group.discrete]
    turns = [turn for turn in proper if abs(turn - np.eye(3)).max() > ALIKE]
    directions = _unlike([*map(_axis, turns), *axes])
    pairs = list(itertools.combinations(directions, 2))
    diagonals = [one + sign * other for one, other in pairs for sign in (1, -1)]
    lines = _unlike([*directions, *(line / np.linalg.norm(line) for line in diagonals)])
    stretches = [np.outer(line, line) for line in lines]
    shears = [
        np.outer(one, other) + np.outer(other, one)
        for one, other in pairs
        if abs(one @ other) < ALIKE
    ]
    return np.array(stretches + shears)


def _axis(turn: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eig(turn)
    line = np.real(vectors[:, np.argmin(abs(values - 1))])
    return line / np.linalg.norm(line)


def _unlike(lines: list[np.ndarray]) -> list[np.ndarray]:
    """Of lines that are the same but for their direction, the first."""
    cosines = abs(np.array(lines) @ np.transpose(lines))
    earlier = np.tril(abs(cosines - 1) < ALIKE, -1).any(axis=1)
    return [line for line, known in zip(lines, earlier, strict=True) if not known]


def _n_keeping(strains: np.ndarray, group: Group) -> np.ndarray:
    """Count the operations that each strained crystal keeps."""
    turns = group.discrete
    images = np.einsum("gij,sjk,glk->sgil", turns, strains, turns, optimize=True)
    return 1 + (abs(images - strains[:, None]).max(axis=(2, 3), initial=0) < ALIKE).sum(axis=1)


def voigt_strain(strain: Float64[np.ndarray, "*n 3 3"]) -> Float64[np.ndarray, "*n 6"]:
    """Six numbers of each strain: xx, yy, zz, 2yz, 2xz, 2xy.

    ASE's function of that purpose takes deformations, 1 + ε.
    """
    return strain.reshape(*strain.shape[:-2], 9)[..., [0, 4, 8, 5, 2, 1]] * [1, 1, 1, 2, 2, 2]
