"""Rows that symmetry makes of others, appended to features and taken back from gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ase_symcalc.inference.surroundings import Surroundings
from ase_symcalc.nn.kernels.builder import real_name
from ase_symcalc.nn.kernels.images import images_kernel
from ase_symcalc.nn.layout import Block
from ase_symcalc.symmetry.expand import RotatedImages


class RowImages:
    """The images of one evaluation; their rows follow those of the centres."""

    def __init__(self, images: RotatedImages, n_centres: int, n_images: int, dtype: Any) -> None:
        self._images, self._n_centres, self._n_images = images, n_centres, n_images
        self._dtype = dtype
        self._real = real_name(dtype)
        self._known: dict[tuple[int, bool], tuple[Callable[..., None], tuple[int, ...], int]] = {}
        self._kept: list[tuple[np.ndarray, ...]] = []  # addresses are of these

    @classmethod
    def of(cls, seen: Surroundings, dtype: Any) -> RowImages | None:
        """Return them if there are any."""
        n_images = len(seen.atomic_numbers) - seen.n_centres
        if seen.images is None or n_images == 0:
            return None
        return cls(seen.images, seen.n_centres, n_images, dtype)

    def fill(self, blocks: tuple[Block, ...], rows: int) -> None:
        """Write the images of the centres behind these (address)."""
        self._run(blocks, rows, back=False)

    def fold(self, blocks: tuple[Block, ...], d_rows: int) -> None:
        """Add the gradient by images to that by their centres."""
        self._run(blocks, d_rows, back=True)

    def _run(self, blocks: tuple[Block, ...], rows: int, *, back: bool) -> None:
        key = (id(blocks), back)  # a network's own tuples; their hash would take longer
        if key not in self._known:
            degrees = tuple((block.l, block.p) for block in blocks)
            packed = self._images.packed(degrees, self._dtype)
            self._kept.append(packed)
            addresses = tuple(array.ctypes.data for array in packed)
            row = blocks[-1].end * packed[2].itemsize
            self._known[key] = (images_kernel(blocks, self._real, back), addresses, row)
        kernel, addresses, row = self._known[key]
        kernel(0, self._n_images, *addresses, rows, rows + self._n_centres * row)
