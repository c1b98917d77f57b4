"""What is told of phonons: to a person in rows, to a program in a record."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from ase import Atoms, units

from ase_symcalc.apps.imaginary import imaginary_in_words
from ase_symcalc.apps.phonons import BandSegment, PhononResult
from ase_symcalc.apps.record import make_record

PER_CM = 1e12 * units._c**-1 / 100  # cm⁻¹ in a THz

J_PER_MOL = units.mol / units.J
"""of an eV per particle"""

ROOM_TEMPERATURE = 300.0


def record_of(
    args: argparse.Namespace, atoms: Atoms, used: Atoms, result: PhononResult
) -> dict[str, Any]:
    """Everything that can be known of the phonons afterwards, units in the names."""
    settings = {
        **settings_of(args),
        "max_temperature_K": args.max_temperature,
        "imaginary_THz": args.imaginary,
    }
    thermal = result.thermal
    results = {
        "primitive_cell": cell_of(result.primitive),
        "supercell": result.supercell.T,
        "n_supercell_atoms": result.n_supercell_atoms,
        "n_displacements": result.n_displacements,
        "residual_force_eV_per_angstrom": result.residual_force,
        "gamma_THz": _short(result.gamma),
        "imaginary": [
            {
                "q": _short(mode.q),
                "label": mode.label,
                "frequency_THz": mode.frequency,
                "n_modes": mode.n_modes,
                "fits_supercell": mode.fits_supercell,
            }
            for mode in result.imaginary
        ],
        "bands": [_segment(segment) for segment in result.bands],
        "dos": {
            "frequency_THz": _short(result.dos.frequencies),
            "density_per_THz_and_cell": _short(result.dos.density),
        },
        "thermal": {
            "temperature_K": thermal.temperatures,
            "free_energy_eV_per_atom": thermal.free_energy,
            "entropy_J_per_K_and_mol_of_atoms": J_PER_MOL * thermal.entropy,
            "heat_capacity_J_per_K_and_mol_of_atoms": J_PER_MOL * thermal.heat_capacity,
            "share_of_modes_left_out": thermal.modes_left_out,
        },
        "plot": args.plot,
        "for_phonopy": args.yaml,
        "report": args.report,
    }
    record = make_record(
        "phonons", atoms=atoms, settings=settings, results=results, calculator=used.calc
    )
    record["warnings"] += result.warnings
    if result.imaginary:
        record["warnings"].append(imaginary_in_words(result.imaginary))
    return record


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the commands about force constants were told."""
    return {
        "file": args.file,
        "relax": args.relax,
        "symprec_angstrom": args.symprec,
        "supercell": args.supercell,
        "min_length_angstrom": args.min_length,
        "displacement_angstrom": args.displacement,
        "dtype": args.dtype,
        "symmetry": args.symmetry,
    }


def cell_of(atoms: Atoms) -> dict[str, Any]:
    """Return a structure as plain data."""
    return {
        "symbols": list(atoms.symbols),
        "cell_angstrom": atoms.cell.array,
        "scaled_positions": atoms.get_scaled_positions(),
    }


def rows_of(result: PhononResult) -> list[tuple[str, str]]:
    """Return what fits on a screen."""
    size = f"{result.n_supercell_atoms} atoms, {result.n_displacements} displaced in turn"
    rows = [("supercell", size)]
    for label, frequencies in _corners(result).items():
        rows.append((f"{label} / THz", _in_groups(frequencies)))
    optical = result.gamma[np.abs(result.gamma).argsort()[3:]]
    if len(optical):
        highest = optical.max()
        rows.append(("highest at Γ", f"{highest:.3f} THz = {PER_CM * highest:.1f} cm⁻¹"))
    largest = float(np.abs(result.gamma)[np.abs(result.gamma).argsort()[:3]].max())
    rows.append(("acoustic at Γ / THz", f"{largest:.1e}"))
    rows.append(("imaginary modes", _count(result)))
    thermal = result.thermal
    rows.append(("zero-point energy / (meV/atom)", f"{1000 * thermal.free_energy[0]:.2f}"))
    at = int(np.abs(thermal.temperatures - ROOM_TEMPERATURE).argmin())
    temperature = thermal.temperatures[at]
    for name, values in (("heat capacity", thermal.heat_capacity), ("entropy", thermal.entropy)):
        title = f"{name} at {temperature:g} K / (J/K per mol of atoms)"
        rows.append((title, f"{J_PER_MOL * values[at]:.2f}"))
    return rows


def _corners(result: PhononResult) -> dict[str, np.ndarray]:
    corners = {segment.start.label: segment.frequencies[0] for segment in result.bands}
    return corners | {segment.end.label: segment.frequencies[-1] for segment in result.bands}


def _in_groups(frequencies: np.ndarray) -> str:
    """Write modes that coincide once: "3.30 ×2, 11.22"."""
    shown = [f"{abs(f):.2f}{'i' if f < -0.005 else ''}" for f in frequencies]
    counts = {value: shown.count(value) for value in shown}
    parts = [value + (f" ×{count}" if count > 1 else "") for value, count in counts.items()]
    most = 8
    return ", ".join(parts if len(parts) <= most else [*parts[: most - 1], "…", parts[-1]])


def _count(result: PhononResult) -> str:
    if not result.imaginary:
        return "none"
    worst = result.imaginary[0]
    return f"down to {worst.frequency:.2f}i THz at {worst.label or np.round(worst.q, 3).tolist()}"


def _segment(segment: BandSegment) -> dict[str, Any]:
    return {
        "from": {"label": segment.start.label, "q": _short(segment.start.q)},
        "to": {"label": segment.end.label, "q": _short(segment.end.q)},
        "q": _short(segment.q),
        "distance_per_angstrom": _short(segment.distance),
        "frequency_THz": _short(segment.frequencies),
        "group_speed_km_per_s": np.round(np.linalg.norm(segment.group_velocities, axis=2), 4),
    }


def _short(values: np.ndarray) -> np.ndarray:
    """Drop digits that differ between machines."""
    return np.round(values, 6) + 0.0
