"""Whether energies that are to be learnt together have one zero and one level of theory."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
from ase.data import chemical_symbols
from jaxtyping import Float64
from scipy.optimize import linprog
from scipy.spatial import cKDTree

from ase_symcalc.errors import InputError
from ase_symcalc.training.dataset import Frame
from ase_symcalc.training.fingerprint import fingerprint, same_environments

SAME, SAME_ENERGY = 1e-3, 0.02
"""Distance of fingerprints in parts of their size, and eV/atom"""
NEAR, NEAR_ENERGY, SPREAD = 0.3, 0.05, 5.0
"""Distance, eV/atom, and how many times steeper than within a file energies must differ"""
LEAST_SLOPE = 0.1  # eV/atom for each unit of distance
BINDING = (-15.0, 10.0)  # eV/atom; tungsten has -9, carbon -8, and crushed crystals are above 0
HIGHEST_REFERENCE = 2.0  # eV; codes count from free atoms, or from far below
THOMAS_FERMI = 20.92  # eV; 0.7687 Hartree, of the energy -0.7687 Z^(7/3) of a neutral atom
REMEDY = (
    "Energies of different levels of theory, codes or settings have no common zero: give each "
    "a head of its own (data.train.head), or leave one out."
)
Key = tuple[tuple[int, int], ...]


def check_levels(frames: Sequence[Frame]) -> None:
    """Refuse energies that cannot be of one level of theory.

    Three things are looked at, among frames of the same head:

    - the same structure, in one file or in two, with energies apart by more than 20 meV/atom;
    - nearly the same structures in two files, whose energies are apart by more than 50 meV/atom
      and by more than five times what such structures are apart within a file;
    - files whose energies per atom no common energies of the elements explain with a binding
      energy between -15 and 10 eV/atom, or of which one counts all electrons, with the energies
      of Thomas and Fermi (E = -20.92 eV Z^(7/3)), and the other does not.

    Two files without an element or a similar structure in common cannot be compared.

    Raises
    ------
    InputError
        Naming two frames or two files.
    """
    heads: dict[str, list[Frame]] = defaultdict(list)
    for frame in frames:
        if frame.energy is not None:
            heads[frame.head].append(frame)
    for own in heads.values():
        _check_electrons(own)
        _check_zeros(own)
        kinds: dict[tuple[bool, Key], list[Frame]] = defaultdict(list)
        for frame in own:
            kinds[bool(frame.graph.pbc.any()), _composition(frame)].append(frame)
        for kind in kinds.values():
            if len(kind) > 1 and np.ptp(_energies(kind)) > SAME_ENERGY:
                _check_alike(kind)


def _check_alike(frames: Sequence[Frame]) -> None:
    prints = np.array([fingerprint(frame.graph).numpy() for frame in frames], dtype=float)
    prints /= np.abs(prints).mean(axis=0) + 1e-3
    energies = _energies(frames)
    for i, j in cKDTree(prints).query_pairs(SAME):
        apart = abs(energies[i] - energies[j])
        if apart <= SAME_ENERGY:
            continue
        if same_environments(frames[i].graph, frames[j].graph, SAME):
            raise InputError(
                f"{frames[i].name} and {frames[j].name} are the same structure, but their "
                f"energies differ by {apart:.3g} eV/atom. {REMEDY} If they differ in charge or "
                "magnetism, a model that sees only atoms cannot tell them apart either."
            )
    files: dict[str, list[int]] = defaultdict(list)
    for i, frame in enumerate(frames):
        files[frame.source].append(i)
    for one, other in combinations(files, 2):
        _check_near(frames, prints, energies, files[one], files[other])


def _check_near(
    frames: Sequence[Frame],
    prints: Float64[np.ndarray, "n n_numbers"],
    energies: Float64[np.ndarray, "n"],
    one: list[int],
    other: list[int],
) -> None:
    one, other = sorted((one, other), key=len, reverse=True)
    distance, nearest = cKDTree(prints[one]).query(prints[other])
    near = np.flatnonzero(distance < NEAR)
    if len(near) < 3:
        return
    near = near[np.argsort(distance[near])][: max(3, len(near) // 5)]
    apart = np.array([energies[other[k]] - energies[one[nearest[k]]] for k in near])
    slopes = np.concatenate([_slopes(prints[own], energies[own]) for own in (one, other)])
    slope = max(LEAST_SLOPE, float(np.median(slopes)) if len(slopes) else 0.0)
    offset = float(np.median(apart))
    if abs(offset) > NEAR_ENERGY + SPREAD * slope * np.median(distance[near]):
        first, second = frames[one[nearest[near[0]]]], frames[other[near[0]]]
        raise InputError(
            f"{second.source} and {first.source} are of different levels of theory: where their "
            f"structures are nearly the same, as {second.name} and {first.name}, the energies "
            f"differ by {offset:.3g} eV/atom. {REMEDY}"
        )


def _slopes(
    prints: Float64[np.ndarray, "n n_numbers"], energies: Float64[np.ndarray, "n"]
) -> Float64[np.ndarray, "_"]:
    """Energy over distance to the nearest other structure of the same file, absolute."""
    if len(prints) < 2:
        return np.zeros(0)
    distance, nearest = cKDTree(prints).query(prints, 2)
    apart = distance[:, 1] > SAME
    return np.abs(energies - energies[nearest[:, 1]])[apart] / distance[apart, 1]


def _check_electrons(frames: Sequence[Frame]) -> None:
    counted: dict[bool, tuple[str, float]] = {}
    for source, rows in _by_file(frames).items():
        heavy = [(key, energy) for key, energy in rows if max(key)[0] > 4]  # others have no core
        if not heavy:
            continue
        parts = [
            -energy * sum(n for _, n in key) / sum(n * THOMAS_FERMI * z ** (7 / 3) for z, n in key)
            for key, energy in heavy
        ]
        counted.setdefault(float(np.median(parts)) > 0.5, (source, heavy[0][1]))
    if len(counted) == 2:
        (all_electrons, low), (valence, high) = counted[True], counted[False]
        raise InputError(
            f"{all_electrons} holds energies of all electrons (as {low:.1f} eV/atom), {valence} "
            f"does not (as {high:.1f} eV/atom). {REMEDY}"
        )


def _check_zeros(frames: Sequence[Frame]) -> None:
    files = _by_file(frames)
    if _explained([row for rows in files.values() for row in rows]):
        return
    for one, other in combinations(files, 2):
        if not _explained(files[one] + files[other]):
            shared = {z for key, _ in files[one] for z, _ in key}
            shared &= {z for key, _ in files[other] for z, _ in key}
            lowest = [min(energy for _, energy in files[name]) for name in (one, other)]
            raise InputError(
                f"the energies of {one} and {other} have different zeros: no energies of "
                f"{', '.join(chemical_symbols[z] for z in sorted(shared)) or 'their elements'} "
                f"explain both {lowest[0]:.1f} and {lowest[1]:.1f} eV/atom, or "
                f"one of them holds nonsense. {REMEDY} Energies are of the whole structure, "
                "not per atom."
            )


def _by_file(frames: Sequence[Frame]) -> dict[str, list[tuple[Key, float]]]:
    """Composition and median energy per atom of all compositions of each file."""
    found: dict[str, dict[Key, list[float]]] = defaultdict(lambda: defaultdict(list))
    for frame, energy in zip(frames, _energies(frames), strict=True):
        found[frame.source][_composition(frame)].append(float(energy))
    return {
        source: [(key, float(np.median(own))) for key, own in keys.items()]
        for source, keys in found.items()
    }


def _explained(rows: Sequence[tuple[Key, float]]) -> bool:
    """Whether there are energies of the elements that leave each row a binding energy."""
    numbers = sorted({z for key, _ in rows for z, _ in key})
    shares = np.array([[dict(key).get(z, 0) for z in numbers] for key, _ in rows], dtype=float)
    shares /= shares.sum(axis=1, keepdims=True)
    energies = np.array([energy for _, energy in rows])
    limits = np.concatenate([energies - BINDING[0], BINDING[1] - energies])
    found = linprog(
        np.zeros(len(numbers)),
        A_ub=np.concatenate([shares, -shares]),
        b_ub=limits,
        bounds=[(None, HIGHEST_REFERENCE)] * len(numbers),
    )
    return bool(found.status != 2)  # infeasible


def _energies(frames: Sequence[Frame]) -> Float64[np.ndarray, "n"]:
    return np.array(list(_per_atom(frames)))


def _per_atom(frames: Sequence[Frame]) -> Iterator[float]:
    for frame in frames:
        if frame.energy is None:
            raise ValueError(f"{frame.name} has no energy to compare")
        yield frame.energy / frame.graph.n_atoms


def _composition(frame: Frame) -> Key:
    """Numbers of atoms by element; of the smallest unit in a crystal, where size is a choice."""
    counts = sorted(Counter(frame.graph.atomic_numbers.tolist()).items())
    unit = math.gcd(*(n for _, n in counts)) if frame.graph.pbc.any() else 1
    return tuple((z, n // unit) for z, n in counts)
