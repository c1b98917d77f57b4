"""Energy, forces and stress of one frame as its file gives them, checked by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from ase.stress import voigt_6_to_full_3x3_stress
from jaxtyping import Float64

from ase_symcalc.errors import InputError
from ase_symcalc.training.config import DataFile

NET_FORCE = 5e-3
"""eV/Å per square root of the number of atoms: the noise of a converged calculation and of
rounded digits adds up like a random walk, a lost or frozen atom does not"""


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known of a frame; None where nothing is."""

    energy: float | None
    """eV"""
    forces: Float64[np.ndarray, "n_atoms 3"] | None
    """eV/Å"""
    stress: Float64[np.ndarray, "3 3"] | None
    """eV/Å³"""


def read_labels(atoms: Atoms, name: str, file: DataFile) -> Labels:
    """Labels of a frame.

    Parameters
    ----------
    atoms : ase.Atoms
    name : str
        The frame in messages.
    file : DataFile
        Where the labels are and how much of the stress to trust. A stress is left out where
        there is no volume.

    Raises
    ------
    InputError
        If there is neither energy nor forces, one is not finite or has another shape, or
        forces act on the whole: they sum to zero wherever no outer field acts, and so do
        their torques in a molecule.
    """
    results = atoms.calc.results if atoms.calc is not None else {}
    found = {
        "energy": _find(results, "energy", atoms.info, file.energy_key),
        "forces": _find(results, "forces", atoms.arrays, file.forces_key),
        "stress": _find(results, "stress", atoms.info, file.stress_key),
    }
    if file.stress == "none" or not abs(np.linalg.det(atoms.cell.array)) > 0:
        del found["stress"]
    if found["energy"] is None and found["forces"] is None:
        raise InputError(
            f"{name} has neither energy nor forces; a frame needs one of them at least. If they "
            "go by another name, give data.train.energy_key and forces_key"
        )
    shapes = {"energy": ((),), "forces": ((len(atoms), 3),), "stress": ((6,), (3, 3), (9,))}
    checked = {key: _checked(found[key], key, shapes[key], name) for key in found}
    if (forces := checked["forces"]) is not None:
        _check_balance(atoms, forces, name)
    energy, stress = checked["energy"], checked.get("stress")
    return Labels(
        energy=None if energy is None else float(energy),
        forces=forces,
        stress=None if stress is None else _full(stress, name),
    )


def _find(results: Any, own: str, others: Any, key: str | None) -> Any:
    return results.get(own) if key is None else others.get(key)


def _checked(
    value: Any, key: str, shapes: tuple[tuple[int, ...], ...], name: str
) -> np.ndarray | None:
    if value is None:
        return None
    try:
        array = np.array(value, dtype=float)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if not np.isfinite(array).all():
        raise InputError(f"{name} has a label that is not a finite number: {key}")
    if array.shape not in shapes:
        expected = " or ".join(map(str, shapes))
        raise InputError(f"{name} has {key} of shape {array.shape}; expected {expected}")
    return array


def _check_balance(atoms: Atoms, forces: Float64[np.ndarray, "n_atoms 3"], name: str) -> None:
    net = np.abs(forces.sum(axis=0)).max()
    if net > NET_FORCE * np.sqrt(len(atoms)):
        raise InputError(
            f"{name}: its forces sum to {net:.3g} eV/Å, but without an outer field they sum to "
            "zero; the labels are wrong or incomplete (forces of frozen atoms set to zero?)"
        )
    if atoms.pbc.any():
        return
    arms = atoms.positions - atoms.positions.mean(axis=0)
    torque = np.abs(np.cross(arms, forces).sum(axis=0)).max()
    if torque > 4 * NET_FORCE * np.linalg.norm(arms):
        raise InputError(
            f"{name}: its forces have a torque of {torque:.3g} eV, but without an outer field "
            "they turn nothing; they belong to another orientation or another order of the atoms"
        )


def _full(stress: np.ndarray, name: str) -> Float64[np.ndarray, "3 3"]:
    if stress.shape == (6,):
        return voigt_6_to_full_3x3_stress(stress)
    stress = stress.reshape(3, 3)
    if not np.allclose(stress, stress.T, rtol=1e-3, atol=1e-4):
        raise InputError(f"{name} has a stress that is not symmetric; got {stress.tolist()} eV/Å³")
    return (stress + stress.T) / 2
