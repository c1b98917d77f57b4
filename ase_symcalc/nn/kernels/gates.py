"""Gates as compiled code, with their derivatives: see `nn.activation.Gate`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llvmlite import ir

from ase_symcalc.nn.kernels.activations import activation
from ase_symcalc.nn.kernels.builder import KernelBuilder
from ase_symcalc.nn.kernels.machine import Kernel, compiled

_REALS = ("x", "g", "out")


@dataclass(frozen=True, slots=True)
class Scalars:
    """Channels that go through a function of their own."""

    x: int
    out: int
    size: int
    function: str
    gain: float


@dataclass(frozen=True, slots=True)
class Gated:
    """A block ``[m, channel]`` whose channels are multiplied by a function of a gate each."""

    gate: int
    x: int
    out: int
    size: int
    dim: int
    function: str
    gain: float


@dataclass(frozen=True, slots=True)
class GateTable:
    """What `Gate` does, as columns of rows of ``dim_x`` and ``dim_out`` numbers."""

    dim_x: int
    dim_out: int
    scalars: tuple[Scalars, ...]
    gated: tuple[Gated, ...]

    def kernel(self, real: str, derivative: bool) -> Kernel:
        """``kernel(first, last, x, g, out)`` on addresses.

        Forward, ``out`` are the gated rows. The derivative takes in ``g`` the gradient by
        them, and gives in ``out`` that by ``x``.
        """
        return _kernel(self, real, derivative)


@compiled(len(_REALS))
def _kernel(table: GateTable, real: str, derivative: bool) -> str:
    emitter = _Emitter(table, real)
    emitter.write_derivative() if derivative else emitter.write_values()
    return emitter.finish()


class _Emitter(KernelBuilder):
    def __init__(self, table: GateTable, real: str) -> None:
        super().__init__(real, (), _REALS)
        self.table = table

    def write_values(self) -> None:
        with self.loop(self.arg["first"], self.arg["last"]) as n:
            x = self.row("x", n, self.table.dim_x)
            out = self.row("out", n, self.table.dim_out)
            for scalars in self.table.scalars:
                for k, width in self.channels(scalars.size):
                    value, _ = self.activation(scalars, self.load(x, k, scalars.x, width))
                    self.store(value, out, k, scalars.out, width)
            for block in self.table.gated:
                for k, width in self.channels(block.size):
                    gate, _ = self.activation(block, self.load(x, k, block.gate, width))
                    for m in range(block.dim):
                        value = self.load(x, k, block.x + m * block.size, width)
                        column = block.out + m * block.size
                        self.store(self.b.fmul(gate, value), out, k, column, width)

    def write_derivative(self) -> None:
        with self.loop(self.arg["first"], self.arg["last"]) as n:
            x = self.row("x", n, self.table.dim_x)
            g = self.row("g", n, self.table.dim_out)
            out = self.row("out", n, self.table.dim_x)
            for scalars in self.table.scalars:
                for k, width in self.channels(scalars.size):
                    _, slope = self.activation(scalars, self.load(x, k, scalars.x, width))
                    pulled = self.b.fmul(slope, self.load(g, k, scalars.out, width))
                    self.store(pulled, out, k, scalars.x, width)
            for block in self.table.gated:
                for k, width in self.channels(block.size):
                    gate, slope = self.activation(block, self.load(x, k, block.gate, width))
                    total = None
                    for m in range(block.dim):
                        column = block.x + m * block.size
                        pulled = self.load(g, k, block.out + m * block.size, width)
                        total = self.fma(self.load(x, k, column, width), pulled, total)
                        self.store(self.b.fmul(gate, pulled), out, k, column, width)
                    self.store(self.b.fmul(slope, total), out, k, block.gate, width)

    def channels(self, size: int) -> Iterator[tuple[ir.Value, int]]:
        """Loop over channels, a vector at a time."""
        width = self.widest(size)
        with self.loop(self.index(0), self.index(size), width) as k:
            yield k, width

    def activation(self, part: Scalars | Gated, x: ir.Value) -> tuple[ir.Value, ir.Value]:
        """Value and slope of ``gain * function``."""
        value, slope = activation(self, part.function, x)
        gain = self.constant(part.gain, x.type.count)
        return self.b.fmul(gain, value), self.b.fmul(gain, slope)
