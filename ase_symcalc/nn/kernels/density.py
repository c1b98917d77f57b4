"""Sums over neighbours divided by a density of theirs, as compiled code, with derivatives.

The divisor of a centre is 1 + Σ_e Σ_q b[e,q] t[interval(e)+q], t the spline coefficients of a
function of the edge's length. Divisors are in float64.
"""

from __future__ import annotations

from llvmlite import ir

from ase_symcalc.nn.kernels.builder import KernelBuilder
from ase_symcalc.nn.kernels.machine import compiled


@compiled(6)
def division_kernel(dim: int, n_taps: int, real: str) -> str:
    """``kernel(first, last, start, interval, divisor, b, t, sums)``.

    Fills the divisors of centres, and divides their rows of sums.
    """
    builder = _Density(real, ("start", "interval"), ("divisor", "b", "t", "sums"))
    b = builder.b
    total = builder.total()
    with builder.loop(builder.arg["first"], builder.arg["last"]) as i:
        start, stop = (
            b.load(builder.at(builder.arg["start"], row)) for row in (i, b.add(i, builder.index(1)))
        )
        b.store(ir.Constant(builder.wide, 1.0), total)
        with builder.loop(start, stop) as e:
            basis, taps = builder.row("b", e, n_taps), builder.taps(e)
            for q in range(n_taps):
                share = b.fmul(builder.scalar(basis, q), builder.scalar(taps, q))
                b.store(b.fadd(b.load(total), builder.widened(share)), total)
        divisor = b.load(total)
        b.store(divisor, builder.at(builder.divisors("divisor"), i))
        builder.scale("sums", i, dim, b.fdiv(ir.Constant(builder.wide, 1.0), divisor))
    return builder.finish()


@compiled(4)
def division_gradient_kernel(dim: int, real: str) -> str:
    """``kernel(first, last, divisor, d_divisor, divided, d_sums)``.

    From the gradient by rows that were divided to that by the sums, in its place, and by the
    divisors.
    """
    builder = _Density(real, (), ("divisor", "d_divisor", "divided", "d_sums"))
    b = builder.b
    total = builder.total()
    with builder.loop(builder.arg["first"], builder.arg["last"]) as i:
        divisor = b.load(builder.at(builder.divisors("divisor"), i))
        builder.scale("d_sums", i, dim, b.fdiv(ir.Constant(builder.wide, 1.0), divisor))
        divided, d_sums = builder.row("divided", i, dim), builder.row("d_sums", i, dim)
        b.store(ir.Constant(builder.wide, 0.0), total)
        with builder.loop(builder.index(0), builder.index(dim)) as k:
            one, other = (b.load(builder.at(row, k)) for row in (divided, d_sums))
            product = b.fmul(builder.widened(one), builder.widened(other))
            b.store(b.fsub(b.load(total), product), total)
        b.store(b.load(total), builder.at(builder.divisors("d_divisor"), i))
    return builder.finish()


@compiled(5)
def density_gradient_kernel(n_taps: int, real: str) -> str:
    """``kernel(first, last, centre, interval, d_divisor, t, db)``: adds to that by splines."""
    builder = _Density(real, ("centre", "interval"), ("d_divisor", "t", "db"))
    b = builder.b
    with builder.loop(builder.arg["first"], builder.arg["last"]) as e:
        centre = b.load(builder.at(builder.arg["centre"], e))
        factor = builder.narrowed(b.load(builder.at(builder.divisors("d_divisor"), centre)))
        taps, db = builder.taps(e), builder.row("db", e, n_taps)
        for q in range(n_taps):
            place = builder.at(db, builder.index(q))
            b.store(builder.fma(factor, builder.scalar(taps, q), b.load(place)), place)
    return builder.finish()


class _Density(KernelBuilder):
    wide = ir.DoubleType()

    def total(self) -> ir.Value:
        return self.b.alloca(self.wide)

    def taps(self, e: ir.Value) -> ir.Value:
        return self.at(self.arg["t"], self.b.load(self.at(self.arg["interval"], e)))

    def divisors(self, name: str) -> ir.Value:
        return self.b.bitcast(self.arg[name], self.wide.as_pointer())

    def scale(self, name: str, i: ir.Value, dim: int, factor: ir.Value) -> None:
        row, factor = self.row(name, i, dim), self.narrowed(factor)
        with self.loop(self.index(0), self.index(dim)) as k:
            place = self.at(row, k)
            self.b.store(self.b.fmul(self.b.load(place), factor), place)

    def widened(self, value: ir.Value) -> ir.Value:
        return value if self.real == self.wide else self.b.fpext(value, self.wide)

    def narrowed(self, value: ir.Value) -> ir.Value:
        return value if self.real == self.wide else self.b.fptrunc(value, self.real)
