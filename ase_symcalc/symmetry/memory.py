"""When to look for symmetry, and when to trust what was found before."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float64, Int64

from ase_symcalc.symmetry.orbits import SymmetryMap, find_symmetry

FEWER = 0.75  # of the distinct energies there were when a search found nothing


class SymmetryMemory:
    """The symmetry of a structure that changes from call to call.

    What was found once is verified in every call, which costs next to nothing. If it does not
    hold, the structure is taken for one without symmetry, unless it is likely to have some:

    - it is new: other elements, or other directions repeat;
    - or the last evaluation showed it: many atoms had the same energy as another.

    A trajectory that leaves its symmetry is thus searched once, and not again while its atoms
    move about; one that finds back is recognised one evaluation late, or at once if it comes
    back to the symmetry it had. Phonon supercells, displaced one atom after the other, are
    searched one by one.

    Parameters
    ----------
    tolerance : float or None, Å
        How far the image of an atom may be from an atom; None uses no symmetry.
    proper : bool
        Leave out mirrors and inversions.
    """

    def __init__(self, tolerance: float | None, *, proper: bool) -> None:
        self._tolerance, self._proper = tolerance, proper
        self._species = b""
        self._n_orbits = 0  # of the symmetry recalled last, 0 if there was none
        self._known: SymmetryMap | None = None
        self._likely = self._in_vain = False
        self._most_distinct = 0

    def recall(
        self,
        positions: Float64[np.ndarray, "n_atoms 3"],
        cell: Float64[np.ndarray, "3 3"],
        pbc: Bool[np.ndarray, "3"],
        atomic_numbers: Int64[np.ndarray, "n_atoms"],
    ) -> SymmetryMap | None:
        """Symmetry of a structure (Å) that spares some of its atoms, None if none is known."""
        self._n_orbits = 0
        if self._tolerance is None or len(positions) == 1:
            return None
        species = pbc.tobytes() + atomic_numbers.tobytes()
        if species != self._species:
            self._known, self._likely, self._most_distinct = None, True, len(positions)
            self._species = species  # last: Ctrl-C must not leave another structure's symmetry
        self._in_vain = False
        if self._known is not None and self._known.holds(positions, cell, self._tolerance):
            self._n_orbits = self._known.n_orbits
            return self._known
        if not self._likely:
            return None
        found = find_symmetry(
            positions, cell, pbc, atomic_numbers, self._tolerance, proper=self._proper
        )
        self._likely, self._in_vain = False, found is None
        self._known = found or self._known
        return found

    def learn(self, atomic_energies: Float64[np.ndarray, "n_atoms"]) -> None:
        """See what the evaluation of the structure recalled last says of its symmetry (eV)."""
        if 0 < self._n_orbits <= FEWER * self._most_distinct:
            self._likely = True  # atoms of an orbit have one energy: it need not be counted
            return
        ascending = np.sort(atomic_energies)
        apart = np.clip((ascending[-1] - ascending[0]) / (10 * len(ascending)), 1e-9, 1e-6)
        distinct = 1 + int(np.count_nonzero(np.diff(ascending) > apart))
        if self._in_vain:
            self._most_distinct = distinct
        self._likely = bool(distinct <= FEWER * self._most_distinct)
