"""Rows that are rotated copies of others, as compiled code, and the way back of gradients."""

from __future__ import annotations

from llvmlite import ir

from ase_symcalc.nn.kernels.builder import KernelBuilder
from ase_symcalc.nn.kernels.machine import compiled
from ase_symcalc.nn.layout import Block

_INDICES = ("source", "operation")
_REALS = ("matrices", "x", "images")


def packed_size(blocks: tuple[Block, ...]) -> int:
    """Numbers that represent one rotation: the matrix of each block, one after the other."""
    return sum(block.dim**2 for block in blocks)


@compiled(len(_INDICES) + len(_REALS))
def images_kernel(blocks: tuple[Block, ...], real: str, back: bool) -> str:
    """``kernel(first, last, source, operation, matrices, x, images)`` on addresses.

    Row n of ``images`` is D x[source[n]], D the matrices of ``operation[n]``. The way
    ``back`` adds Dᵀ images[n] to x[source[n]] instead, in the order of n.
    """
    builder = _Images(blocks, real)
    builder.write(back)
    return builder.finish()


class _Images(KernelBuilder):
    def __init__(self, blocks: tuple[Block, ...], real: str) -> None:
        super().__init__(real, _INDICES, _REALS)
        self.blocks = blocks

    def write(self, back: bool) -> None:
        dim = self.blocks[-1].end
        with self.loop(self.arg["first"], self.arg["last"]) as n:
            source = self.b.load(self.at(self.arg["source"], n))
            x, image = self.row("x", source, dim), self.row("images", n, dim)
            operation = self.b.load(self.at(self.arg["operation"], n))
            matrix = self.row("matrices", operation, packed_size(self.blocks))
            start = 0
            for block in self.blocks:
                width = self.widest(block.mul)
                with self.loop(self.index(0), self.index(block.mul), width) as k:
                    self.turn(block, matrix, start, k, width, x, image, back)
                start += block.dim**2

    def turn(
        self,
        block: Block,
        matrix: ir.Value,
        start: int,
        k: ir.Value,
        width: int,
        x: ir.Value,
        image: ir.Value,
        back: bool,
    ) -> None:
        """Multiply a block of channels by its matrix, or add what its transpose makes of them."""
        source, target = (image, x) if back else (x, image)
        values = [
            self.load(source, k, block.offset + m * block.mul, width) for m in range(block.dim)
        ]
        for out in range(block.dim):
            column = block.offset + out * block.mul
            total = self.load(target, k, column, width) if back else None
            for m, value in enumerate(values):
                place = m * block.dim + out if back else out * block.dim + m
                total = self.fma(
                    self.splat(self.scalar(matrix, start + place), width), value, total
                )
            self.store(total, target, k, column, width)
