"""Which structures of a screen are the same as an earlier one, however they are written down."""

from __future__ import annotations

import functools
import json
import math

import numpy as np
from ase import Atoms

from ase_symcalc.analysis import PowerSpectrum, structure_distance
from ase_symcalc.errors import InputError
from ase_symcalc.potential_files.tables import read_json
from ase_symcalc.screening.outcomes import to_atoms, to_text
from ase_symcalc.screening.store import Store

PLACES = 8
"""Numbers that a structure is looked up by."""


class Duplicates:
    """Finds an earlier structure that is the same but for rotation, order, origin or cell.

    The test is `ase_symcalc.analysis.structure_distance` of power spectra, which cannot tell a
    structure from its mirror image. Not every pair is tested: the mean environments of two
    structures are never further apart than the structures, nor are projections of them on
    orthonormal directions, so looking up a few projections in an index of the store misses
    none. Memory does not grow with the number of structures.

    Parameters
    ----------
    store : Store
        Open for writing; what came first is kept in it, so that a screen can be resumed.
    settings : str
        Hash of the settings: results of other settings are no duplicates.
    tolerance : float
        Largest distance of structures that are the same.
    """

    def __init__(self, store: Store, settings: str, tolerance: float) -> None:
        self.store, self.settings, self.tolerance = store, settings, tolerance

    def first(self, key: str, label: str, atoms: Atoms, alive: set[str]) -> tuple[str, str] | None:
        """Return key and label of the earlier structure; None, and remember this one, if none is.

        Parameters
        ----------
        alive : set of str
            Keys of structures that are being worked on. An earlier one that is neither among
            them nor in the store has lost its turn: it was in flight when a screen was killed.
        """
        try:
            spectrum = PowerSpectrum(tuple(sorted(set(atoms.symbols))))
            places = _places(spectrum, atoms)
        except InputError:  # whoever works on it will say what is wrong
            return None
        formula = str(atoms.symbols.formula.reduce()[0])
        around = (places[0] - self.tolerance, places[0] + self.tolerance)
        for place, others, their_key, their_label, text in self.store.firsts(
            self.settings, formula, around
        ):
            apart = math.dist([place, *read_json(others.encode())], places)
            if their_key == key:
                return None
            if apart > self.tolerance or self._distance(spectrum, atoms, text) > self.tolerance:
                continue
            if their_key in alive or self.store.status_of(their_key) is not None:
                return their_key, their_label
            self.store.forget_first(their_key, self.settings, formula, place)
        others = json.dumps(places[1:])
        self.store.put_first(
            self.settings, formula, (places[0], others, key, label, to_text(atoms))
        )
        return None

    def _distance(self, spectrum: PowerSpectrum, atoms: Atoms, text: str) -> float:
        return structure_distance(atoms, to_atoms(text), spectrum)


def _places(spectrum: PowerSpectrum, atoms: Atoms) -> list[float]:
    each = np.unique(atoms.numbers)[:, None] == atoms.numbers
    means = (each @ spectrum(atoms) / len(atoms)).ravel()  # rows have length 1
    return (_directions(len(means)).T @ means).tolist()


@functools.lru_cache(maxsize=64)
def _directions(n: int) -> np.ndarray:
    """Return orthonormal directions, the same in every run."""
    random = np.random.default_rng(0).normal(size=(n, PLACES))
    return np.linalg.qr(random)[0]
