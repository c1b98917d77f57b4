"""Screened Coulomb repulsion of close pairs as compiled code, in float64."""

from __future__ import annotations

import functools
from collections.abc import Callable

from llvmlite import ir

from ase_symcalc.nn.kernels.builder import KernelBuilder
from ase_symcalc.nn.kernels.exponential import exponential
from ase_symcalc.nn.kernels.machine import compile_kernel

_INDICES = ("centre", "own", "other")
_REALS = ("r", "table", "weights", "energies", "dr")


@functools.cache
def repulsion_kernel(
    n_species: int,
    amplitudes: tuple[float, float, float, float],
    exponents: tuple[float, float, float, float],
    power: int,
) -> Callable[..., None]:
    """``kernel(first, last, *_INDICES, *_REALS)`` on addresses.

    To the energies of centres it adds, for edges of length r between species ``own`` and
    ``other``, half of  c φ(r s) f(r/d) / r  with φ(x) = Σ_k amplitude_k exp(-exponent_k x) and
    the envelope f of `nn.radial.polynomial_cutoff`; ``table`` holds d, s and c/2 of each pair of
    species. To ``dr`` it adds the derivative times the ``weights`` of the centres.
    """
    builder = KernelBuilder("double", _INDICES, _REALS)
    b = builder.b

    def number(value: float) -> ir.Constant:
        return ir.Constant(builder.real, value)

    def four(values: tuple[float, ...]) -> ir.Constant:
        return ir.Constant(builder.vector(4), list(values))

    with builder.loop(builder.arg["first"], builder.arg["last"]) as e:
        own = b.load(builder.at(builder.arg["own"], e))
        other = b.load(builder.at(builder.arg["other"], e))
        pair = b.add(b.mul(own, builder.index(n_species)), other)
        row = builder.row("table", pair, 3)
        reach, scale, strength = (builder.scalar(row, n) for n in range(3))
        r = b.load(builder.at(builder.arg["r"], e))
        with b.if_then(b.fcmp_ordered("<", r, reach)):
            rates = b.fmul(four(tuple(-x for x in exponents)), builder.splat(scale, 4))
            parts = b.fmul(
                four(amplitudes), exponential(builder, b.fmul(rates, builder.splat(r, 4)))
            )
            screening = builder.horizontal(parts, 4)
            d_screening = builder.horizontal(b.fmul(rates, parts), 4)
            u = b.fdiv(r, reach)
            low = u
            for _ in range(power - 2):
                low = b.fmul(low, u)  # u^(p-1)
            p = float(power)
            a1, a2, a3 = (p + 1) * (p + 2) / 2, p * (p + 2), p * (p + 1) / 2
            inner = b.fsub(number(a1), b.fmul(u, b.fsub(number(a2), b.fmul(u, number(a3)))))
            envelope = b.fsub(number(1.0), b.fmul(b.fmul(low, u), inner))
            # d/du of 1 - a1 u^p + a2 u^(p+1) - a3 u^(p+2) is -p a1 u^(p-1) (1 - u)^2
            rest = b.fsub(number(1.0), u)
            slope = b.fmul(b.fmul(number(-p * a1), low), b.fmul(rest, rest))
            d_envelope = b.fdiv(slope, reach)
            coulomb = b.fdiv(strength, r)
            bare = b.fmul(coulomb, screening)
            d_bare = b.fmul(coulomb, b.fsub(d_screening, b.fdiv(screening, r)))
            centre = b.load(builder.at(builder.arg["centre"], e))
            place = builder.at(builder.arg["energies"], centre)
            b.store(b.fadd(b.load(place), b.fmul(bare, envelope)), place)
            derivative = b.fadd(b.fmul(d_bare, envelope), b.fmul(bare, d_envelope))
            weight = b.load(builder.at(builder.arg["weights"], centre))
            place = builder.at(builder.arg["dr"], e)
            b.store(b.fadd(b.load(place), b.fmul(weight, derivative)), place)
    return compile_kernel(builder.finish(), len(_INDICES) + len(_REALS))
