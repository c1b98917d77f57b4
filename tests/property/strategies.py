"""Random structures and motions for hypothesis."""

import numpy as np
from ase import Atoms
from ase.build import bulk
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from ase_symcalc.structures import StructureArrays


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    """Finite numbers in a range."""
    return st.floats(low, high, allow_nan=False, allow_infinity=False, allow_subnormal=False)


def vectors(rows: int, low: float, high: float) -> st.SearchStrategy[np.ndarray]:
    """Arrays (rows, 3) of numbers in a range."""
    return npst.arrays(np.float64, (rows, 3), elements=numbers(low, high))


def integers(rows: int, largest: int) -> st.SearchStrategy[np.ndarray]:
    """Whole numbers (rows, 3), of either sign."""
    return npst.arrays(np.int64, (rows, 3), elements=st.integers(-largest, largest))


@st.composite
def cells(draw: st.DrawFn) -> np.ndarray:
    """Triclinic cells of either handedness, at least 8 Å³, sheared by up to 3 Å."""
    cell = np.diag(draw(npst.arrays(np.float64, 3, elements=numbers(2.0, 6.0))))
    cell[np.tril_indices(3, -1)] = draw(npst.arrays(np.float64, 3, elements=numbers(-3.0, 3.0)))
    cell = cell[draw(st.permutations(range(3)))]
    return cell[:, draw(st.permutations(range(3)))]


@st.composite
def structures(draw: st.DrawFn, n_atoms: int | None = None) -> StructureArrays:
    """Up to five atoms, also outside the cell, with any periodicity; cells may lack vectors."""
    n_atoms = n_atoms or draw(st.integers(1, 5))
    cell = draw(cells())
    pbc = draw(npst.arrays(bool, 3))
    positions = draw(vectors(n_atoms, -2.0, 3.0)) @ cell
    if draw(st.booleans()):
        cell[~pbc] = 0
    return StructureArrays(positions, cell, pbc, np.full(n_atoms, 14))


@st.composite
def lattice_changes(draw: st.DrawFn, pbc: np.ndarray) -> np.ndarray:
    """Integer matrices of determinant ±1 that mix the periodic vectors with each other."""
    lower, upper = (np.eye(3, dtype=np.int64) for _ in range(2))
    lower[np.tril_indices(3, -1)] = draw(npst.arrays(np.int64, 3, elements=st.integers(-3, 3)))
    upper[np.triu_indices(3, 1)] = draw(npst.arrays(np.int64, 3, elements=st.integers(-3, 3)))
    mixed = pbc[:, None] & pbc | np.eye(3, dtype=bool)
    return np.where(mixed, lower, 0) @ np.where(mixed, upper, 0)


ELEMENTS = ("Li", "Si", "Ni", "Cu", "Ge", "Mo")
"""Of the small potential."""

PERFECT = {
    "diamond": bulk("Si"),
    "cubic": bulk("Cu", cubic=True),
    "alloy": bulk("NiMo", "rocksalt", a=5.0, cubic=True),
    "wire": Atoms("Ge2", [(0, 0, 0), (0, 0, 2.4)], cell=[0, 0, 4.8], pbc=(False, False, True)),
    "molecule": Atoms("Li4", [(1, 1, 1), (-1, -1, 1), (-1, 1, -1), (1, -1, -1)]),
}
"""Structures that symmetry makes smaller."""


@st.composite
def atoms(draw: st.DrawFn) -> Atoms:
    """Up to five atoms of any species and periodicity, or a structure with symmetry."""
    if draw(st.integers(0, 2)) == 0:
        return PERFECT[draw(st.sampled_from(sorted(PERFECT)))].copy()
    arrays = draw(structures())
    symbols = [draw(st.sampled_from(ELEMENTS)) for _ in arrays.positions]
    return Atoms(symbols, arrays.positions, cell=arrays.cell, pbc=arrays.pbc)
