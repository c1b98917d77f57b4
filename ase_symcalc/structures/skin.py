"""When an old neighbour list may be used again."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ase_symcalc.errors import InputError
from ase_symcalc.structures.from_ase import StructureArrays
from ase_symcalc.structures.neighbours import ROUNDING, Pairs, neighbour_pairs, pairs_within

Search = Callable[[np.ndarray, np.ndarray, np.ndarray, float], Pairs]


class SkinList:
    """Neighbour pairs of a structure that moves a little from call to call.

    Pairs are searched for within ``cutoff + skin`` and kept while none can have come inside
    the cutoff unseen; each call then drops those beyond the cutoff. What it returns is what
    `neighbour_pairs` returns, pair for pair.

    Let F carry the old periodic cell vectors onto the new ones and d be what is left of the
    motion, r' = r F + d. An edge was v and is v' = v F + d_j - d_i, hence

        |v| ≤ (|v'| + 2 max|d|) / σ,    σ the smallest singular value of F,

    and no pair is missed while ``cutoff + 2 max|d| ≤ σ (cutoff + skin)``. The positions are
    compared as they are: an atom that jumped by a lattice vector has old shifts that are
    wrong, though its nearest image never moved. A motion shared by all atoms moves no edge,
    so d is measured from its mean.

    Parameters
    ----------
    cutoff : float, Å
    skin : float, Å
        0 searches in every call.
    search : callable, optional
        Finds a part of what `neighbour_pairs` finds, and is asked in its place.

    Attributes
    ----------
    rebuilt : bool
        Whether the last call searched.

    Raises
    ------
    InputError
        If the cutoff is not positive, the skin is negative, or one is not finite.
    """

    def __init__(self, cutoff: float, skin: float, search: Search | None = None) -> None:
        if not (0 < cutoff < np.inf and 0 <= skin < np.inf):
            raise InputError(
                f"expected a positive cutoff and a skin of 0 Å or more, got {cutoff} and {skin} Å"
            )
        self.cutoff = cutoff
        self.skin = skin
        self.rebuilt = False
        self._search = search
        self._origin: StructureArrays | None = None
        self._wide: Pairs | None = None

    def pairs(self, arrays: StructureArrays) -> Pairs:
        """Pairs of the structure within the cutoff.

        Raises
        ------
        InputError
            As `neighbour_pairs` does.
        """
        return pairs_within(self.candidates(arrays), arrays.positions, arrays.cell, self.cutoff)

    def candidates(self, arrays: StructureArrays) -> Pairs:
        """All pairs of the structure within the cutoff, and some that are longer.

        The same object as in the last call, unless there was a search.

        Raises
        ------
        InputError
            As `neighbour_pairs` does.
        """
        wide = self._wide if self._still_covers(arrays) else None
        self.rebuilt = wide is None
        if wide is None:
            search = self._search or neighbour_pairs
            wide = search(arrays.positions, arrays.cell, arrays.pbc, self.cutoff + self.skin)
            self._origin = None  # until all belongs together, wherever Ctrl-C or a fork comes
            self._wide = wide
            self._inverse = np.zeros((3, 3))
            self._inverse[:, arrays.pbc] = np.linalg.pinv(arrays.cell[arrays.pbc])
            self._origin = StructureArrays(
                arrays.positions.copy(),
                arrays.cell.copy(),
                arrays.pbc.copy(),
                arrays.atomic_numbers.copy(),
            )
        return wide

    def _still_covers(self, new: StructureArrays) -> bool:
        old = self._origin
        if old is None or self.skin == 0 or len(old.positions) != len(new.positions):
            return False
        if old.pbc.tolist() != new.pbc.tolist():
            return False
        # the identity across what does not repeat, where cell vectors mean nothing
        change = self._inverse @ (new.cell - old.cell)
        motion = new.positions - old.positions
        if change.any():
            motion -= old.positions @ change
        motion -= motion.sum(axis=0) / len(motion)
        furthest = math.sqrt(np.einsum("ai,ai->a", motion, motion).max())
        rounding = ROUNDING * (float(np.abs(new.positions).max()) + self.cutoff)
        needed = self.cutoff + 2 * furthest + rounding
        reach = self.cutoff + self.skin
        # no singular value is further from one than the size of the change
        if needed <= (1 - math.hypot(*change.ravel().tolist())) * reach:
            return True
        shortest = np.linalg.svd(np.eye(3) + change, compute_uv=False).min()
        return bool(needed <= shortest * reach)
