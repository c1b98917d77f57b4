"""What a person or a program reads of an evaluation."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.stress import full_3x3_to_voigt_6_stress, voigt_6_to_full_3x3_stress
from rich.box import SIMPLE
from rich.table import Table

from ase_symcalc.cli.console import output
from ase_symcalc.evaluation import StructureResult
from ase_symcalc.potential_files import PotentialCard
from ase_symcalc.units import EV_PER_CUBIC_ANGSTROM_IN_GPA

ERRORS = (
    ("energy", "meV/atom", 1e3),
    ("forces", "meV/Å", 1e3),
    ("stress", "GPa", EV_PER_CUBIC_ANGSTROM_IN_GPA),
)
ORDER = "xx yy zz yz xz xy"


def labelled(images: Sequence[Atoms], results: Sequence[StructureResult]) -> list[Atoms]:
    """Copy the structures, with their results where ASE's writers look for them."""
    copies = []
    for image, result in zip(images, results, strict=True):
        atoms = image.copy()
        stress = None if result.stress is None else full_3x3_to_voigt_6_stress(result.stress)
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=result.energy,
            energies=result.atomic_energies,
            forces=result.forces,
            stress=stress,
        )
        copies.append(atoms)
    return copies


def print_tables(
    args: argparse.Namespace,
    images: Sequence[Atoms],
    results: Sequence[StructureResult],
    card: PotentialCard,
) -> None:
    """On stdout: one row per structure, then the errors if there are labels."""
    console = output()
    table = Table("image", "formula", box=SIMPLE)
    for title in ("energy / eV", "per atom / eV", "fmax / (eV/Å)", "stress / GPa: " + ORDER):
        table.add_column(title, justify="right")
    for index, (image, result) in enumerate(zip(images, results, strict=True)):
        stress = _voigt_in_gpa(result)
        table.add_row(
            str(index),
            image.get_chemical_formula(),
            f"{result.energy:.6f}",
            f"{result.energy / len(image):.6f}",
            f"{_fmax(result):.5f}",
            "no volume" if stress is None else " ".join(f"{value:7.3f}" for value in stress),
        )
    console.print(table)
    console.print(f"{args.file} with {card.name} {card.version}", markup=False, soft_wrap=True)
    if errors := _errors(images, results):
        table = Table("against its labels", "MAE", "RMSE", "", box=SIMPLE)
        for name, row in errors.items():
            table.add_row(name, f"{row['MAE']:.3f}", f"{row['RMSE']:.3f}", row["unit"])
        console.print(table)


def print_json(
    args: argparse.Namespace,
    images: Sequence[Atoms],
    results: Sequence[StructureResult],
    card: PotentialCard,
) -> None:
    """On stdout: the same, units in the names, stress in the order xx, yy, zz, yz, xz, xy."""
    rows = [
        {
            "formula": image.get_chemical_formula(),
            "n_atoms": len(image),
            "energy_eV": result.energy,
            "fmax_eV_per_angstrom": _fmax(result),
            "stress_GPa": _voigt_in_gpa(result),
        }
        for image, result in zip(images, results, strict=True)
    ]
    summary = {
        "file": str(args.file),
        "potential": {"name": card.name, "version": card.version, "preview": card.preview},
        "images": rows,
        "errors": _errors(images, results),
    }
    print(json.dumps(summary, indent=2, allow_nan=False))


def _fmax(result: StructureResult) -> float:
    assert result.forces is not None  # evaluated with forces
    return float(np.linalg.norm(result.forces, axis=1).max())


def _voigt_in_gpa(result: StructureResult) -> list[float] | None:
    if result.stress is None:
        return None
    return (EV_PER_CUBIC_ANGSTROM_IN_GPA * full_3x3_to_voigt_6_stress(result.stress)).tolist()


def _errors(
    images: Sequence[Atoms], results: Sequence[StructureResult]
) -> dict[str, dict[str, Any]]:
    """Mean absolute and root mean square errors against whatever labels the images carry."""
    differences: dict[str, list[np.ndarray]] = {}
    for image, result in zip(images, results, strict=True):
        for name, label in _labels(image).items():
            if (predicted := getattr(result, name)) is not None:
                size = len(image) if name == "energy" else 1
                differences.setdefault(name, []).append(np.ravel((predicted - label) / size))
    errors = {}
    for name, unit, factor in ERRORS:
        if name in differences:
            error = factor * np.concatenate(differences[name])
            mae, rmse = np.abs(error).mean(), np.sqrt(np.square(error).mean())
            errors[name] = {"MAE": float(mae), "RMSE": float(rmse), "unit": unit}
    return errors


def _labels(image: Atoms) -> dict[str, np.ndarray]:
    """Energy, forces and full stress, as far as the file had them."""
    stored = {} if image.calc is None else image.calc.results
    labels = {name: np.asarray(stored[name]) for name, _, _ in ERRORS if name in stored}
    if "stress" in labels and labels["stress"].shape == (6,):
        labels["stress"] = voigt_6_to_full_3x3_stress(labels["stress"])
    return labels
