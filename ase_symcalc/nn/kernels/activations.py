"""Activations as compiled code, with their derivatives: those of `nn.activation.ACTIVATIONS`."""

from __future__ import annotations

import math
from collections.abc import Callable

from llvmlite import ir

from ase_symcalc.nn.kernels.builder import KernelBuilder
from ase_symcalc.nn.kernels.exponential import exponential, logistic, natural_logarithm, tanh

ValueAndSlope = tuple[ir.Value, ir.Value]


def activation(builder: KernelBuilder, name: str, x: ir.Value) -> ValueAndSlope:
    """Value and derivative at a vector; what is no number stays so."""
    return _FUNCTIONS[name](builder, x)


def _silu(builder: KernelBuilder, x: ir.Value) -> ValueAndSlope:
    b, s = builder.b, logistic(builder, x)
    value = b.fmul(x, s)
    return value, builder.fma(value, b.fsub(_number(builder, 1.0, x), s), s)  # s + x s (1 - s)


def _tanh(builder: KernelBuilder, x: ir.Value) -> ValueAndSlope:
    b, t = builder.b, tanh(builder, x)
    return t, b.fsub(_number(builder, 1.0, x), b.fmul(t, t))


def _sigmoid(builder: KernelBuilder, x: ir.Value) -> ValueAndSlope:
    b, s = builder.b, logistic(builder, x)
    return s, b.fmul(s, b.fsub(_number(builder, 1.0, x), s))


def _ssp(builder: KernelBuilder, x: ir.Value) -> ValueAndSlope:
    """ln((1 + e^x) / 2) = max(x, 0) + ln(1 + e^-|x|) - ln 2."""
    b = builder.b
    size, _ = _abs(builder, x)
    grown = b.fadd(_number(builder, 1.0, x), exponential(builder, b.fneg(size)))
    positive, _ = _relu(builder, x)
    value = b.fadd(positive, natural_logarithm(builder, grown))
    return b.fsub(value, _number(builder, math.log(2), x)), logistic(builder, x)


def _abs(builder: KernelBuilder, x: ir.Value) -> ValueAndSlope:
    b, negative = builder.b, _negative(builder, x)
    one = _number(builder, 1.0, x)
    return b.select(negative, b.fneg(x), x), b.select(negative, b.fneg(one), one)


def _relu(builder: KernelBuilder, x: ir.Value) -> ValueAndSlope:
    b, negative = builder.b, _negative(builder, x)
    zero = _number(builder, 0.0, x)
    return b.select(negative, zero, x), b.select(negative, zero, _number(builder, 1.0, x))


def _elu(builder: KernelBuilder, x: ir.Value) -> ValueAndSlope:
    b, negative = builder.b, _negative(builder, x)
    one, grown = _number(builder, 1.0, x), exponential(builder, x)
    return b.select(negative, b.fsub(grown, one), x), b.select(negative, grown, one)


def _negative(builder: KernelBuilder, x: ir.Value) -> ir.Value:
    return builder.b.fcmp_ordered("<", x, _number(builder, 0.0, x))


def _number(builder: KernelBuilder, value: float, like: ir.Value) -> ir.Value:
    return builder.constant(value, like.type.count)


_FUNCTIONS: dict[str, Callable[[KernelBuilder, ir.Value], ValueAndSlope]] = {
    "silu": _silu,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "ssp": _ssp,
    "abs": _abs,
    "relu": _relu,
    "elu": _elu,
}
