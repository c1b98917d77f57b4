"""Lengths and spherical harmonics of edges as compiled code, in float64.

Harmonics are polynomials of the unit vector, so values and derivatives are written out.
"""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable

from llvmlite import ir

from ase_symcalc.nn.angular import raising
from ase_symcalc.nn.kernels.builder import KernelBuilder
from ase_symcalc.nn.kernels.machine import compile_kernel

Polynomial = dict[tuple[int, int, int], float]
"""Coefficients of x^i y^j z^k."""


def harmonics(lmax: int) -> list[Polynomial]:
    """Y_0..Y_lmax as homogeneous polynomials of a unit vector, in e3nn's basis and norm."""
    axes = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    shells: list[list[Polynomial]] = [[{(0, 0, 0): 1.0}]]
    if lmax:
        shells.append([{axis: 3**0.5} for axis in axes])
    for l in range(1, lmax):
        matrix = raising(l).tolist()
        shell: list[Polynomial] = []
        for column in range(2 * l + 3):
            total: defaultdict[tuple[int, int, int], float] = defaultdict(float)
            for row in range(3 * (2 * l + 1)):
                m, axis = divmod(row, 3)
                for (i, j, k), value in shells[l][m].items():
                    a, b, c = axes[axis]
                    total[i + a, j + b, k + c] += value * matrix[row][column]
            shell.append({power: c for power, c in total.items() if abs(c) > 1e-12})
        shells.append(shell)
    return [polynomial for shell in shells for polynomial in shell]


@functools.cache
def harmonics_kernel(lmax: int) -> Callable[..., None]:
    """``kernel(first, last, v, y, r)``: from vectors (n, 3) to harmonics and lengths."""
    builder = _Edges(("v", "y", "r"))
    polynomials = harmonics(lmax)
    with builder.loop(builder.arg["first"], builder.arg["last"]) as e:
        n, length = builder.unit_vector(e)
        builder.b.store(length, builder.at(builder.arg["r"], e))
        y = builder.row("y", e, len(polynomials))
        builder.powers = {}
        for column, polynomial in enumerate(polynomials):
            value = builder.evaluate(polynomial, n)
            builder.b.store(value, builder.at(y, builder.index(column)))
    return compile_kernel(builder.finish(), 3)


@functools.cache
def harmonics_gradient_kernel(lmax: int) -> Callable[..., None]:
    """``kernel(first, last, v, dy, dr, dv)``: gradient by the vectors from those by the rest."""
    builder = _Edges(("v", "dy", "dr", "dv"))
    b, polynomials = builder.b, harmonics(lmax)
    with builder.loop(builder.arg["first"], builder.arg["last"]) as e:
        n, length = builder.unit_vector(e)
        dy = builder.row("dy", e, len(polynomials))
        builder.powers = {}
        by_n: list[ir.Value] = []
        for axis in range(3):
            total: ir.Value = ir.Constant(builder.real, 0.0)
            for column, polynomial in enumerate(polynomials):
                if slope := _derivative(polynomial, axis):
                    value = builder.evaluate(slope, n)
                    total = builder.fma(builder.scalar(dy, column), value, total)
            by_n.append(total)
        along = b.fmul(by_n[0], n[0])
        for axis in (1, 2):
            along = builder.fma(by_n[axis], n[axis], along)
        # dv = (g - n (n·g)) / r + n dE/dr
        radial = b.fsub(b.load(builder.at(builder.arg["dr"], e)), b.fdiv(along, length))
        dv = builder.row("dv", e, 3)
        for axis in range(3):
            value = builder.fma(n[axis], radial, b.fdiv(by_n[axis], length))
            b.store(value, builder.at(dv, builder.index(axis)))
    return compile_kernel(builder.finish(), 4)


class _Edges(KernelBuilder):
    powers: dict[tuple[int, int, int], ir.Value]

    def __init__(self, reals: tuple[str, ...]) -> None:
        super().__init__("double", (), reals)

    def unit_vector(self, e: ir.Value) -> tuple[list[ir.Value], ir.Value]:
        v = self.row("v", e, 3)
        xyz = [self.scalar(v, axis) for axis in range(3)]
        square = self.b.fmul(xyz[0], xyz[0])
        for axis in (1, 2):
            square = self.fma(xyz[axis], xyz[axis], square)
        length = self.root(square)
        return [self.b.fdiv(a, length) for a in xyz], length

    def evaluate(self, polynomial: Polynomial, n: list[ir.Value]) -> ir.Value:
        total = None
        for power, coefficient in polynomial.items():
            constant = ir.Constant(self.real, coefficient)
            monomial = self.monomial(power, n)
            if monomial is None:
                total = constant if total is None else self.b.fadd(total, constant)
            else:
                total = self.fma(constant, monomial, total)
        return total

    def monomial(self, power: tuple[int, int, int], n: list[ir.Value]) -> ir.Value | None:
        """x^i y^j z^k, each formed once; None for 1."""
        if power not in self.powers:
            axis = next((a for a in range(3) if power[a]), None)
            if axis is None:
                return None
            lower = list(power)
            lower[axis] -= 1
            rest = self.monomial((lower[0], lower[1], lower[2]), n)
            self.powers[power] = n[axis] if rest is None else self.b.fmul(rest, n[axis])
        return self.powers[power]


def _derivative(polynomial: Polynomial, axis: int) -> Polynomial:
    slope: Polynomial = {}
    for power, coefficient in polynomial.items():
        if power[axis]:
            lower = list(power)
            lower[axis] -= 1
            slope[lower[0], lower[1], lower[2]] = coefficient * power[axis]
    return slope


@functools.cache
def pick_kernel() -> Callable[..., None]:
    """``kernel(first, last, i, j, centre, neighbour, count, positions, shifts, cell, limit, v)``.

    Of pairs (i, j) with shifts (whole cells, as real numbers) those shorter than ``limit`` are
    written one after the other, ``count`` of them. A pair and its reverse have the same length to
    the last bit, so lists stay symmetric.
    """
    builder = KernelBuilder(
        "double",
        ("i", "j", "centre", "neighbour", "count"),
        ("positions", "shifts", "cell", "limit", "v"),
    )
    b = builder.b
    cell = [builder.scalar(builder.arg["cell"], n) for n in range(9)]
    limit = b.load(builder.arg["limit"])
    b.store(builder.index(0), builder.arg["count"])
    with builder.loop(builder.arg["first"], builder.arg["last"]) as n:
        i = b.load(builder.at(builder.arg["i"], n))
        j = b.load(builder.at(builder.arg["j"], n))
        start, end = builder.row("positions", i, 3), builder.row("positions", j, 3)
        shift = builder.row("shifts", n, 3)
        s = [builder.scalar(shift, a) for a in range(3)]
        v = []
        for axis in range(3):
            component = b.fsub(builder.scalar(end, axis), builder.scalar(start, axis))
            for vector in range(3):
                component = b.fadd(component, b.fmul(s[vector], cell[3 * vector + axis]))
            v.append(component)
        square = b.fmul(v[0], v[0])
        for component in v[1:]:
            square = b.fadd(square, b.fmul(component, component))
        # written in any case, and written over if it is not counted
        count = b.load(builder.arg["count"])
        b.store(i, builder.at(builder.arg["centre"], count))
        b.store(j, builder.at(builder.arg["neighbour"], count))
        row = builder.row("v", count, 3)
        for axis, component in enumerate(v):
            b.store(component, builder.at(row, builder.index(axis)))
        inside = b.zext(b.fcmp_ordered("<", builder.root(square), limit), count.type)
        b.store(b.add(count, inside), builder.arg["count"])
    return compile_kernel(builder.finish(), 10)


@functools.cache
def spread_kernel() -> Callable[..., None]:
    """``kernel(first, last, centre, neighbour, v, g, forces, shares)``.

    Of the gradient g by an edge vector v, adds to the forces g at its centre and -g at its
    neighbour, and a quarter of v ⊗ g + g ⊗ v to the shares (3, 3) of both.
    """
    builder = KernelBuilder("double", ("centre", "neighbour"), ("v", "g", "forces", "shares"))
    b = builder.b
    with builder.loop(builder.arg["first"], builder.arg["last"]) as e:
        v_row, g_row = builder.row("v", e, 3), builder.row("g", e, 3)
        v = [builder.scalar(v_row, axis) for axis in range(3)]
        g = [builder.scalar(g_row, axis) for axis in range(3)]
        quarter = ir.Constant(builder.real, 0.25)
        half = {
            (a, c): b.fmul(quarter, b.fadd(b.fmul(v[a], g[c]), b.fmul(g[a], v[c])))
            for a in range(3)
            for c in range(3)
        }
        for name, add in (("centre", b.fadd), ("neighbour", b.fsub)):
            atom = b.load(builder.at(builder.arg[name], e))
            force, share = builder.row("forces", atom, 3), builder.row("shares", atom, 9)
            for axis in range(3):
                place = builder.at(force, builder.index(axis))
                b.store(add(b.load(place), g[axis]), place)
            for (a, c), value in half.items():
                place = builder.at(share, builder.index(3 * a + c))
                b.store(b.fadd(b.load(place), value), place)
    return compile_kernel(builder.finish(), 6)
