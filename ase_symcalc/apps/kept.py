"""Parts of a run that are done, kept so that a run which was stopped goes on behind them."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from ase_symcalc.apps.neb_result import NebResult, describe
from ase_symcalc.apps.relax import RelaxResult

Parts = MutableMapping[str, Any]
"""By name; what JSON has and nothing else. A function reads those it finds and adds its own."""


@dataclass(frozen=True, slots=True)
class AtRest:
    """What is kept of a relaxation."""

    atoms: Atoms
    """With the calculator attached."""
    energies: tuple[float, float]
    """eV, before and after"""
    converged: bool


def relaxed_once(
    parts: Parts, name: str, atoms: Atoms, relaxation: Callable[[], RelaxResult]
) -> AtRest:
    """Relax, unless that is done.

    Parameters
    ----------
    parts : mapping
        Changed.
    name : str
        In ``parts``.
    atoms : Atoms
        Before; with a calculator attached. Not changed.
    relaxation : callable
        Relaxes them.
    """
    if name not in parts:
        result = relaxation()
        parts[name] = as_part(result.atoms) | {
            "energies_eV": [float(result.energies[0]), float(result.energies[-1])],
            "converged": result.converged,
        }
    part = parts[name]
    first, last = part["energies_eV"]
    return AtRest(from_part(part, atoms), (first, last), part["converged"])


def path_once(parts: Parts, name: str, atoms: Atoms, search: Callable[[], NebResult]) -> NebResult:
    """Find a path, unless that is done; ``atoms`` is any image of it."""
    if name in parts:
        return _path(parts[name], atoms)
    result = search()
    parts[name] = {
        "images": [
            as_part(image)
            | {
                "energy_eV": float(energy),
                "forces_eV_per_angstrom": image.get_forces(apply_constraint=False).tolist(),
            }
            for image, energy in zip(result.images, result.energies, strict=True)
        ],
        "converged": result.converged,
        "climbed": result.climbed,
        "steps": result.steps,
        "target_fmax": result.target_fmax,
        "fmax": result.fmax,
        "modes_THz": None if result.modes is None else result.modes.tolist(),
        "warnings": list(result.warnings),
    }
    return result


def as_part(atoms: Atoms) -> dict[str, Any]:
    """Cell and positions, exactly."""
    return {
        "cell_angstrom": atoms.cell.array.tolist(),
        "positions_angstrom": atoms.positions.tolist(),
    }


def from_part(part: dict[str, Any], like: Atoms) -> Atoms:
    """Give a copy of ``like``, with its calculator, the cell and the positions of a part."""
    atoms = like.copy()
    atoms.cell[:] = part["cell_angstrom"]
    atoms.positions[:] = part["positions_angstrom"]
    atoms.calc = like.calc
    return atoms


def _path(part: dict[str, Any], like: Atoms) -> NebResult:
    images = [from_part(each, like) for each in part["images"]]
    for image, each in zip(images, part["images"], strict=True):
        forces = np.array(each["forces_eV_per_angstrom"])
        image.calc = SinglePointCalculator(image, energy=each["energy_eV"], forces=forces)
    modes = part["modes_THz"]
    result = describe(
        images,
        converged=part["converged"],
        climbed=part["climbed"],
        steps=part["steps"],
        target_fmax=part["target_fmax"],
        fmax=part["fmax"],
        modes=None if modes is None else np.array(modes),
        about_ends=(),
    )
    return replace(result, warnings=tuple(part["warnings"]))
