"""Linear maps of features as compiled code: small matrix products that touch each row once.

A feature row holds blocks ``[m, channel]``; a map multiplies the channels of each m by the
matrix of its block. One kernel does this for all maps, which are tables. Components are taken a
few at a time, so that each weight that is loaded meets several of them; the order of additions
does not depend on how many, so results do not either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from llvmlite import ir

from ase_symcalc.nn.kernels.builder import KernelBuilder
from ase_symcalc.nn.kernels.machine import compiled
from ase_symcalc.nn.layout import Block

_INDICES = ("n_matrices", "matrices", "sizes", "order")
_REALS = ("x", "w", "start", "out")
_LINES = (8, 4, 1)
_VECTORS = 2
"""Side by side in a product: 8 lines of 2 vectors are half of AVX-512's registers."""


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


@compiled(len(_INDICES) + len(_REALS))
def block_product(real: str) -> str:
    """``kernel(first, last, *_INDICES, *_REALS)`` on addresses, for "float" or "double".

    Rows ``order[first:last]`` of ``x`` are mapped to those of ``out``. ``n_matrices`` and
    ``sizes`` point to whole numbers: the length of the table, and (row of x, row of out, row of
    start). Sums begin with the rows of ``start``, which may be ``out`` itself, or with one row
    for all if its row is 0 long.
    """
    return _Emitter(real).write()


class _Emitter(KernelBuilder):
    def __init__(self, real: str) -> None:
        super().__init__(real, _INDICES, _REALS, distinct=False)

    def write(self) -> str:
        sizes = [self.b.load(self.at(self.arg["sizes"], self.index(n))) for n in range(3)]
        n_rows = self.b.sub(self.arg["last"], self.arg["first"])
        with self.loop(self.index(0), self.b.load(self.arg["n_matrices"])) as n:
            entry = self.at(self.arg["matrices"], self.b.mul(n, self.index(len(_Matrix._fields))))
            matrix = _Matrix(*(self.b.load(self.at(entry, self.index(f))) for f in range(7)))
            n_lines = self.b.mul(n_rows, matrix.dim)
            first: ir.Value = self.index(0)
            for n_together in _LINES:
                whole = self.b.sdiv(self.b.sub(n_lines, first), self.index(n_together))
                stop = self.b.add(first, self.b.mul(whole, self.index(n_together)))
                with self.loop(first, stop, n_together) as line:
                    self.lines(matrix, sizes, line, n_together)
                first = stop
        return self.finish()

    def lines(self, m: _Matrix, sizes: list[ir.Value], line: ir.Value, n_together: int) -> None:
        """Map a few components: line n is component ``n % dim`` of row ``n // dim``."""
        again = self.b.icmp_signed("!=", m.again, self.index(0))
        place = self.b.add(self.arg["first"], self.b.sdiv(line, m.dim))
        component = self.b.srem(line, m.dim)
        xs, outs, starts = [], [], []
        for _ in range(n_together):
            row = self.b.load(self.at(self.arg["order"], place))
            x, out, start = (
                self.at(self.arg[name], self.b.mul(row, size))
                for name, size in zip(("x", "out", "start"), sizes, strict=True)
            )
            column = self.b.add(m.out, self.b.mul(component, m.n_out))
            xs.append(self.at(x, self.b.add(m.x, self.b.mul(component, m.n_x))))
            outs.append(self.at(out, column))
            starts.append(self.at(self.b.select(again, out, start), column))
            component = self.b.add(component, self.index(1))
            over = self.b.icmp_signed("==", component, m.dim)
            component = self.b.select(over, self.index(0), component)
            place = self.b.add(place, self.b.zext(over, place.type))
        for k, width, n_vectors in self.strips(m.n_out):
            weights = self.at(self.arg["w"], self.b.add(m.w, k))
            begins, ends = ([self.at(row, k) for row in rows] for rows in (starts, outs))
            self.product(m, (width, n_vectors), xs, weights, begins, ends)

    def product(
        self,
        matrix: _Matrix,
        shape: tuple[int, int],
        xs: list[ir.Value],
        weights: ir.Value,
        starts: list[ir.Value],
        outs: list[ir.Value],
    ) -> None:
        """Multiply a few lines by a few columns of a matrix."""
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
