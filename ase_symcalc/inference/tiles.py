"""Atoms taken a few at a time, so that what is made of them stays in the cache."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64

_PARTS = 3
"""For each thread: the last one to finish then has little to wait for."""


class Run(NamedTuple):
    """Atoms of one species: entries start..stop-1 of the tiling's order."""

    species: int
    start: int
    stop: int


class Tile(NamedTuple):
    """Atoms first..last-1, and the same by species."""

    first: int
    last: int
    runs: tuple[Run, ...]


def cut(n: int, least: int, most: int) -> list[int]:
    """Bounds of parts of n rows: of ``most`` each, or smaller ones so that all threads have some.

    A part of fewer than ``least`` rows would not be worth waking a thread for.
    """
    n_threads = torch.get_num_threads()
    size = most
    if n_threads > 1:
        size = min(most, max(least, -(-n // (_PARTS * n_threads))))
    return [*range(0, n, size), n] if n else [0]


class Tiling:
    """All atoms of an evaluation, cut into tiles.

    Parameters
    ----------
    species : (n,) array
    bounds : list of int
        Of the tiles, from 0 to n.

    Attributes
    ----------
    tiles : list of Tile
    order : (n,) array
        The atoms' order that the runs are about.
    """

    def __init__(self, species: Int64[np.ndarray, "n"], bounds: list[int]) -> None:
        spans = list(itertools.pairwise(bounds))
        n_species = int(species.max(initial=0)) + 1
        tile = np.repeat(np.arange(len(spans)), np.diff(bounds))
        key = tile * n_species + species
        self.order = np.argsort(key, kind="stable")
        counts = np.bincount(key, minlength=len(spans) * n_species).reshape(-1, n_species)
        self.tiles = []
        for (a, b), row in zip(spans, counts.tolist(), strict=True):
            ends = list(itertools.accumulate(row, initial=a))
            runs = [Run(s, *ends[s : s + 2]) for s in range(n_species) if row[s]]
            self.tiles.append(Tile(a, b, tuple(runs)))
