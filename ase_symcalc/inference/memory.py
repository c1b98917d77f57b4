"""Room for intermediate numbers, reused from one evaluation to the next."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

_ALIGNMENT = 64
_FIRST = 1 << 20
_KEPT = 1 << 31
"""Bytes; a pile that grew beyond them is given back after the evaluation."""
_SPARE = 4
"""A pile this many times larger than needed is given back too,"""
_PATIENCE = 8
"""after so many evaluations in a row: growing again takes time."""


class Pile:
    """Memory taken from the top and given back in the reverse order."""

    def __init__(self) -> None:
        self._blocks: list[np.ndarray] = []
        self._starts: list[int] = []
        self._block, self._used = -1, 0
        self._most = 0  # of the first block, in this evaluation
        self._lately, self._n_small = 0, 0  # most of some evaluations in a row, and how many

    def take(self, n_bytes: int) -> int:
        """Address of so many bytes; what they hold is left over from earlier."""
        while self._block < 0 or self._used + n_bytes > len(self._blocks[self._block]):
            self._block, self._used = self._block + 1, 0
            if self._block == len(self._blocks):
                before = sum(len(block) for block in self._blocks)
                size = max(n_bytes + _ALIGNMENT, before, _FIRST)
                self._add(size)
            self._used = -self._starts[self._block] % _ALIGNMENT
        address = self._starts[self._block] + self._used
        self._used += n_bytes + -n_bytes % _ALIGNMENT
        if self._used > self._most:
            self._most = self._used
        return address

    def array(self, shape: tuple[int, ...], dtype: Any) -> tuple[np.ndarray, int]:
        """Array with unspecified entries, and its address."""
        n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        address = self.take(n_bytes)
        start = address - self._starts[self._block]
        array = np.ndarray(shape, dtype, self._blocks[self._block], start)
        return array, address

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Give back at the end what is taken inside."""
        before = (self._block, self._used)
        try:
            yield
        finally:
            self._block, self._used = before
            if before[0] < 0:
                self._settle()

    def _settle(self) -> None:
        """When all is free, have one block as large as all together, or none if it is large.

        And a smaller one once the last evaluations needed far less.
        """
        total = sum(len(block) for block in self._blocks)
        self._lately, self._n_small = max(self._lately, self._most), self._n_small + 1
        if _SPARE * self._most > total or total <= _FIRST:
            self._lately = self._n_small = 0
        self._most = 0
        if total > _KEPT or len(self._blocks) > 1:
            self._replace(total)
        elif self._n_small == _PATIENCE:
            self._replace(max(self._lately + _ALIGNMENT, _FIRST))

    def _replace(self, size: int) -> None:
        self._blocks, self._starts = [], []
        self._lately = self._n_small = 0
        if size <= _KEPT:
            self._add(size)

    def _add(self, size: int) -> None:
        self._blocks.append(np.empty(size, dtype=np.uint8))
        self._starts.append(self._blocks[-1].ctypes.data)


class _PileOfThread(threading.local):
    def __init__(self) -> None:
        self.pile = Pile()


_local = _PileOfThread()


def pile() -> Pile:
    """Return the pile of the thread that asks."""
    return _local.pile
