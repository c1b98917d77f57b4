"""A thin layer over LLVM's builder: loops, blocks of channels as vectors, multiply-adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir

I64 = ir.IntType(64)
VECTOR_BYTES = 64


def real_name(dtype: Any) -> str:
    """LLVM's name of numpy.float32 or numpy.float64."""
    return {np.dtype(np.float32): "float", np.dtype(np.float64): "double"}[np.dtype(dtype)]


class KernelBuilder:
    """One function ``kernel(first, last, *indices, *reals)`` under construction.

    Parameters
    ----------
    real : {"float", "double"}
    indices, reals : sequence of str
        Names of pointers to whole numbers and to real ones.
    distinct : bool
        What they point to does not overlap.
    """

    def __init__(
        self, real: str, indices: Sequence[str], reals: Sequence[str], *, distinct: bool = True
    ) -> None:
        self.real = ir.FloatType() if real == "float" else ir.DoubleType()
        self.bytes = 4 if real == "float" else 8
        self.module = ir.Module()
        types = [I64, I64, *[I64.as_pointer()] * len(indices)]
        types += [self.real.as_pointer()] * len(reals)
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), types), name="kernel")
        names = ("first", "last", *indices, *reals)
        self.arg = dict(zip(names, function.args, strict=True))
        for name in names[2:] if distinct else ():
            self.arg[name].add_attribute("noalias")
        self.b = ir.IRBuilder(function.append_basic_block())

    def finish(self) -> str:
        """Close the function and return it as LLVM assembly."""
        self.b.ret_void()
        return str(self.module)

    def widest(self, n_channels: int) -> int:
        """Widest vector that divides the channels, so that no remainder is left."""
        width = VECTOR_BYTES // self.bytes
        while n_channels % width:
            width //= 2
        return width

    def buffer(self, size: int, width: int) -> ir.Value:
        """Room for vectors on the stack."""
        with self.b.goto_entry_block():
            return self.b.alloca(self.vector(width), size=max(1, size))

    @contextmanager
    def loop(self, start: ir.Value, stop: ir.Value, step: int = 1) -> Iterator[ir.Value]:
        """Count from ``start`` up to ``stop``; the body is what the context emits."""
        before = self.b.block
        head = self.b.append_basic_block()
        body = self.b.append_basic_block()
        after = self.b.append_basic_block()
        self.b.branch(head)
        self.b.position_at_end(head)
        i = self.b.phi(I64)
        i.add_incoming(start, before)
        self.b.cbranch(self.b.icmp_signed("<", i, stop), body, after)
        self.b.position_at_end(body)
        yield i
        i.add_incoming(self.b.add(i, self.index(step)), self.b.block)
        self.b.branch(head)
        self.b.position_at_end(after)

    def index(self, value: int) -> ir.Constant:
        """Write a whole number."""
        return ir.Constant(I64, value)

    def at(self, pointer: ir.Value, i: ir.Value) -> ir.Value:
        """Point to element ``i``."""
        return self.b.gep(pointer, [i])

    def row(self, name: str, i: ir.Value, size: int) -> ir.Value:
        """Point to row ``i`` of an argument whose rows have ``size`` numbers."""
        return self.at(self.arg[name], self.b.mul(i, self.index(size)))

    def scalar(self, pointer: ir.Value, column: int) -> ir.Value:
        """Load one number."""
        return self.b.load(self.at(pointer, self.index(column)))

    def place(self, row: ir.Value, k: ir.Value, column: int, width: int) -> ir.Value:
        """Point to the vector that starts at ``column + k``."""
        pointer = self.at(row, self.b.add(k, self.index(column)))
        return self.b.bitcast(pointer, self.vector(width).as_pointer())

    def load(self, row: ir.Value, k: ir.Value, column: int, width: int) -> ir.Value:
        """Load the vector that starts at ``column + k``."""
        return self.b.load(self.place(row, k, column, width), align=self.bytes)

    def store(self, value: ir.Value, row: ir.Value, k: ir.Value, column: int, width: int) -> None:
        """Store a vector at ``column + k``."""
        self.b.store(value, self.place(row, k, column, width), align=self.bytes)

    def vector(self, width: int) -> ir.Type:
        """Name the type of ``width`` real numbers."""
        return ir.VectorType(self.real, width)

    def constant(self, value: float, width: int) -> ir.Constant:
        """Write a number in every element."""
        return ir.Constant(self.vector(width), [value] * width)

    def splat(self, scalar: ir.Value, width: int) -> ir.Value:
        """Copy a number into every element."""
        vector = self.vector(width)
        one = self.b.insert_element(
            ir.Constant(vector, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0)
        )
        mask = ir.Constant(ir.VectorType(ir.IntType(32), width), [0] * width)
        return self.b.shuffle_vector(one, ir.Constant(vector, ir.Undefined), mask)

    def zeros(self, size: int, width: int) -> ir.Value:
        """Make room for vectors on the stack, and clear it here."""
        pointer = self.buffer(size, width)
        for n in range(size):
            self.b.store(self.constant(0.0, width), self.at(pointer, self.index(n)))
        return pointer

    def fma(self, a: ir.Value, b: ir.Value, c: ir.Value | None) -> ir.Value:
        """Multiply, and add ``c`` if there is one."""
        if c is None:
            return self.b.fmul(a, b)
        kind = "f32" if self.bytes == 4 else "f64"
        lanes = f"v{a.type.count}" if isinstance(a.type, ir.VectorType) else ""
        name = f"llvm.fma.{lanes}{kind}"
        intrinsic = self.module.globals.get(name) or ir.Function(
            self.module, ir.FunctionType(a.type, [a.type] * 3), name=name
        )
        return self.b.call(intrinsic, [a, b, c])

    def root(self, square: ir.Value) -> ir.Value:
        """Square root of a number."""
        name = f"llvm.sqrt.{'f32' if self.bytes == 4 else 'f64'}"
        intrinsic = self.module.globals.get(name) or ir.Function(
            self.module, ir.FunctionType(self.real, [self.real]), name=name
        )
        return self.b.call(intrinsic, [square])

    def accumulate(self, sums: ir.Value, slot: int, a: ir.Value, b: ir.Value) -> None:
        """Add ``a * b`` to one vector of a buffer."""
        place = self.at(sums, self.index(slot))
        self.b.store(self.fma(a, b, self.b.load(place)), place)

    def horizontal(self, v: ir.Value, width: int) -> ir.Value:
        """Sum of a vector's elements, halving it each time."""
        while width > 1:
            width //= 2
            low, high = (
                ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(o, o + width)))
                for o in (0, width)
            )
            undefined = ir.Constant(v.type, ir.Undefined)
            v = self.b.fadd(
                self.b.shuffle_vector(v, undefined, low), self.b.shuffle_vector(v, undefined, high)
            )
        return self.b.extract_element(v, ir.Constant(ir.IntType(32), 0))
