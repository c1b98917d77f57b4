"""Properties of one structure, as numbers with their units in their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ase import Atoms

from ase_symcalc.apps.elastic import elastic
from ase_symcalc.apps.eos import eos
from ase_symcalc.apps.phonons import phonons

Answer = tuple[bool, dict[str, Any], Atoms]
"""Whether it came to rest, what was found, and the last structure with its calculator."""

Rest = Callable[[Atoms], tuple[bool, Atoms]]
"""Relaxes."""


def _eos(atoms: Atoms, rest: Rest) -> Answer:
    rested, atoms = rest(atoms)
    result = eos(atoms)
    best = result.best
    results = {
        "energy_eV": best.energy,
        "volume_angstrom3": best.volume,
        "bulk_modulus_GPa": best.bulk_modulus,
        "bulk_modulus_derivative": best.derivative,
        "fit": best.name,
    }
    return rested and result.converged, results, result.atoms


def _elastic(atoms: Atoms, rest: Rest) -> Answer:
    rested, atoms = rest(atoms)
    result = elastic(atoms)
    results: dict[str, Any] = {
        "energy_eV": atoms.get_potential_energy(),
        "constants_GPa": result.constants.tolist(),
        "least_eigenvalue_GPa": float(result.eigenvalues[0]),
    }
    if result.moduli is not None:
        results["bulk_modulus_GPa"] = result.moduli.bulk
        results["shear_modulus_GPa"] = result.moduli.shear
    return rested and result.converged, results, atoms


def _phonons(atoms: Atoms, rest: Rest) -> Answer:
    rested, atoms = rest(atoms)
    result = phonons(atoms)
    results = {
        "energy_eV": atoms.get_potential_energy(),
        "gamma_THz": result.gamma.tolist(),
        "imaginary_modes": len(result.imaginary),
        "n_displacements": result.n_displacements,
    }
    return rested, results, atoms


def _uncertainty(atoms: Atoms, rest: Rest) -> Answer:
    energy = atoms.get_potential_energy()
    atoms.get_forces()
    spread = atoms.calc.get_uncertainty(atoms)
    results = {
        "energy_eV": energy,
        "largest_force_error_eV_per_angstrom": float(spread.max()),
        "mean_force_error_eV_per_angstrom": float(spread.mean()),
    }
    return True, results, atoms


APPS: dict[str, Callable[[Atoms, Rest], Answer]] = {
    "eos": _eos,
    "elastic": _elastic,
    "phonons": _phonons,
    "uncertainty": _uncertainty,
}
