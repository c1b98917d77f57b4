"""The standard path through the Brillouin zone."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from jaxtyping import Float64

from ase_symcalc.errors import InputError

POINTS = 300

_GREEK = {"GAMMA": "Γ", "DELTA": "Δ", "LAMBDA": "Λ", "SIGMA": "Σ"}
_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


@dataclass(frozen=True, slots=True)
class Corner:
    """A point of high symmetry."""

    label: str
    """As "Γ" or "X₁"."""
    q: Float64[np.ndarray, "3"]
    """in reciprocal vectors of the primitive cell"""


@dataclass(frozen=True, slots=True)
class Leg:
    """A straight piece of a path."""

    start: Corner
    end: Corner
    q: Float64[np.ndarray, "n_q 3"]
    """in reciprocal vectors of the primitive cell, both ends included"""
    distance: Float64[np.ndarray, "n_q"]
    """1/Å without 2π, from the start of the path; jumps have no length"""


def standard_path(
    primitive: Atoms, *, points: int = POINTS, symprec: float = 1e-5
) -> tuple[Leg, ...]:
    """Return the path of Hinuma et al., Comput. Mater. Sci. 128, 140 (2017).

    Parameters
    ----------
    primitive : Atoms
        A primitive cell, in any setting and orientation.
    points : int
        About how many q-points there are in all, evenly spaced.
    symprec : float, Å

    Raises
    ------
    InputError
        If seekpath is not installed.
    """
    try:
        from seekpath import get_path_orig_cell
        from seekpath.hpkot import EdgeCaseWarning
    except ImportError as error:
        raise InputError(
            "the path of phonon bands comes from seekpath, which is not installed; "
            "`pip install 'ase-symcalc[phonons]'` brings it"
        ) from error
    crystal = (primitive.cell.array, primitive.get_scaled_positions(), primitive.numbers)
    with warnings.catch_warnings():  # at an edge between two kinds of zones both paths serve
        warnings.simplefilter("ignore", EdgeCaseWarning)
        path = get_path_orig_cell(crystal, symprec=symprec)
    corners = {
        name: Corner(_label(name), np.array(q, dtype=float))
        for name, q in path["point_coords"].items()
    }
    ends = [(corners[start], corners[end]) for start, end in path["path"]]
    reciprocal = primitive.cell.reciprocal().array
    lengths = [float(np.linalg.norm((end.q - start.q) @ reciprocal)) for start, end in ends]
    legs, reached = [], 0.0
    for (start, end), length in zip(ends, lengths, strict=True):
        share = np.linspace(0, 1, max(2, round(points * length / sum(lengths)) + 1))
        q = start.q + share[:, None] * (end.q - start.q)
        legs.append(Leg(start, end, q, reached + share * length))
        reached += length
    return tuple(legs)


def _label(name: str) -> str:
    """Turn "GAMMA" or "SIGMA_0" into what is printed."""
    letter, _, number = name.partition("_")
    return _GREEK.get(letter, letter) + number.translate(_SUBSCRIPTS)
