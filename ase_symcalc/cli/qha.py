"""``symcalc qha``: thermal expansion and Grüneisen parameters of a crystal."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase_symcalc.cli.options import (
    add_calculator_options,
    add_output_options,
    calculator,
    settle_outputs,
)
from ase_symcalc.cli.vibrating import (
    ForceKeeper,
    add_preparation_options,
    add_supercell_options,
    prepared,
)

if TYPE_CHECKING:
    from ase import Atoms

    from ase_symcalc.apps.qha import QuasiHarmonicResult, VolumeStep

SHOWN = (0.0, 100.0, 300.0, 600.0, 1000.0)
"""K"""


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "qha",
        help="thermal expansion and Grüneisen parameters",
        description="Phonons of a crystal at several volumes, and from their free energies the "
        "quasi-harmonic volume, thermal expansion, bulk modulus and heat capacity at every "
        "temperature, through phonopy.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="of several images, the last")
    add_calculator_options(parser)
    add_preparation_options(parser)
    parser.add_argument(
        "--volumes",
        type=float,
        nargs="+",
        metavar="RATIO",
        help="at least five, as multiples of that of the structure (default: 0.94 to 1.08 by 0.02)",
    )
    parser.add_argument("--pressure", type=float, metavar="GPa", help="default: 0")
    add_supercell_options(parser)
    parser.add_argument("--max-temperature", type=float, metavar="K", help="default: 1000")
    add_output_options(parser, json_name="NAME-qha.json")
    parser.set_defaults(
        run=run, pressure=0.0, min_length=12.0, displacement=0.01, max_temperature=1000.0
    )


def run(args: argparse.Namespace) -> int:
    """Compute thermal expansion; 0 when done, 130 when stopped by Ctrl-C."""
    from ase_symcalc.apps.qha import VOLUMES
    from ase_symcalc.apps.qha_plot import plot_qha
    from ase_symcalc.cli.progress import Progress
    from ase_symcalc.cli.publish import publish
    from ase_symcalc.cli.structure_files import last_image, which_was_taken

    atoms, n_images = last_image(args.file)
    settle_outputs(args, "qha", atoms)
    args.volumes = args.volumes or list(VOLUMES)
    atoms.calc = calculator(args)
    with Progress(quiet=args.quiet) as progress:
        progress.say(*which_was_taken(args.file, n_images))
        forces = ForceKeeper(args, progress)
        try:
            ready = prepared(args, atoms, progress)
            result = _compute(args, ready, forces)
        except KeyboardInterrupt:
            return forces.stopped()
    record = _record(args, atoms, ready, result)
    title = f"{args.file.name}, {record['potential']['name']}"
    publish(
        args,
        record,
        title=f"Thermal expansion of {atoms.get_chemical_formula()} ({args.file.name})",
        rows=_rows(result),
        caption="Free energies, what follows from their minima, and Grüneisen parameters",
        atoms=ready,
        files=[],
        draw=lambda: plot_qha(result, args.plot, title=title),
    )
    return 0


def _compute(args: argparse.Namespace, ready: Atoms, forces: ForceKeeper) -> QuasiHarmonicResult:
    from ase_symcalc.apps.qha import qha

    def show(step: VolumeStep) -> None:
        forces.step(step.forces, f"volume {step.volume + 1} of {step.n_volumes}, ")

    return qha(
        ready,
        volumes=args.volumes,
        pressure=args.pressure,
        supercell=args.supercell,
        min_length=args.min_length,
        displacement=args.displacement,
        max_temperature=args.max_temperature,
        known=forces.known,
        on_step=show,
    )


def _record(
    args: argparse.Namespace, atoms: Atoms, used: Atoms, result: QuasiHarmonicResult
) -> dict[str, Any]:
    from ase_symcalc.apps.record import make_record
    from ase_symcalc.cli.phonons_report import J_PER_MOL, cell_of, settings_of

    settings = {
        **settings_of(args),
        "volumes": args.volumes,
        "pressure_GPa": args.pressure,
        "max_temperature_K": args.max_temperature,
    }
    modes = result.modes
    results = {
        "cell": cell_of(used),
        "volumes_angstrom3_per_atom": result.volumes,
        "static_energy_eV_per_atom": result.energies,
        "lowest_frequency_THz": result.lowest.round(6) + 0.0,
        "stable": result.stable,
        "temperature_K": result.temperatures,
        "volume_angstrom3_per_atom": result.volume,
        "lattice_angstrom": result.lattice,
        "gibbs_energy_eV_per_atom": result.gibbs_energy,
        "volumetric_expansion_per_K": result.thermal_expansion,
        "bulk_modulus_GPa": result.bulk_modulus,
        "heat_capacity_J_per_K_and_mol_of_atoms": J_PER_MOL * result.heat_capacity,
        "gruneisen": result.gruneisen,
        "modes": {
            "q": modes.q.round(6) + 0.0,
            "weight": modes.weights,
            "frequency_THz": modes.frequencies.round(6) + 0.0,
            "gruneisen": modes.parameters.round(6) + 0.0,
        },
        "plot": args.plot,
        "report": args.report,
    }
    record = make_record(
        "qha", atoms=atoms, settings=settings, results=results, calculator=used.calc
    )
    record["warnings"] += result.warnings
    return record


def _rows(result: QuasiHarmonicResult) -> list[tuple[str, str]]:
    """Return a few temperatures, side by side."""
    from ase_symcalc.cli.phonons_report import J_PER_MOL

    places = [at for at, value in enumerate(result.temperatures) if value in SHOWN]

    def column(values: Any, digits: int) -> str:
        return " ".join(f"{values[at]:8.{digits}f}" for at in places)

    rows = [
        ("temperature / K", column(result.temperatures, 0)),
        ("volume / (Å³/atom)", column(result.volume, 4)),
        ("linear expansion / (10⁻⁶/K)", column(1e6 / 3 * result.thermal_expansion, 2)),
        ("bulk modulus / GPa", column(result.bulk_modulus, 1)),
        ("Cp / (J/K per mol of atoms)", column(J_PER_MOL * result.heat_capacity, 2)),
        ("Grüneisen parameter", column(result.gruneisen, 3)),
    ]
    return [*rows, ("volumes used", f"{result.stable.sum()} of {len(result.stable)}")]
