"""Where lengths lie on the grids of radial splines, and the splines there, in float64."""

from __future__ import annotations

import math
from typing import NamedTuple

from llvmlite import ir

from ase_symcalc.nn.kernels.builder import KernelBuilder
from ase_symcalc.nn.kernels.machine import compiled


class Piece(NamedTuple):
    """Equal intervals of a coordinate: where they start, how long and how many, first row."""

    start: float
    step: float
    size: int
    row: int


@compiled(5)
def splines_kernel(pieces: tuple[Piece, ...], crowding: float, n_taps: int, by_edge: bool) -> str:
    """``kernel(first, last, first_row, interval, r, b, slope)``: B-splines at r.

    ``interval`` is the first row of the spline coefficients that an edge of length r needs, and
    ``b`` the ``n_taps`` splines there as in `nn.spline.b_splines`; ``slope`` are their derivatives
    by r.
    The coordinate is ln(1 + r / crowding), or r itself without ``crowding``. Rows of the
    ``pieces`` are counted from the ``first_row`` of an edge if ``by_edge``, else from 0.
    """
    builder = _Splines("double", ("first_row", "interval"), ("r", "b", "slope"))
    b = builder.b
    with builder.loop(builder.arg["first"], builder.arg["last"]) as e:
        r = b.load(builder.at(builder.arg["r"], e))
        s, slope = builder.coordinate(r, crowding)
        u, slope, row = builder.locate(s, slope, pieces)
        if by_edge:
            row = b.add(row, b.load(builder.at(builder.arg["first_row"], e)))
        b.store(row, builder.at(builder.arg["interval"], e))
        rows = {name: builder.row(name, e, n_taps) for name in ("b", "slope")}
        for q, (value, derivative) in enumerate(builder.splines(u, n_taps)):
            column = builder.index(q)
            b.store(value, builder.at(rows["b"], column))
            b.store(b.fmul(slope, derivative), builder.at(rows["slope"], column))
    return builder.finish()


@compiled(3)
def chain_kernel(n_taps: int, real: str) -> str:
    """``kernel(first, last, slope, dr, db)``: to dr adds the gradient by splines, times slopes.

    ``db`` is in the network's precision, the rest in float64.
    """
    builder = KernelBuilder("double", (), ("slope", "dr", "db"))
    b = builder.b
    kind = ir.FloatType() if real == "float" else builder.real
    db = b.bitcast(builder.arg["db"], kind.as_pointer())
    with builder.loop(builder.arg["first"], builder.arg["last"]) as e:
        place = builder.at(builder.arg["dr"], e)
        total = b.load(place)
        row = b.mul(e, builder.index(n_taps))
        for q in range(n_taps):
            column = b.add(row, builder.index(q))
            value = b.load(builder.at(db, column))
            value = b.fpext(value, builder.real) if real == "float" else value
            total = builder.fma(value, b.load(builder.at(builder.arg["slope"], column)), total)
        b.store(total, place)
    return builder.finish()


class _Splines(KernelBuilder):
    def number(self, value: float) -> ir.Constant:
        return ir.Constant(self.real, value)

    def intrinsic(self, name: str, x: ir.Value) -> ir.Value:
        name = f"llvm.{name}.f64"
        function = self.module.globals.get(name) or ir.Function(
            self.module, ir.FunctionType(self.real, [self.real]), name=name
        )
        return self.b.call(function, [x])

    def coordinate(self, r: ir.Value, crowding: float) -> tuple[ir.Value, ir.Value]:
        """Coordinate of a length, and its derivative."""
        if not crowding:
            return r, self.number(1.0)
        shifted = self.b.fadd(r, self.number(crowding))
        s = self.b.fsub(self.intrinsic("log", shifted), self.number(math.log(crowding)))
        return s, self.b.fdiv(self.number(1.0), shifted)

    def locate(
        self, s: ir.Value, slope: ir.Value, pieces: tuple[Piece, ...]
    ) -> tuple[ir.Value, ir.Value, ir.Value]:
        """Place in its interval, its derivative by the length, and first of the rows it needs."""
        b = self.b
        start, step, size, row = (self.number(float(value)) for value in pieces[0])
        for piece in pieces[1:]:
            beyond = b.fcmp_ordered(">=", s, self.number(piece.start))
            start, step, size, row = (
                b.select(beyond, self.number(float(value)), before)
                for value, before in zip(piece, (start, step, size, row), strict=True)
            )
        s = b.fdiv(b.fsub(s, start), step)
        last = b.fsub(size, self.number(1.0))
        whole = self.intrinsic("floor", s)
        # ordered the other way round, so that what is no number is in the first interval
        whole = b.select(b.fcmp_ordered(">", whole, self.number(0.0)), whole, self.number(0.0))
        whole = b.select(b.fcmp_ordered("<", whole, last), whole, last)
        place = b.fptosi(b.fadd(whole, row), ir.IntType(64))
        return b.fsub(s, whole), b.fdiv(slope, step), place

    def splines(self, u: ir.Value, n_taps: int) -> list[tuple[ir.Value, ir.Value]]:
        """Values and derivatives of the splines that are not zero, u of the way through."""
        b, number = self.b, self.number
        values: list[ir.Value] = [number(1.0)]
        slopes: list[ir.Value] = [number(0.0)]
        for degree in range(1, n_taps):
            lower = [number(0.0), *values, number(0.0)]
            slopes = [b.fsub(lower[q], lower[q + 1]) for q in range(degree + 1)]
            values = []
            for q in range(degree + 1):
                rising = b.fmul(b.fadd(u, number(float(degree - q))), lower[q])
                total = self.fma(b.fsub(number(1.0 + q), u), lower[q + 1], rising)
                values.append(b.fmul(total, number(1 / degree)))
        return list(zip(values, slopes, strict=True))
