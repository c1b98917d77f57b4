"""Room for intermediate numbers, reused from one evaluation to the next."""

from __future__ import annotations

import math
import threading
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import numpy as np

_ALIGNMENT = 64
_FIRST = 1 << 20
_KEPT = 1 << 31
"""Bytes; a pile that grew beyond them is given back after the evaluation."""
_SPARE = 4
"""A pile this many times larger than needed is given back too,"""
_PATIENCE = 8
"""after so many evaluations in a row: growing again takes time."""


class _Block(NamedTuple):
    memory: np.ndarray
    start: int


class Pile:
    """Memory taken from the top and given back in the reverse order.

    Ctrl-C may come anywhere, so every statement leaves a pile that can be used again.
    """

    def __init__(self) -> None:
        self._blocks: list[_Block] = []
        self._block, self._used = -1, 0
        self._most = 0  # of the first block, in this evaluation
        self._lately, self._n_small = 0, 0  # most of some evaluations in a row, and how many

    def take(self, n_bytes: int) -> int:
        """Address of so many bytes; what they hold is left over from earlier."""
        while self._block < 0 or self._used + n_bytes > len(self._blocks[self._block].memory):
            following = self._block + 1
            if following == len(self._blocks):
                self._add(max(n_bytes + _ALIGNMENT, self._total(), _FIRST))
            self._block, self._used = following, -self._blocks[following].start % _ALIGNMENT
        address = self._blocks[self._block].start + self._used
        self._used += n_bytes + -n_bytes % _ALIGNMENT
        if self._used > self._most:
            self._most = self._used
        return address

    def array(self, shape: tuple[int, ...], dtype: Any) -> tuple[np.ndarray, int]:
        """Array with unspecified entries, and its address."""
        n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
        address = self.take(n_bytes)
        memory, start = self._blocks[self._block]
        return np.ndarray(shape, dtype, memory, address - start), address

    def borrowed(self) -> AbstractContextManager[None]:
        """Give back at the end what is taken inside."""
        return _Borrowed(self)

    def _settle(self) -> None:
        """When all is free, have one block as large as all together, or none if it is large.

        And a smaller one once the last evaluations needed far less.
        """
        total = self._total()
        self._lately, self._n_small = max(self._lately, self._most), self._n_small + 1
        if _SPARE * self._most > total or total <= _FIRST:
            self._lately = self._n_small = 0
        self._most = 0
        if total > _KEPT or len(self._blocks) > 1:
            self._replace(total)
        elif self._n_small == _PATIENCE:
            self._replace(max(self._lately + _ALIGNMENT, _FIRST))

    def _replace(self, size: int) -> None:
        self._blocks = []
        self._lately = self._n_small = 0
        if size <= _KEPT:
            self._add(size)

    def _total(self) -> int:
        return sum(len(block.memory) for block in self._blocks)

    def _add(self, size: int) -> None:
        memory = np.empty(size, dtype=np.uint8)
        self._blocks.append(_Block(memory, memory.ctypes.data))


class _Borrowed(AbstractContextManager[None]):
    """No generator: one that Ctrl-C left open would lower the pile whenever it is collected."""

    def __init__(self, pile: Pile) -> None:
        self._pile, self._before = pile, (pile._block, pile._used)

    def __exit__(self, *error: object) -> None:
        pile = self._pile
        pile._block, pile._used = self._before
        if pile._block < 0:
            pile._settle()


class _PileOfThread(threading.local):
    def __init__(self) -> None:
        self.pile = Pile()


_local = _PileOfThread()


def pile() -> Pile:
    """Return the pile of the thread that asks."""
    return _local.pile
