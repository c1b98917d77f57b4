"""Where a crystal can be cut along a lattice plane, and which of the cuts are alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd

import numpy as np
import spglib
from ase import Atoms
from ase.build import surface as build_surface
from ase.geometry import minkowski_reduce, wrap_positions
from jaxtyping import Float64, Int64

from ase_symcalc.errors import InputError

SYMPREC = 1e-3
"""Å, within which atoms are images of each other."""

PLANE = 0.1
"""Å; atoms whose heights differ by less lie in one plane, which is not cut through."""

LARGEST = 12
"""Of the whole numbers that a plane has in a primitive cell."""


@dataclass(frozen=True, slots=True)
class Cut:
    """One of the ways to end a crystal at a lattice plane, and all that symmetry maps it onto."""

    height: float
    """Of the cut, in spacings of lattice planes, 0 to 1"""
    top: str
    """Formula of the outermost plane"""
    gap: float
    """Å, between the planes on both sides of the cut"""
    symmetric: bool
    """Whether both faces of a slab are alike."""
    polar: bool
    """Whether the elements' mean heights in the slab differ, so that ions would leave a dipole
    across it."""


@dataclass(frozen=True, slots=True)
class Planes:
    """Lattice planes of a crystal."""

    primitive: Atoms
    """A primitive cell"""
    indices: tuple[int, int, int]
    """Of the planes in that cell."""
    spacing: float
    """Å"""
    cuts: tuple[Cut, ...]
    """Inequivalent ones, those with equal faces first, then by the gap, widest first"""

    def slab(self, cut: Cut, layers: int, vacuum: float) -> Atoms:
        """Stack lattice planes, in the smallest surface cell.

        Parameters
        ----------
        cut : Cut
        layers : int
            Lattice planes; each holds all atoms of a primitive cell.
        vacuum : float, Å
            In all, above and below.

        Returns
        -------
        Atoms
            The surface's normal along z, periodic in its plane.
        """
        crystal = self.primitive.copy()
        normal = self.primitive.cell.reciprocal().array.T @ self.indices
        crystal.positions -= cut.height * normal / (normal @ normal)
        slab = build_surface(crystal, self.indices, layers, periodic=True)
        slab.center(vacuum=vacuum / 2, axis=2)
        cell, _ = minkowski_reduce(slab.cell.array, pbc=(True, True, False))
        slab.set_cell(cell)
        slab.pbc = (True, True, False)
        slab.positions = wrap_positions(slab.positions, cell, pbc=slab.pbc, eps=1e-6)
        slab.set_tags(None)
        return slab


def find_planes(primitive: Atoms, indices: tuple[int, int, int]) -> Planes:
    """Find the cuts that leave whole lattice planes.

    Parameters
    ----------
    primitive : Atoms
        A primitive cell.
    indices : (int, int, int)
        Of the planes in that cell, without a common divisor.
    """
    spacing = float(1 / np.linalg.norm(primitive.cell.reciprocal().array.T @ indices))
    heights = primitive.get_scaled_positions() @ np.array(indices) % 1
    planes = _planes(heights, PLANE / spacing)
    origin = heights[planes[0][0]] - PLANE / spacing / 10  # no plane reaches across it
    heights = (heights - origin) % 1
    images = _images(primitive, np.array(indices))
    found: list[Cut] = []
    seen: list[float] = []
    for plane, above in zip(planes, planes[1:] + planes[:1], strict=True):
        top = heights[plane].max()
        gap = (heights[above].min() - top) % 1 or 1.0  # one flat plane alone
        height = (origin + top + gap / 2) % 1
        if any(_same(height, other) for other in seen):
            continue
        seen += [(sign * height + shift) % 1 for sign, shift in images]
        cut = Cut(
            height=float(height),
            top=Atoms(primitive.numbers[plane]).get_chemical_formula("metal"),
            gap=float(gap * spacing),
            symmetric=any(_same(shift - height, height) for sign, shift in images if sign < 0),
            polar=_is_polar(primitive.numbers, (heights + origin - height) % 1 * spacing),
        )
        found.append(cut)
    found.sort(key=lambda cut: (not cut.symmetric, -cut.gap))
    return Planes(primitive, indices, spacing, tuple(found))


def indices_in(
    primitive: Float64[np.ndarray, "3 3"],
    cell: Float64[np.ndarray, "3 3"],
    hkl: Sequence[int],
) -> tuple[int, int, int]:
    """Miller indices of a plane in a primitive cell, from those in another cell of the crystal.

    Raises
    ------
    InputError
        If the cells do not belong together.
    """
    fractions = primitive @ np.linalg.inv(cell) @ np.array(hkl)
    for factor in range(1, LARGEST * LARGEST):
        whole = np.rint(factor * fractions)
        if np.allclose(whole, factor * fractions, atol=1e-3):
            common = gcd(*whole.astype(int).tolist())
            h, k, l = (whole.astype(int) // common).tolist()
            return h, k, l
    raise InputError(
        f"the plane {tuple(hkl)} is no lattice plane of the primitive cell; relax the crystal in "
        "its conventional cell first, and give that"
    )


def _planes(heights: np.ndarray, tolerance: float) -> list[Int64[np.ndarray, "n"]]:
    """Atoms of each plane, upwards; of the widest gap the lowest plane lies above."""
    order = np.argsort(heights)
    ordered = heights[order]
    gaps = np.diff(ordered, append=ordered[0] + 1)
    start = (int(gaps.argmax()) + 1) % len(order)
    order, gaps = np.roll(order, -start), np.roll(gaps, -start)
    return np.split(order, np.flatnonzero(gaps[:-1] > tolerance) + 1)


def _images(primitive: Atoms, indices: np.ndarray) -> list[tuple[int, float]]:
    """Sign s and shift t of each operation that maps heights z onto s z + t."""
    crystal = (primitive.cell.array, primitive.get_scaled_positions(), primitive.numbers)
    found = spglib.get_symmetry_dataset(crystal, symprec=SYMPREC)
    if found is None:
        raise InputError(
            f"no space group was found within {SYMPREC:g} Å; look for atoms on one another"
        )
    images = []
    for rotation, shift in zip(found.rotations, found.translations, strict=True):
        for sign in (1, -1):
            if (indices @ rotation == sign * indices).all():
                images.append((sign, float(indices @ shift)))
    return images


def _same(one: float, other: float) -> bool:
    """Whether two heights are, up to whole spacings."""
    return bool(abs((one - other + 0.5) % 1 - 0.5) < 1e-3)


def _is_polar(numbers: np.ndarray, heights: np.ndarray) -> bool:
    means = [heights[numbers == number].mean() for number in np.unique(numbers)]
    return bool(np.ptp(means) > PLANE / 10)
