"""``symcalc vibrations``: normal modes of a molecule."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase_symcalc.cli.options import (
    add_calculator_options,
    add_output_options,
    calculator,
    settle_outputs,
)
from ase_symcalc.cli.stopping import Partial, add_resume_option
from ase_symcalc.cli.vibrating import prepared

if TYPE_CHECKING:
    from ase import Atoms

    from ase_symcalc.apps.vibrations import VibrationResult

UNSTABLE = 1

TEMPERATURE = 298.15

AMPLITUDE = 0.3
"""Å, of the atom that moves most in a film"""

FRAMES = 16


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "vibrations",
        help="normal modes of a molecule",
        description="Normal modes of a molecule from exact second derivatives. Intensities are "
        "not computed: the potential knows no charges. Exit code 1 means that modes are "
        "imaginary: the molecule is not at a minimum.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="of several images, the last")
    add_calculator_options(parser)
    parser.add_argument(
        "--relax",
        action="store_const",
        const="positions",
        help="go to the minimum first (default: refuse a structure where forces are left)",
    )
    add_resume_option(parser)
    add_output_options(parser, json_name="NAME-vibrations.json")
    parser.add_argument(
        "--modes",
        type=Path,
        metavar="FILE.xyz",
        help=f"a film of every mode, one after the other, {FRAMES} frames each (default: none)",
    )
    parser.set_defaults(run=run, symprec=None)


def run(args: argparse.Namespace) -> int:
    """Compute normal modes; 0 at a minimum, 1 if not, 130 when stopped by Ctrl-C."""
    from ase_symcalc.apps.vibrations import check_molecule, vibrations
    from ase_symcalc.apps.vibrations_plot import plot_vibrations
    from ase_symcalc.cli.progress import Progress
    from ase_symcalc.cli.publish import publish
    from ase_symcalc.cli.structure_files import (
        check_distinct,
        check_output,
        last_image,
        which_was_taken,
    )
    from ase_symcalc.errors import InputError

    atoms, n_images = last_image(args.file)
    settle_outputs(args, "vibrations", atoms)
    if args.modes:
        if args.modes.suffix not in (".xyz", ".extxyz"):
            raise InputError(f"expected a film ending in .xyz; got --modes {args.modes}")
        check_output(args.modes, args.file)
        check_distinct([args.out, args.plot, args.modes, *filter(None, [args.report])])
    atoms.calc = calculator(args)
    check_molecule(atoms)
    with (
        Partial(args, "vibrations", atoms, _settings(args)) as parts,
        Progress(quiet=args.quiet) as progress,
    ):
        progress.say(*which_was_taken(args.file, n_images))
        try:
            ready = prepared(args, atoms, progress, parts)
            words = f"second derivatives of {len(ready)} atoms"
            result = vibrations(ready, parts=parts, on_step=lambda _: progress.update(words))
        except KeyboardInterrupt:
            return parts.stopped(progress)
    record = _record(args, atoms, ready, result)

    def draw() -> None:
        title = f"{args.file.name}, {record['potential']['name']}"
        plot_vibrations(result, args.plot, title=title)
        if args.modes:
            _write_film(args.modes, result)

    publish(
        args,
        record,
        title=f"Vibrations of {atoms.get_chemical_formula()} ({args.file.name})",
        rows=_rows(result),
        caption="Wavenumbers, and the share of each element in them",
        atoms=ready,
        files=[("modes", args.modes)] if args.modes else [],
        draw=draw,
    )
    parts.discard()
    if result.n_imaginary:
        print(f"symcalc vibrations: {result.warnings[0]}", file=sys.stderr)
        return UNSTABLE
    return 0


def _settings(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "file": args.file,
        "relax": args.relax,
        "dtype": args.dtype,
        "symmetry": args.symmetry,
    }


def _record(
    args: argparse.Namespace, atoms: Atoms, used: Atoms, result: VibrationResult
) -> dict[str, Any]:
    from ase_symcalc.apps.record import make_record
    from ase_symcalc.cli.phonons_report import J_PER_MOL

    entropy, energy = _thermal(result)
    results = {
        "symbols": list(used.symbols),
        "positions_angstrom": used.positions,
        "linear": result.linear,
        "wavenumber_per_cm": result.wavenumbers,
        "energy_meV": 1000 * result.energies,
        "modes": result.modes,
        "n_imaginary": result.n_imaginary,
        "rigid_per_cm": result.rigid,
        "residual_force_eV_per_angstrom": result.residual_force,
        "zero_point_energy_eV": result.zero_point_energy,
        "temperature_K": TEMPERATURE,
        "vibrational_free_energy_eV": energy,
        "vibrational_entropy_J_per_K_and_mol": None if entropy is None else J_PER_MOL * entropy,
        "intensities": None,
        "infrared_silent_by_symmetry": result.silent,
        "plot": args.plot,
        "film": args.modes,
        "report": args.report,
    }
    record = make_record(
        "vibrations",
        atoms=atoms,
        settings=_settings(args),
        results=results,
        calculator=used.calc,
    )
    record["warnings"] += result.warnings
    return record


def _thermal(result: VibrationResult) -> tuple[float | None, float | None]:
    if not (result.energies > 0).any():
        return None, None
    thermo = result.thermochemistry()
    return (
        thermo.get_entropy(TEMPERATURE, verbose=False),
        thermo.get_helmholtz_energy(TEMPERATURE, verbose=False),
    )


def _rows(result: VibrationResult) -> list[tuple[str, str]]:
    from ase_symcalc.cli.phonons_report import J_PER_MOL

    wavenumbers = "\n".join(_written(value, 1) for value in result.wavenumbers)
    energies = "\n".join(_written(1000 * value, 2) for value in result.energies)
    rows = [
        ("kind", "linear" if result.linear else "not linear"),
        ("wavenumbers / cm⁻¹", wavenumbers),
        ("energies / meV", energies),
        ("infrared intensities", "not computed: no dipoles"),
        ("silent in infrared by symmetry / cm⁻¹", _silent(result)),
        ("imaginary modes", str(result.n_imaginary) if result.n_imaginary else "none"),
        ("largest of rigid motions / cm⁻¹", f"{max(abs(result.rigid)):.2f}"),
        ("zero-point energy / eV", f"{result.zero_point_energy:.4f}"),
    ]
    entropy, energy = _thermal(result)
    if entropy is not None and energy is not None:
        rows.append((f"vibrational free energy at {TEMPERATURE} K / eV", f"{energy:.4f}"))
        title = f"vibrational entropy at {TEMPERATURE} K / (J/K/mol)"
        rows.append((title, f"{J_PER_MOL * entropy:.2f}"))
    return rows


def _silent(result: VibrationResult) -> str:
    if result.silent is None:
        return "symmetry not told"
    silent = result.wavenumbers[result.silent]
    return "\n".join(_written(value, 1) for value in silent) if len(silent) else "none"


def _written(value: float, digits: int) -> str:
    return f"{abs(value):.{digits}f}{'i' if value < 0 else ''}"


def _write_film(path: Path, result: VibrationResult) -> None:
    import numpy as np
    from ase import Atoms
    from ase.io import write

    images = []
    for number, (wavenumber, mode) in enumerate(
        zip(result.wavenumbers, result.modes, strict=True), start=1
    ):
        reach = AMPLITUDE / np.linalg.norm(mode, axis=1).max()
        for phase in 2 * np.pi * np.arange(FRAMES) / FRAMES:
            positions = result.atoms.positions + reach * np.sin(phase) * mode
            info = {"mode": number, "wavenumber_per_cm": float(wavenumber)}
            images.append(Atoms(result.atoms.numbers, positions, info=info))
    write(path, images, format="extxyz")
