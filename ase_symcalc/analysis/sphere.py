"""The surroundings of one atom as a signal on the sphere."""

from __future__ import annotations

import math

import numpy as np
import torch
from ase import Atoms
from jaxtyping import Float64

from ase_symcalc.analysis.memory import check_memory
from ase_symcalc.errors import InputError
from ase_symcalc.nn.angular import edge_harmonics
from ase_symcalc.structures import check_separation, from_ase, neighbour_pairs


def sphere_signal(
    atoms: Atoms,
    atom: int,
    directions: Float64[np.ndarray, "n 3"],
    *,
    cutoff: float = 4.0,
    lmax: int = 8,
) -> Float64[np.ndarray, "n"]:
    """Signal Σ_lm c_lm Y_lm(x) in each direction x, where c_lm = Σ_j w(r_ij) Y_lm(r_ij).

    The weight w = ((1 - r/c)² (1 + 2r/c))² ends smoothly at the cutoff c. With higher degrees
    the signal becomes a peak towards each neighbour. Smidt, "Harnessing the properties of
    equivariant neural networks to understand and design materials", ICLR workshop on machine
    learning for materials (2023).

    Parameters
    ----------
    atoms : Atoms
    atom : int
        Whose neighbours are meant.
    directions : (n, 3) array
        Of any length but 0.
    cutoff : float, Å
    lmax : int

    Raises
    ------
    InputError
        If there is no such atom, lmax is negative or too large for memory, two atoms are closer
        than 0.1 Å, or the structure has no meaning.
    """
    if not -len(atoms) <= atom < len(atoms):
        raise InputError(f"expected an atom from 0 to {len(atoms) - 1}, got {atom}")
    if lmax < 0:
        raise InputError(f"expected a degree of 0 or more, got lmax={lmax}")
    pairs = neighbour_pairs(atoms.positions, atoms.cell.array, atoms.pbc, cutoff)
    check_separation(from_ase(atoms), pairs)
    mine = pairs.centre == atom % len(atoms)
    vectors = atoms.positions[pairs.neighbour[mine]] - atoms.positions[atom]
    vectors += pairs.unit_shifts[mine] @ atoms.cell.array
    check_memory(8 * (lmax + 1) ** 2 * (len(vectors) + len(directions)), f"lmax={lmax}")
    x = np.linalg.norm(vectors, axis=1) / cutoff
    weights = ((1 - x) ** 2 * (1 + 2 * x)) ** 2
    return _harmonics(directions, lmax) @ (weights @ _harmonics(vectors, lmax))


def sphere_grid(n: int) -> Float64[np.ndarray, "n_polar n_azimuth 3"]:
    """Directions on circles of latitude: n of these, with 2n points each, poles included."""
    polar, azimuth = np.linspace(0, math.pi, n)[:, None], np.linspace(0, 2 * math.pi, 2 * n)
    return np.stack(
        [
            np.sin(polar) * np.cos(azimuth),
            np.sin(polar) * np.sin(azimuth),
            np.cos(polar) * np.ones_like(azimuth),
        ],
        axis=2,
    )


def _harmonics(vectors: np.ndarray, lmax: int) -> np.ndarray:
    units = torch.from_numpy(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return edge_harmonics(units, lmax).numpy() / math.sqrt(4 * math.pi)
