"""Expected errors of forces, from where an atom lies among those of the training.

The features x of an atom, those that no rotation changes, are compared with the Gaussian mixture
of its element. With weights w_k, means m_k and precisions A_k A_kᵀ of its components, and
o_k = ln w_k + ln det A_k, its squared distance per feature is

    d² = 2/n · ( max_k o_k - ln Σ_k exp(o_k - |(x - m_k) A_k|²/2) ),

zero where the training is densest, and of order one for most of it. The expected length of the
force's error is a_Z (d² + 0.01)^b, where a_Z of each element and one exponent b for all were
fitted to frames held out. Densities of features as a measure of errors: A. Zhu, S. Batzner,
A. Musaelian and B. Kozinsky, J. Chem. Phys. 158, 164111 (2023).
"""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.special import logsumexp

from ase_symcalc.errors import UnfamiliarAtomsWarning
from ase_symcalc.potential_files.error_model import ErrorModel

SMALLEST = 0.01
"""Added to a squared distance, for the midst of the training is not free of errors."""
MOST_NAMED = 10


def squared_distances(
    model: ErrorModel,
    features: Float64[np.ndarray, "n_atoms n_features"],
    atomic_numbers: Int64[np.ndarray, "n_atoms"],
) -> Float64[np.ndarray, "n_atoms"]:
    """d² of each atom, per feature; infinite for an element without training data."""
    found = np.full(len(features), np.inf)
    for number in np.unique(atomic_numbers):
        own = atomic_numbers == number
        parts = np.flatnonzero(model.components == number)
        if len(parts):
            logs = [
                model.offsets[k]
                - 0.5 * (((features[own] - model.means[k]) @ model.factors[k]) ** 2).sum(axis=1)
                for k in parts
            ]
            lost = model.offsets[parts].max() - logsumexp(logs, axis=0)
            found[own] = np.maximum(2 * lost / features.shape[1], 0)
    return found


def expected_errors(
    model: ErrorModel,
    distances: Float64[np.ndarray, "n_atoms"],
    atomic_numbers: Int64[np.ndarray, "n_atoms"],
) -> Float64[np.ndarray, "n_atoms"]:
    """Lengths that errors of forces are expected to have, eV/Å, at squared ``distances``."""
    prefactors = _of_atoms(model, model.prefactors, atomic_numbers)
    return prefactors * (distances + SMALLEST) ** model.exponent


def outside(
    model: ErrorModel,
    distances: Float64[np.ndarray, "n_atoms"],
    atomic_numbers: Int64[np.ndarray, "n_atoms"],
) -> Bool[np.ndarray, "n_atoms"]:
    """Whether an atom lies beyond what training has seen of its element."""
    near = distances <= _of_atoms(model, model.limits, atomic_numbers)
    return ~(near & np.isfinite(distances))


def warn_of_atoms(atoms: Int64[np.ndarray, "n_outside"], n_atoms: int, name: str) -> None:
    """Warn of atoms outside; the caller's caller is the line that is named."""
    named = ", ".join(map(str, atoms[:MOST_NAMED]))
    more = f" and {len(atoms) - MOST_NAMED} more" if len(atoms) > MOST_NAMED else ""
    warnings.warn(
        f"{len(atoms)} of {n_atoms} atoms are in surroundings unlike any that {name} was trained "
        f"on: {named}{more}. Forces on them may be far off, further than their expected "
        "error says; check them against a reference.",
        UnfamiliarAtomsWarning,
        stacklevel=3,
    )


def _of_atoms(
    model: ErrorModel, values: np.ndarray, atomic_numbers: np.ndarray
) -> Float64[np.ndarray, "n_atoms"]:
    """Values of each atom's element; infinite for one without."""
    table = np.full(max(int(atomic_numbers.max(initial=0)), int(model.elements.max())) + 1, np.inf)
    table[model.elements] = values
    return table[atomic_numbers]
