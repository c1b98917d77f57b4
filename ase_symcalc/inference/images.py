"""Rows that symmetry makes of others, appended to features and taken back from gradients."""

from __future__ import annotations

from typing import Any

from ase_symcalc.inference.plan import Number, Plan
from ase_symcalc.inference.surroundings import Surroundings
from ase_symcalc.nn.kernels.builder import real_name
from ase_symcalc.nn.kernels.images import images_kernel
from ase_symcalc.nn.layout import Block
from ase_symcalc.symmetry.expand import RotatedImages


class RowImages:
    """The images of an evaluation; their rows follow those of the centres."""

    def __init__(self, images: RotatedImages, n_centres: int, n_images: int, dtype: Any) -> None:
        self._images, self._n_centres, self._n_images = images, n_centres, n_images
        self._dtype, self._real = dtype, real_name(dtype)

    @classmethod
    def of(cls, seen: Surroundings, dtype: Any) -> RowImages | None:
        """Return them if there are any."""
        n_images = len(seen.atomic_numbers) - seen.n_centres
        if seen.images is None or n_images == 0:
            return None
        return cls(seen.images, seen.n_centres, n_images, dtype)

    def fill(self, plan: Plan, blocks: tuple[Block, ...], rows: Number) -> None:
        """Write the images of the centres behind these (address)."""
        self._call(plan, blocks, rows, back=False)

    def fold(self, plan: Plan, blocks: tuple[Block, ...], d_rows: Number) -> None:
        """Add the gradient by images to that by their centres."""
        self._call(plan, blocks, d_rows, back=True)

    def _call(self, plan: Plan, blocks: tuple[Block, ...], rows: Number, *, back: bool) -> None:
        degrees = tuple((block.l, block.p) for block in blocks)
        packed = self._images.packed(degrees, self._dtype)
        addresses = [plan.keep(array) for array in packed]
        images = rows + self._n_centres * blocks[-1].end * packed[2].itemsize
        kernel = images_kernel(blocks, self._real, back)
        plan.call(kernel, 0, self._n_images, *addresses, rows, images)
