"""What a person receives: NumPy, float64, one structure each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64
from torch import Tensor

from ase_symcalc.errors import NumericalError
from ase_symcalc.response import Prediction
from ase_symcalc.structures import StructureArrays


@dataclass(frozen=True, slots=True)
class StructureResult:
    """Energy of one structure and its first derivatives, as copies of their own."""

    energy: float
    """eV"""
    atomic_energies: Float64[np.ndarray, "n_atoms"]
    """eV, sums to `energy`"""
    forces: Float64[np.ndarray, "n_atoms 3"] | None = None
    """eV/Å, None if not asked for"""
    stress: Float64[np.ndarray, "3 3"] | None = None
    """eV/Å³, positive under tension, None if not asked for or without a volume"""
    stresses: Float64[np.ndarray, "n_atoms 3 3"] | None = None
    """eV/Å³, each atom's share, sums to `stress`"""


def to_results(
    prediction: Prediction, structures: Sequence[StructureArrays]
) -> list[StructureResult]:
    """Split the prediction for a batch into one result per structure, in order.

    Raises
    ------
    NumericalError
        If anything in a result is not finite.
    """
    energies, per_atom = _numbers(prediction.energy), _numbers(prediction.atomic_energies)
    forces, stress, stresses = (
        None if values is None else _numbers(values)
        for values in (prediction.forces, prediction.stress, prediction.stresses)
    )
    results, start = [], 0
    for index, arrays in enumerate(structures):
        atoms = slice(start, start := start + len(arrays.atomic_numbers))
        result = StructureResult(float(energies[index]), per_atom[atoms].copy())
        if forces is not None:
            result = replace(result, forces=forces[atoms].copy())
        if stress is not None and stresses is not None and arrays.volume is not None:
            whole, shares = stress[index].copy(), stresses[atoms].copy()
            result = replace(result, stress=whole, stresses=shares)
        _check_finite(result)
        results.append(result)
    return results


def _numbers(values: Tensor) -> Float64[np.ndarray, "..."]:
    return values.detach().cpu().double().numpy()


def _check_finite(result: StructureResult) -> None:
    for name in ("atomic_energies", "forces", "stresses"):
        values = getattr(result, name)
        if values is None or np.isfinite(values).all():
            continue
        atom = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise NumericalError(
            f"expected finite numbers from the network, got {name} of atom {atom} that are not. "
            "The structure is probably far outside what the potential was trained on, "
            "or the numbers overflow its dtype; look at that atom, or use dtype='float64'."
        )
