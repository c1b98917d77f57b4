"""Groups of atoms with like surroundings, named, and followed from frame to frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from jaxtyping import Float64, Int64

from ase_symcalc.analysis.descriptors import Descriptor
from ase_symcalc.analysis.memory import check_memory
from ase_symcalc.analysis.references import label_atoms
from ase_symcalc.analysis.similarity import environment_distance
from ase_symcalc.errors import InputError, SymCalcError
from ase_symcalc.symmetry import wyckoff_sites

SAMPLE = 3000
"""Environments that are grouped; of more, so many at equal steps, and the rest join the nearest."""


@dataclass(frozen=True, slots=True, eq=False)
class Environments:
    """The surroundings of every atom in every frame."""

    images: tuple[Atoms, ...]
    groups: Int64[np.ndarray, "n_frames n_atoms"]
    """number of the group, the largest first; -1 for atoms that belong to none (HDBSCAN)"""
    labels: tuple[tuple[str, ...], ...]
    """of each frame and atom: one of `references.LABELS`"""
    distances: Float64[np.ndarray, "n_frames n_atoms"]
    """from the nearest reference, see `label_atoms`"""
    map: Float64[np.ndarray, "n_frames n_atoms 2"]
    """coordinates along the two principal axes of the descriptors"""
    explained: tuple[float, float]
    """parts of the variance along these"""
    orbits: tuple[str, ...] | None
    """of each atom of the last frame: element, multiplicity and Wyckoff letter, as "Si 8a"; None
    where no space group was found"""

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return int(self.groups.max()) + 1

    def group_names(self) -> list[str]:
        """Say what each group is: its element and the label that most of its atoms have."""
        names = []
        elements = self.images[0].get_chemical_symbols()
        for group in range(self.n_groups):
            where = np.argwhere(self.groups == group)
            label = Counter(self.labels[f][a] for f, a in where).most_common(1)[0][0]
            names.append(f"{elements[where[0][1]]} {label}")
        return names

    def fractions(self) -> dict[str, Float64[np.ndarray, "n_frames"]]:
        """Part of the atoms with each label that occurs, frame by frame."""
        every = sorted({label for labels in self.labels for label in labels})
        n = self.groups.shape[1]
        return {
            name: np.array([labels.count(name) / n for labels in self.labels]) for name in every
        }

    def against_orbits(self) -> list[str]:
        """Compare the groups of the last frame with its Wyckoff orbits, in sentences."""
        if self.orbits is None:
            return ["not a crystal, so there are no Wyckoff orbits to compare with"]
        groups = self.groups[-1].tolist()
        pairs = set(zip(groups, self.orbits, strict=True))
        held = {g: sorted(o for h, o in pairs if h == g) for g in sorted(set(groups))}
        spread = {o: sorted(g for g, p in pairs if p == o) for o in sorted(set(self.orbits))}
        shared = [
            f"group {g + 1} holds the orbits {', '.join(o)}: distinct by symmetry, but alike "
            "within the threshold"
            for g, o in held.items()
            if len(o) > 1 and g >= 0
        ]
        split = [
            f"the orbit {o} is in {', '.join(_group_in_words(g) for g in gs)}: alike within the "
            "tolerance of the space group, but not of the grouping"
            for o, gs in spread.items()
            if len(gs) > 1
        ]
        alone = groups.count(-1)
        lost = [f"{alone} of {len(groups)} atoms are in no group"] if alone else []
        return shared + split + lost or ["each group is one Wyckoff orbit"]


def _group_in_words(group: int) -> str:
    return "no group" if group < 0 else f"group {group + 1}"


def find_environments(
    images: Sequence[Atoms],
    descriptor: Descriptor,
    *,
    method: str = "agglomerative",
    threshold: float = 0.02,
    min_size: int = 5,
    tolerance: float = 1e-3,
) -> Environments:
    """Group the atoms of one or more frames by their surroundings, and name them.

    Parameters
    ----------
    images : sequence of Atoms
        Frames with the same atoms in the same order.
    descriptor : Descriptor
        Invariant; groups are of one element each whatever it says.
    method : "agglomerative" or "hdbscan"
        Average linkage, cut at the threshold; or densest regions (Campello, Moulavi and
        Sander, PAKDD 2013), where what belongs to none is -1. Both are scikit-learn's.
    threshold : float
        Distance (`environment_distance`) at which groups are no longer joined. By default fcc
        and hcp are told apart; heat blurs environments, and asks for more.
    min_size : int
        Smallest group of HDBSCAN.
    tolerance : float, Å
        Of the space group of the last frame.

    Raises
    ------
    InputError
        If there is no frame, atoms differ between frames, or an argument has no meaning.
    """
    if not images:
        raise InputError("expected at least one structure, got none")
    numbers = images[0].numbers.astype(np.int64)
    if any(not np.array_equal(atoms.numbers, numbers) for atoms in images):
        raise InputError("expected the same atoms in the same order in every frame")
    named = [label_atoms(atoms) for atoms in images]
    rows = np.concatenate(descriptor(images))
    groups = group_rows(
        rows, np.tile(numbers, len(images)), method=method, threshold=threshold, min_size=min_size
    )
    shape = (len(images), len(numbers))
    places, explained = principal_axes(rows)
    return Environments(
        images=tuple(images),
        groups=groups.reshape(shape),
        labels=tuple(tuple(labels) for labels, _ in named),
        distances=np.array([distances for _, distances in named]),
        map=places.reshape(*shape, 2),
        explained=explained,
        orbits=_orbits(images[-1], tolerance),
    )


def group_rows(
    rows: Float64[np.ndarray, "n n_features"],
    numbers: Int64[np.ndarray, "n"],
    *,
    method: str = "agglomerative",
    threshold: float = 0.02,
    min_size: int = 5,
) -> Int64[np.ndarray, "n"]:
    """Group environments; see `find_environments`.

    Returns
    -------
    (n,) array
        Number of the group of each row, the largest first.

    Raises
    ------
    InputError
        If scikit-learn is missing, or an argument has no meaning.
    """
    if method not in ("agglomerative", "hdbscan"):
        raise InputError(f"expected the method to be 'agglomerative' or 'hdbscan', got {method!r}")
    if not threshold > 0 or min_size < 2:
        raise InputError(
            "expected a threshold above 0 and groups of at least two; got "
            f"threshold={threshold}, min_size={min_size}"
        )
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), SAMPLE)).round().astype(int))
    few, kinds = rows[chosen], numbers[chosen]
    check_memory(3 * 8 * len(few) ** 2, f"grouping {len(few)} environments")
    distances = environment_distance(few, few, (kinds, kinds))
    found = _cluster(distances, method, threshold, min_size)
    if len(chosen) < len(rows):
        every = np.empty(len(rows), dtype=np.int64)
        for i in range(0, len(rows), SAMPLE):
            part = slice(i, i + SAMPLE)
            between = environment_distance(rows[part], few, (numbers[part], kinds))
            every[part] = found[between.argmin(axis=1)]
        found = every
    return _by_size(found)


def _cluster(distances: np.ndarray, method: str, threshold: float, min_size: int) -> np.ndarray:
    try:
        from sklearn.cluster import HDBSCAN, AgglomerativeClustering
    except ImportError as error:
        raise InputError(
            "grouping needs scikit-learn: python -m pip install 'ase-symcalc[analysis]'"
        ) from error
    if len(distances) < 2:
        return np.zeros(len(distances), dtype=np.int64)
    if method == "hdbscan":
        if len(distances) < min_size:
            raise InputError(
                f"{len(distances)} environments cannot hold a group of {min_size}; expected a "
                "smaller min_size"
            )
        clusters = HDBSCAN(
            min_cluster_size=min_size, metric="precomputed", copy=True, allow_single_cluster=True
        )
    else:
        clusters = AgglomerativeClustering(
            n_clusters=None, metric="precomputed", linkage="average", distance_threshold=threshold
        )
    return clusters.fit_predict(distances).astype(np.int64)


def _by_size(found: np.ndarray) -> np.ndarray:
    """Give the largest group the number 0; of equal ones, that of the first row."""
    names, firsts, counts = np.unique(found, return_index=True, return_counts=True)
    order = np.lexsort((firsts, -counts))
    order = order[names[order] >= 0]
    ranks = np.full(len(names), -1)
    ranks[order] = np.arange(len(order))
    return ranks[np.searchsorted(names, found)]


def principal_axes(
    rows: Float64[np.ndarray, "n n_features"],
) -> tuple[Float64[np.ndarray, "n 2"], tuple[float, float]]:
    """Coordinates along the two directions of largest variance, and its parts along them.

    Pearson, Philos. Mag. 2, 559 (1901). Signs are such that the largest component of each
    direction is positive.
    """
    centred = rows - rows.mean(axis=0)
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    axes = directions[:2].T
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
    places = np.zeros((len(rows), 2))
    places[:, : axes.shape[1]] = centred @ axes
    parts = spread**2 / max((spread**2).sum(), np.finfo(float).tiny)
    return places, (float(parts[0]), float(parts[1:2].sum()))


def _orbits(atoms: Atoms, tolerance: float) -> tuple[str, ...] | None:
    if not atoms.pbc.all():
        return None
    try:
        sites = wyckoff_sites(atoms, tolerance)
    except SymCalcError:  # not a crystal
        return None
    names = [
        f"{element} {n}{letter}"
        for element, n, letter in zip(
            sites.elements, sites.multiplicities, sites.letters, strict=True
        )
    ]
    again = Counter(names)
    numbered = [
        f"{name} ({names[: i + 1].count(name)})" if again[name] > 1 else name
        for i, name in enumerate(names)
    ]
    return tuple(numbered[orbit] for orbit in sites.orbits)
