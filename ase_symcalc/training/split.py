"""Training and validation frames, so that neither side knows the other's."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from jaxtyping import Float64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from ase_symcalc.errors import InputError
from ase_symcalc.training.dataset import Frame, hash_text

SAME_ENERGY, SAME_VOLUME, SAME_FORCE = 2e-5, 1e-3, 5e-3  # eV/atom, Å³/atom, eV/Å
QUANTILES = np.linspace(0, 1, 8)
SHORTEST_STRETCH = 5  # frames of a run that are kept together, at least


def split(frames: Sequence[Frame], fraction: float, seed: int) -> tuple[list[Frame], list[Frame]]:
    """Training and validation frames; what is nearly the same is never on both sides.

    The fraction is taken from each file, by whole groups: see `group`. Groups are ordered by
    a hash of the seed and of what they are, so a frame keeps its side when other files are
    added. Where a run was cut, its training frames next to a validation frame are left out.

    Raises
    ------
    InputError
        If a side would be empty.
    """
    size = Counter(frame.source for frame in frames)
    wanted = {source: round(fraction * count) for source, count in size.items()}
    groups: dict[int, list[int]] = defaultdict(list)
    for i, label in enumerate(group(frames, wanted)):
        groups[label].append(i)
    keyed = [
        (hash_text(f"{seed} {min(_content(frames[i]) for i in own)}"), own)
        for own in groups.values()
    ]
    validation: set[int] = set()
    taken: Counter[str] = Counter()
    for _, members in sorted(keyed):
        source = frames[members[0]].source
        if taken[source] + len(members) <= wanted[source]:
            validation.update(members)
            taken[source] += len(members)
    beside = {frames[j].name for i, j in _consecutive(frames) if i in validation}
    beside |= {frames[i].name for i, j in _consecutive(frames) if j in validation}
    training = [f for i, f in enumerate(frames) if i not in validation and f.name not in beside]
    if not training or not validation:
        raise InputError(
            f"{len(frames)} frames cannot be split with validation_fraction {fraction}: one side "
            "is empty; give more frames or another fraction"
        )
    return training, [frames[i] for i in sorted(validation)]


def group(frames: Sequence[Frame], wanted: dict[str, int]) -> list[int]:
    """Label of the group of each frame; frames of one group belong on one side.

    Frames are in one group if they have the same atoms, volume, energy and lengths of
    forces, as copies under a symmetry and steps of a converged relaxation have, or if they
    are of one run (`Frame.run`). A run longer than what is wanted of its file for validation
    is cut into stretches of consecutive frames.
    """
    links = [*_alike(frames)]
    for own in _runs(frames).values():
        share = wanted[frames[own[0]].source]
        length = len(own) if len(own) <= share else max(SHORTEST_STRETCH, share // 4)
        links += [pair for n, pair in enumerate(pairwise(own), 1) if n % length]
    rows, columns = np.array(links, dtype=int).reshape(-1, 2).T
    graph = coo_array((np.ones(len(rows)), (rows, columns)), shape=(len(frames), len(frames)))
    return connected_components(graph, directed=False)[1].tolist()


def _alike(frames: Sequence[Frame]) -> list[tuple[int, int]]:
    kinds: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for i, frame in enumerate(frames):
        atoms = tuple(sorted(Counter(frame.graph.atomic_numbers.tolist()).items()))
        kinds[atoms, frame.energy is None, frame.forces is None].append(i)
    links = []
    for own in kinds.values():
        if len(own) > 1:
            tree = cKDTree(np.array([_signature(frames[i]) for i in own]))
            links += [(own[i], own[j]) for i, j in tree.query_pairs(1.0, p=np.inf)]
    return links


def _signature(frame: Frame) -> Float64[np.ndarray, "_"]:
    """Numbers that symmetry leaves unchanged, in units of what counts as the same."""
    n_atoms = frame.graph.n_atoms
    forces = np.zeros(len(QUANTILES))
    if frame.forces is not None:
        forces = np.quantile(frame.forces.double().norm(dim=1).numpy(), QUANTILES)
    return np.array(
        [
            (frame.energy or 0.0) / n_atoms / SAME_ENERGY,
            frame.volume / n_atoms / SAME_VOLUME,
            *(forces / SAME_FORCE),
        ]
    )


def _runs(frames: Sequence[Frame]) -> dict[str, list[int]]:
    runs: dict[str, list[int]] = defaultdict(list)
    for i in sorted(range(len(frames)), key=lambda i: frames[i].number):
        if frames[i].run:
            runs[frames[i].run].append(i)
    return runs


def _consecutive(frames: Sequence[Frame]) -> list[tuple[int, int]]:
    return [pair for own in _runs(frames).values() for pair in pairwise(own)]


def _content(frame: Frame) -> str:
    """Text that is the same whatever file and place a frame is read from."""
    atoms = sorted(Counter(frame.graph.atomic_numbers.tolist()).items())
    energy = 0.0 if frame.energy is None else frame.energy
    return f"{atoms} {energy:.5f} {frame.volume:.2f}"
