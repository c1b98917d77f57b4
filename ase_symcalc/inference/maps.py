"""Linear maps with fixed weights, packed for both directions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ase_symcalc.inference.plan import Number, Plan
from ase_symcalc.inference.tiles import Run, Tile
from ase_symcalc.nn.kernels.block_product import block_matrices, block_product
from ase_symcalc.nn.kernels.builder import real_name
from ase_symcalc.nn.layout import Block


class LinearMap:
    """A map of feature rows, the same for all atoms or one for each species.

    Parameters
    ----------
    pairs : sequence of (Block, Block)
        Blocks read and written, of the same degree.
    dim_x, dim_out : int
        Length of a row before and after.
    weights : sequence of (n_kinds, channels read, channels written) arrays
        For each pair; one kind, or one for each species.
    bias : (n_biases, dim_out) array, optional
        Added to every row; one, or one for each species.
    dtype : numpy.float32 or numpy.float64
    """

    def __init__(
        self,
        pairs: Sequence[tuple[Block, Block]],
        dim_x: int,
        dim_out: int,
        weights: Sequence[np.ndarray],
        dtype: Any,
        bias: np.ndarray | None = None,
    ) -> None:
        self._kernel = block_product(real_name(dtype))
        self.n_kinds = len(weights[0]) if weights else 1
        flat = [w.reshape(self.n_kinds, -1) for w in weights]
        turned = [w.transpose(0, 2, 1).reshape(self.n_kinds, -1) for w in weights]
        bias = np.zeros((1, dim_out)) if bias is None else bias
        self._bias = np.ascontiguousarray(bias, dtype=dtype)
        self._bias_bytes = dim_out * self._bias.itemsize
        nothing = np.zeros((1, dim_x), dtype=dtype)
        back = [(b, a) for a, b in pairs]
        self._there = _Direction(block_matrices(pairs, dim_out), flat, dim_x, dim_out, self._bias)
        self._back = _Direction(block_matrices(back, dim_x), turned, dim_out, dim_x, nothing)

    def forward(
        self, plan: Plan, x: Number, out: Number, tile: Tile, order: Number, *, onto: bool = False
    ) -> None:
        """Map rows of ``x``, and write them or add them to ``out`` (addresses).

        ``tile`` and ``order`` are of a `Tiling`. Rows that are added get no bias.
        """
        self._call(plan, self._there, x, out, tile, order, onto, len(self._bias) > 1)

    def backward(
        self, plan: Plan, g: Number, out: Number, tile: Tile, order: Number, *, onto: bool = False
    ) -> None:
        """Pull rows ``g`` of a gradient back through the map."""
        self._call(plan, self._back, g, out, tile, order, onto, False)

    def _call(
        self,
        plan: Plan,
        way: _Direction,
        x: Number,
        out: Number,
        tile: Tile,
        order: Number,
        onto: bool,
        own_bias: bool,
    ) -> None:
        sizes = way.sizes_onto if onto else way.sizes
        own_bias = own_bias and not onto
        runs = tile.runs
        if self.n_kinds == 1 and not own_bias:
            runs = (Run(0, runs[0].start, runs[-1].stop),)  # whatever their species
        for species, first, last in runs:
            w = way.weights + (species * way.row_bytes if self.n_kinds > 1 else 0)
            start = out if onto else way.start + (species * self._bias_bytes if own_bias else 0)
            plan.call(self._kernel, first, last, *way.table, sizes, order, x, w, start, out)


class _Direction:
    """What the kernel is told about a map in one direction."""

    def __init__(
        self,
        matrices: np.ndarray,
        weights: Sequence[np.ndarray],
        dim_x: int,
        dim_out: int,
        start: np.ndarray,
    ) -> None:
        n_kinds = len(weights[0]) if weights else 1
        packed = np.concatenate([np.zeros((n_kinds, 0)), *weights], axis=1).astype(start.dtype)
        numbers = np.array([len(matrices), dim_x, dim_out, 0, dim_x, dim_out, dim_out])
        self._kept = (matrices, packed, numbers, start)  # addresses are of these
        self.weights, self.row_bytes = packed.ctypes.data, packed.shape[1] * packed.itemsize
        self.start = start.ctypes.data
        self.table = (numbers.ctypes.data, matrices.ctypes.data)
        self.sizes = numbers[1:].ctypes.data
        self.sizes_onto = numbers[4:].ctypes.data
