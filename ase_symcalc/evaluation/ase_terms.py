"""Results and errors as ASE's users know them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from ase.calculators.calculator import CalculationFailed, CalculatorSetupError, InputError

from ase_symcalc import errors
from ase_symcalc.evaluation.result import StructureResult


@contextmanager
def as_ase_errors() -> Iterator[None]:
    """ASE's users catch ASE's errors; the sentence stays."""
    try:
        yield
    except errors.InputError as error:
        raise InputError(str(error)) from error
    except errors.PotentialFileError as error:
        raise CalculatorSetupError(str(error)) from error
    except errors.NumericalError as error:
        raise CalculationFailed(str(error)) from error


def ase_results(result: StructureResult) -> dict[str, Any]:
    """Names, shapes and Voigt order of ASE."""
    results: dict[str, Any] = {
        "energy": result.energy,
        "free_energy": result.energy,
        "energies": result.atomic_energies,
    }
    if result.forces is not None:
        results["forces"] = result.forces
    if result.stress is not None and result.stresses is not None:
        results["stress"] = _voigt(result.stress)
        results["stresses"] = _voigt(result.stresses)
    return results


def _voigt(tensors: np.ndarray) -> np.ndarray:
    """Symmetric (..., 3, 3) to (..., 6) in ASE's order: xx, yy, zz, yz, xz, xy."""
    return tensors.reshape(*tensors.shape[:-2], 9).take([0, 4, 8, 5, 2, 1], axis=-1)
