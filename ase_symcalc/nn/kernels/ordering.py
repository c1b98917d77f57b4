"""Edges ordered by the rows they belong to, in time that grows with their number only."""

from __future__ import annotations

from llvmlite import ir

from ase_symcalc.nn.kernels.builder import KernelBuilder
from ase_symcalc.nn.kernels.machine import compiled


@compiled(3)
def starts_kernel() -> str:
    """``kernel(first, last, size, index, starts)``: where each of ``size`` rows starts.

    Entries first..last-1 of ``index`` are sorted by row; ``starts`` has one number more than
    there are rows.
    """
    builder = _Counting(("size", "index", "starts"))
    builder.count(behind=1)
    return builder.finish()


@compiled(4)
def order_kernel() -> str:
    """``kernel(first, last, size, index, starts, order)``: the stable order that sorts ``index``.

    ``starts`` is filled as by `starts_kernel`, and needs room for one number more.
    """
    builder = _Counting(("size", "index", "starts", "order"))
    b, starts = builder.b, builder.arg["starts"]
    # a row's start is kept one place late, where it moves on to become that of the next
    builder.count(behind=2)
    with builder.loop(builder.arg["first"], builder.arg["last"]) as n:
        row = b.load(builder.at(builder.arg["index"], n))
        place = builder.at(starts, b.add(row, builder.index(1)))
        where = b.load(place)
        b.store(n, builder.at(builder.arg["order"], where))
        b.store(b.add(where, builder.index(1)), place)
    return builder.finish()


class _Counting(KernelBuilder):
    def __init__(self, indices: tuple[str, ...]) -> None:
        super().__init__("double", indices, ())

    def count(self, behind: int) -> None:
        """Entries of all rows before one, written so many places behind its own."""
        b, starts = self.b, self.arg["starts"]
        end = b.add(b.load(self.arg["size"]), self.index(behind))
        with self.loop(self.index(0), end) as row:
            b.store(self.index(0), self.at(starts, row))
        with self.loop(self.arg["first"], self.arg["last"]) as n:
            row = b.load(self.at(self.arg["index"], n))
            place = self.at(starts, b.add(row, self.index(behind)))
            b.store(b.add(b.load(place), self.index(1)), place)
        with self.loop(self.index(1), end) as row:
            before: ir.Value = b.load(self.at(starts, b.sub(row, self.index(1))))
            place = self.at(starts, row)
            b.store(b.add(b.load(place), before), place)
