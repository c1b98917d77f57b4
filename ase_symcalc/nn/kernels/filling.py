"""Rows cleared, converted and looked up: the small change between larger kernels."""

from __future__ import annotations

from llvmlite import ir

from ase_symcalc.nn.kernels.builder import KernelBuilder
from ase_symcalc.nn.kernels.machine import compiled


@compiled(2)
def clearing_kernel(real: str) -> str:
    """``kernel(first, last, width, out)``: rows of so many numbers become 0."""
    builder = KernelBuilder(real, ("width",), ("out",))
    b = builder.b
    width = b.load(builder.arg["width"])
    ends = (b.mul(builder.arg[name], width) for name in ("first", "last"))
    with builder.loop(*ends) as n:
        b.store(ir.Constant(builder.real, 0.0), builder.at(builder.arg["out"], n))
    return builder.finish()


@compiled(3)
def casting_kernel(there: bool) -> str:
    """``kernel(first, last, width, x, out)``: rows in float64 to float32, or the other way."""
    builder = KernelBuilder("double", ("width",), ("x", "out"))
    b = builder.b
    single = ir.FloatType()
    width = b.load(builder.arg["width"])
    x, out = builder.arg["x"], builder.arg["out"]
    if there:
        out = b.bitcast(out, single.as_pointer())
    else:
        x = b.bitcast(x, single.as_pointer())
    with builder.loop(*(b.mul(builder.arg[name], width) for name in ("first", "last"))) as n:
        value = b.load(builder.at(x, n))
        value = b.fptrunc(value, single) if there else b.fpext(value, builder.real)
        b.store(value, builder.at(out, n))
    return builder.finish()


@compiled(3)
def taking_kernel() -> str:
    """``kernel(first, last, index, table, out)``: whole numbers, looked up in a table."""
    builder = KernelBuilder("double", ("index", "table", "out"), ())
    b = builder.b
    with builder.loop(builder.arg["first"], builder.arg["last"]) as n:
        place = b.load(builder.at(builder.arg["index"], n))
        value = b.load(builder.at(builder.arg["table"], place))
        b.store(value, builder.at(builder.arg["out"], n))
    return builder.finish()


@compiled(5)
def taking_pairs_kernel() -> str:
    """``kernel(first, last, row, column, width, table, out)``: likewise, of rows so wide."""
    builder = KernelBuilder("double", ("row", "column", "width", "table", "out"), ())
    b = builder.b
    width = b.load(builder.arg["width"])
    with builder.loop(builder.arg["first"], builder.arg["last"]) as n:
        row, column = (b.load(builder.at(builder.arg[name], n)) for name in ("row", "column"))
        place = b.add(b.mul(row, width), column)
        value = b.load(builder.at(builder.arg["table"], place))
        b.store(value, builder.at(builder.arg["out"], n))
    return builder.finish()
