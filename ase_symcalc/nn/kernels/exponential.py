"""e^x of vectors in a few multiply-adds, what is made of it, and its inverse."""

from __future__ import annotations

import math

from llvmlite import ir

from ase_symcalc.nn.kernels.builder import KernelBuilder

_DEGREE = {4: 7, 8: 13}
"""Of the Taylor polynomial on |r| <= ln 2 / 2, by bytes of a number: error below rounding."""
_RANGE = {4: 87.0, 8: 708.0}
_MANTISSA = {4: 23, 8: 52}
_BIAS = {4: 127, 8: 1023}
_LN2_HIGH = {4: 0.693359375, 8: 0.6931471803691238}
"""ln 2 to so many bits that small multiples are exact; the rest makes up for it."""


def exponential(builder: KernelBuilder, x: ir.Value) -> ir.Value:
    """e^x = 2^n e^r with r = x - n ln 2; beyond the range of the type, the range's end.

    The reduction in two steps is that of W. J. Cody and W. Waite, Software Manual for the
    Elementary Functions (1980).
    """
    b, size, width = builder.b, builder.bytes, x.type.count
    for limit, relation in ((_RANGE[size], ">"), (-_RANGE[size], "<")):
        end = builder.constant(limit, width)
        x = b.select(b.fcmp_ordered(relation, x, end), end, x)  # NaN passes through
    n = _nearest(builder, b.fmul(x, builder.constant(1 / math.log(2), width)))
    high = _LN2_HIGH[size]
    r = builder.fma(n, builder.constant(-high, width), x)
    r = builder.fma(n, builder.constant(high - math.log(2), width), r)
    total: ir.Value = builder.constant(1 / math.factorial(_DEGREE[size]), width)
    for power in range(_DEGREE[size] - 1, -1, -1):
        total = builder.fma(total, r, builder.constant(1 / math.factorial(power), width))
    whole = ir.VectorType(ir.IntType(8 * size), width)
    exponent = b.add(b.fptosi(n, whole), ir.Constant(whole, [_BIAS[size]] * width))
    power_of_two = b.shl(exponent, ir.Constant(whole, [_MANTISSA[size]] * width))
    return b.fmul(total, b.bitcast(power_of_two, x.type))


def logistic(builder: KernelBuilder, x: ir.Value) -> ir.Value:
    """1 / (1 + e^-x)."""
    one = builder.constant(1.0, x.type.count)
    return builder.b.fdiv(one, builder.b.fadd(one, exponential(builder, builder.b.fneg(x))))


def tanh(builder: KernelBuilder, x: ir.Value) -> ir.Value:
    """1 - 2 / (1 + e^2x)."""
    one, two = builder.constant(1.0, x.type.count), builder.constant(2.0, x.type.count)
    grown = exponential(builder, builder.b.fmul(two, x))
    return builder.b.fsub(one, builder.b.fdiv(two, builder.b.fadd(one, grown)))


def natural_logarithm(builder: KernelBuilder, x: ir.Value) -> ir.Value:
    """Take the logarithm by the C library, one number after the other."""
    return _intrinsic(builder, "log", x)


def _nearest(builder: KernelBuilder, x: ir.Value) -> ir.Value:
    return _intrinsic(builder, "rint", x)


def _intrinsic(builder: KernelBuilder, function: str, x: ir.Value) -> ir.Value:
    kind = "f32" if builder.bytes == 4 else "f64"
    name = f"llvm.{function}.v{x.type.count}{kind}"
    intrinsic = builder.module.globals.get(name) or ir.Function(
        builder.module, ir.FunctionType(x.type, [x.type]), name=name
    )
    return builder.b.call(intrinsic, [x])
