"""Linear maps of features as compiled code: small matrix products that touch each row once.

A feature row holds blocks ``[m, channel]``; a map multiplies the channels of each m by the
matrix of its block. One kernel does this for all maps, which are tables. Rows are taken a few
at a time, so that each weight that is loaded meets several rows; the order of additions does
not depend on how many, so results do not either.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from llvmlite import ir

from ase_symcalc.nn.kernels.builder import KernelBuilder
from ase_symcalc.nn.kernels.machine import compile_kernel
from ase_symcalc.nn.layout import Block

_INDICES = ("n_matrices", "matrices", "sizes", "order")
_REALS = ("x", "w", "start", "out")
_ROWS = (8, 2, 1)
_VECTORS = 2
"""Side by side in a product: 8 rows of 2 vectors are half of AVX-512's registers."""


class _Matrix(NamedTuple):
    """One matrix of a map, as a row of the kernel's table.

    ``dim`` components of ``n_x`` channels, from column ``x``, meet ``n_x * n_out`` weights from
    ``w`` and give ``n_out`` channels each, from column ``out``; they are added to what is there
    if ``again``, else to what the caller lets sums start with.
    """

    dim: int
    x: int
    n_x: int
    out: int
    n_out: int
    w: int
    again: int


def block_matrices(
    pairs: Sequence[tuple[Block, Block]], dim_out: int
) -> Int64[np.ndarray, "n_matrices 7"]:
    """Write the table of a map that takes the first block of each pair to the second.

    Weights of the pairs follow each other. Columns that no pair reaches are matrices without
    weights.
    """
    matrices, used = [], 0
    reached: set[int] = set()
    for a, b in pairs:
        matrices.append(_Matrix(a.dim, a.offset, a.mul, b.offset, b.mul, used, b.offset in reached))
        reached.add(b.offset)
        used += a.mul * b.mul
    column = 0
    for begin, end in [*sorted({(b.offset, b.end) for _, b in pairs}), (dim_out, dim_out)]:
        if begin > column:
            matrices.append(_Matrix(1, 0, 0, column, begin - column, 0, 0))
        column = end
    return np.array(matrices, dtype=np.int64).reshape(-1, len(_Matrix._fields))


@functools.cache
def block_product(real: str) -> Callable[..., None]:
    """``kernel(first, last, *_INDICES, *_REALS)`` on addresses, for "float" or "double".

    Rows ``order[first:last]`` of ``x`` are mapped to those of ``out``. ``n_matrices`` and
    ``sizes`` point to whole numbers: the length of the table, and (row of x, row of out, row of
    start). Sums begin with the rows of ``start``, which may be ``out`` itself, or with one row
    for all if its row is 0 long.
    """
    return compile_kernel(_Emitter(real).write(), len(_INDICES) + len(_REALS))


class _Emitter(KernelBuilder):
    def __init__(self, real: str) -> None:
        super().__init__(real, _INDICES, _REALS, distinct=False)

    def write(self) -> str:
        sizes = [self.b.load(self.at(self.arg["sizes"], self.index(n))) for n in range(3)]
        first = self.arg["first"]
        for n_rows in _ROWS:
            whole = self.b.sdiv(self.b.sub(self.arg["last"], first), self.index(n_rows))
            stop = self.b.add(first, self.b.mul(whole, self.index(n_rows)))
            with self.loop(first, stop, n_rows) as place:
                rows = [
                    self.b.load(self.at(self.arg["order"], self.b.add(place, self.index(r))))
                    for r in range(n_rows)
                ]
                self.tile(
                    *(
                        [self.at(self.arg[name], self.b.mul(row, size)) for row in rows]
                        for name, size in zip(("x", "out", "start"), sizes, strict=True)
                    )
                )
            first = stop
        return self.finish()

    def tile(self, xs: list[ir.Value], outs: list[ir.Value], starts: list[ir.Value]) -> None:
        """Map a few rows."""
        n_matrices = self.b.load(self.arg["n_matrices"])
        with self.loop(self.index(0), n_matrices) as n:
            entry = self.at(self.arg["matrices"], self.b.mul(n, self.index(len(_Matrix._fields))))
            m = _Matrix(*(self.b.load(self.at(entry, self.index(f))) for f in range(7)))
            again = self.b.icmp_signed("!=", m.again, self.index(0))
            begins = [self.b.select(again, o, s) for o, s in zip(outs, starts, strict=True)]
            with self.loop(self.index(0), m.dim) as component:
                x_column = self.b.add(m.x, self.b.mul(component, m.n_x))
                column = self.b.add(m.out, self.b.mul(component, m.n_out))
                x_rows = [self.at(x, x_column) for x in xs]
                for k, width, n_vectors in self.strips(m.n_out):
                    weights = self.at(self.arg["w"], self.b.add(m.w, k))
                    place = self.b.add(column, k)
                    begin = [self.at(row, place) for row in begins]
                    out = [self.at(row, place) for row in outs]
                    self.product(m, (width, n_vectors), x_rows, weights, begin, out)

    def product(
        self,
        matrix: _Matrix,
        shape: tuple[int, int],
        xs: list[ir.Value],
        weights: ir.Value,
        starts: list[ir.Value],
        outs: list[ir.Value],
    ) -> None:
        """Multiply one component of the rows by a few columns of a matrix."""
        width, n_vectors = shape
        zero, columns = self.index(0), [v * width for v in range(n_vectors)]
        with self.b.goto_entry_block():
            sums = [[self.b.alloca(self.vector(width)) for _ in columns] for _ in xs]
        for row, start in zip(sums, starts, strict=True):
            for total, column in zip(row, columns, strict=True):
                self.b.store(self.load(start, zero, column, width), total)
        with self.loop(zero, matrix.n_x) as k:
            line = self.b.mul(k, matrix.n_out)
            loaded = [self.load(weights, line, column, width) for column in columns]
            for row, x in zip(sums, xs, strict=True):
                scalar = self.splat(self.b.load(self.at(x, k)), width)
                for total, weight in zip(row, loaded, strict=True):
                    self.accumulate(total, 0, scalar, weight)
        for row, out in zip(sums, outs, strict=True):
            for total, column in zip(row, columns, strict=True):
                self.store(self.b.load(total), out, zero, column, width)

    def strips(self, n_columns: ir.Value) -> Iterator[tuple[ir.Value, int, int]]:
        """Loop over columns: several vectors at a time, then one, then ever narrower ones."""
        widest = self.widest(1 << 10)
        shapes = ((widest, _VECTORS), (widest, 1), (widest // 4, 1), (1, 1))
        start: ir.Value = self.index(0)
        for width, n_vectors in shapes:
            step = width * n_vectors
            whole = self.b.sdiv(self.b.sub(n_columns, start), self.index(step))
            stop = self.b.add(start, self.b.mul(whole, self.index(step)))
            with self.loop(start, stop, step) as k:
                yield k, width, n_vectors
            start = stop
