"""Rows that symmetry makes of others, appended to features and taken back from gradients."""

from __future__ import annotations

from typing import Any

import numpy as np

from ase_symcalc.inference.surroundings import Surroundings
from ase_symcalc.nn.kernels.images import images_kernel
from ase_symcalc.nn.layout import Block
from ase_symcalc.symmetry.expand import RotatedImages


class RowImages:
    """The images of one evaluation; their rows follow those of the centres."""

    def __init__(self, images: RotatedImages, n_centres: int, dtype: Any) -> None:
        self._images, self._n_centres, self._dtype = images, n_centres, dtype
        self._real = "float" if np.dtype(dtype) == np.float32 else "double"
        self._packed: dict[tuple[Block, ...], tuple[np.ndarray, ...]] = {}

    @classmethod
    def of(cls, seen: Surroundings, dtype: Any) -> RowImages | None:
        """Return them if there are any."""
        if seen.images is None or len(seen.atomic_numbers) == seen.n_centres:
            return None
        return cls(seen.images, seen.n_centres, dtype)

    def fill(self, blocks: tuple[Block, ...], rows: int) -> None:
        """Write the images of the centres behind these (address)."""
        self._run(blocks, rows, back=False)

    def fold(self, blocks: tuple[Block, ...], d_rows: int) -> None:
        """Add the gradient by images to that by their centres."""
        self._run(blocks, d_rows, back=True)

    def _run(self, blocks: tuple[Block, ...], rows: int, *, back: bool) -> None:
        source, operation, matrices = self._arrays(blocks)
        behind = rows + self._n_centres * blocks[-1].end * matrices.itemsize
        addresses = (source.ctypes.data, operation.ctypes.data, matrices.ctypes.data)
        images_kernel(blocks, self._real, back)(0, len(source), *addresses, rows, behind)

    def _arrays(self, blocks: tuple[Block, ...]) -> tuple[np.ndarray, ...]:
        """Source and operation of each image, and each operation's matrices in one row."""
        if blocks not in self._packed:
            degrees = tuple((block.l, block.p) for block in blocks)
            source, operation, matrices = self._images.arrays(degrees)
            parts = [matrices[degree].reshape(len(matrices[degree]), -1) for degree in degrees]
            packed = np.ascontiguousarray(np.concatenate(parts, axis=1), dtype=self._dtype)
            self._packed[blocks] = (source, operation, packed)
        return self._packed[blocks]
