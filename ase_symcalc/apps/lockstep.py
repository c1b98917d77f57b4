"""Optimisers that move many structures at once, each as if it were alone.

What belongs to a structure is a run of rows of three coordinates. Sums are taken run by run, so
a structure's steps do not depend on what lies beside it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64

LONGEST_STEP = 0.2  # Å, of one row, as in ASE

MEMORY = 30
"""Steps that LBFGS remembers; small crystals come to rest in fewer."""

SOFTEST = 1 / 70
"""Å²/eV, the first guess of an inverse curvature, as in ASE."""


class Runs:
    """Which rows belong to which structure."""

    def __init__(self, sizes: Int64[np.ndarray, "n_structures"]) -> None:
        self.sizes = sizes
        self.starts = np.cumsum(sizes) - sizes
        self.owner = np.repeat(np.arange(len(sizes)), sizes)

    def dot(
        self, a: Float64[np.ndarray, "n_rows 3"], b: Float64[np.ndarray, "n_rows 3"]
    ) -> Float64[np.ndarray, "n_structures"]:
        """Scalar products, structure by structure."""
        return np.add.reduceat(np.einsum("rk,rk->r", a, b), self.starts)

    def largest(self, rows: Float64[np.ndarray, "n_rows"]) -> Float64[np.ndarray, "n_structures"]:
        """Return the largest number of each structure."""
        return np.maximum.reduceat(rows, self.starts)

    def spread(
        self, values: Float64[np.ndarray, "n_structures"]
    ) -> Float64[np.ndarray, "n_rows 1"]:
        """Give each row its structure's number."""
        return values[self.owner][:, None]


class LBFGS:
    """The limited-memory method of Nocedal, Math. Comp. 35, 773 (1980), without a line search.

    Steps across which the energy does not curve upwards are not remembered, so every step leads
    downhill.
    """

    def __init__(self) -> None:
        self._past: deque[tuple[np.ndarray, np.ndarray, np.ndarray]] = deque(maxlen=MEMORY)
        self._scale = np.zeros(0)
        self._moved = self._forces = np.zeros((0, 3))

    def select(
        self,
        stay: Bool[np.ndarray, "n_structures"],
        rows: Bool[np.ndarray, "n_rows"],
        sizes: Sequence[int],
    ) -> None:
        """Forget structures that leave, and make room for others of so many rows behind them."""
        n, n_rows = len(sizes), sum(sizes)
        self._past = deque(
            (
                (_joined(s[rows], n_rows), _joined(y[rows], n_rows), _joined(rho[stay], n))
                for s, y, rho in self._past
            ),
            maxlen=MEMORY,
        )
        self._scale = np.concatenate([self._scale[stay], np.full(n, SOFTEST)])
        self._moved = _joined(self._moved[rows], n_rows)
        self._forces = _joined(self._forces[rows], n_rows)

    def step(
        self, runs: Runs, forces: Float64[np.ndarray, "n_rows 3"]
    ) -> Float64[np.ndarray, "n_rows 3"]:
        """Return how far every row moves."""
        self._learn(runs, self._moved, self._forces - forces)
        q, shares = forces.copy(), []
        for s, y, rho in reversed(self._past):
            shares.append(rho * runs.dot(s, q))
            q -= runs.spread(shares[-1]) * y
        q *= runs.spread(self._scale)
        for (s, y, rho), share in zip(self._past, reversed(shares), strict=True):
            q += runs.spread(share - rho * runs.dot(y, q)) * s
        longest = np.sqrt(runs.largest(np.einsum("rk,rk->r", q, q)))
        q *= runs.spread(LONGEST_STEP / np.maximum(longest, LONGEST_STEP))
        self._moved, self._forces = q, forces
        return q

    def _learn(self, runs: Runs, s: np.ndarray, y: np.ndarray) -> None:
        curvature, stiffness = runs.dot(s, y), runs.dot(y, y)
        upwards = curvature > 1e-10 * np.sqrt(runs.dot(s, s) * stiffness)
        inverse = np.divide(1.0, curvature, out=np.zeros(len(curvature)), where=upwards)
        self._scale = np.divide(curvature, stiffness, out=self._scale, where=upwards)
        self._past.append((s, y, inverse))


class FIRE:
    """Bitzek et al., Phys. Rev. Lett. 97, 170201 (2006), with the constants of ASE."""

    def __init__(self) -> None:
        self._velocity = np.zeros((0, 3))
        self._dt, self._mixing, self._downhill = np.zeros(0), np.zeros(0), np.zeros(0)

    def select(
        self,
        stay: Bool[np.ndarray, "n_structures"],
        rows: Bool[np.ndarray, "n_rows"],
        sizes: Sequence[int],
    ) -> None:
        """Forget structures that leave, and make room for others of so many rows behind them."""
        n = len(sizes)
        self._velocity = _joined(self._velocity[rows], sum(sizes))
        self._dt = np.concatenate([self._dt[stay], np.full(n, 0.1)])
        self._mixing = np.concatenate([self._mixing[stay], np.full(n, 0.1)])
        self._downhill = _joined(self._downhill[stay], n)

    def step(
        self, runs: Runs, forces: Float64[np.ndarray, "n_rows 3"]
    ) -> Float64[np.ndarray, "n_rows 3"]:
        """Return how far every row moves."""
        v = self._velocity
        onwards = runs.dot(forces, v) >= 0
        speed = np.sqrt(runs.dot(v, v) / np.maximum(runs.dot(forces, forces), 1e-300))
        v = v * runs.spread(1 - self._mixing) + forces * runs.spread(self._mixing * speed)
        v *= runs.spread(onwards.astype(float))
        long = onwards & (self._downhill > 5)
        self._dt = np.where(long, np.minimum(1.1 * self._dt, 1.0), self._dt)
        self._dt = np.where(onwards, self._dt, 0.5 * self._dt)
        self._mixing = np.where(onwards, np.where(long, 0.99, 1.0) * self._mixing, 0.1)
        self._downhill = np.where(onwards, self._downhill + 1, 0.0)
        self._velocity = v + runs.spread(self._dt) * forces
        moved = runs.spread(self._dt) * self._velocity
        length = np.sqrt(runs.dot(moved, moved))
        return moved * runs.spread(LONGEST_STEP / np.maximum(length, LONGEST_STEP))


def _joined(kept: np.ndarray, n_new: int) -> np.ndarray:
    return np.concatenate([kept, np.zeros((n_new, *kept.shape[1:]))])
