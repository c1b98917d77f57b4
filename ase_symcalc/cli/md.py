"""``symcalc md``: molecular dynamics from a structure file, and what it shows."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ase_symcalc.cli.options import (
    add_calculator_options,
    add_output_options,
    calculator,
    settle_outputs,
)
from ase_symcalc.cli.stopping import INTERRUPTED, with_resume

if TYPE_CHECKING:
    from ase import Atoms

    from ase_symcalc.apps.md import MDResult, MDStep
    from ase_symcalc.cli.md_report import Analysis
    from ase_symcalc.cli.progress import Progress

DRIFTED = UNSURE = 1

DAY = 86400.0

DEFAULTS = {
    "ensemble": "nvt",
    "time": 10.0,
    "pressure": 0.0,
    "thermostat_time": 100.0,
    "barostat_time": 1000.0,
    "every": 10,
    "seed": 0,
}


def add_parser(subparsers: Any) -> None:
    """Add the command to those of ``symcalc``."""
    parser = subparsers.add_parser(
        "md",
        help="molecular dynamics",
        description="Let the atoms move, and draw temperature, energies, radial distribution and "
        "mean-square displacement, with diffusion coefficients. A run that was killed goes on "
        "exactly where it was when the command is given again with --resume. Exit code 1 means "
        "that the conserved energy drifted too far, or that --stop-above ended the run.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="of several images, the last")
    parser.add_argument(
        "--temperature",
        type=_ramp,
        required=True,
        metavar="K",
        help="or 300:900 for a ramp over the run; with nve that of the first velocities",
    )
    parser.add_argument(
        "--ensemble",
        choices=("nve", "nvt", "nvt-langevin", "nvt-nose-hoover", "npt", "npt-cell"),
        help="nvt is Bussi's thermostat; npt changes the volume, npt-cell all of the cell "
        "(default: nvt)",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, metavar="N", help="of the whole run")
    length.add_argument("--time", type=float, metavar="PS", help="of the whole run (default: 10)")
    parser.add_argument(
        "--timestep", type=float, metavar="FS", help="default: 0.5 to 2, by the lightest element"
    )
    parser.add_argument(
        "--pressure", type=_ramp, metavar="GPa", help="with npt; 0:10 for a ramp (default: 0)"
    )
    parser.add_argument(
        "--thermostat-time", type=float, metavar="FS", help="how fast it acts (default: 100)"
    )
    parser.add_argument(
        "--barostat-time", type=float, metavar="FS", help="how fast it acts (default: 1000)"
    )
    parser.add_argument(
        "--every", type=int, metavar="N", help="steps between two frames (default: 10)"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of all chance (default: 0)")
    parser.add_argument(
        "--new-velocities",
        action="store_true",
        help="draw them even if FILE has some (default: keep those it has)",
    )
    parser.add_argument(
        "--supercell", type=int, nargs=3, metavar="N", help="multiples of the cell in FILE"
    )
    parser.add_argument(
        "--trajectory",
        type=Path,
        metavar="FILE.traj",
        help="or .extxyz, or .xyz; a log and a restart file get its name with .csv and .restart "
        "(default: NAME-md.traj)",
    )
    parser.add_argument(
        "--uncertainty",
        action="store_true",
        help="log the largest force error that is expected, at each frame",
    )
    parser.add_argument(
        "--stop-above",
        type=float,
        metavar="eV/Å",
        help="end the run where that exceeds so much (asks for --uncertainty)",
    )
    parser.add_argument("--resume", action="store_true", help="go on with the run that is there")
    add_calculator_options(parser)
    add_output_options(parser, json_name="NAME-md.json")
    parser.set_defaults(run=run, **DEFAULTS)


def run(args: argparse.Namespace) -> int:
    """Run; 0 when done, 1 when the energy drifted away, 130 when stopped by Ctrl-C."""
    from ase_symcalc.cli.md_report import analyse
    from ase_symcalc.cli.progress import Progress
    from ase_symcalc.cli.structure_files import last_image, which_was_taken

    atoms, n_images = last_image(args.file)
    _settle(args, atoms)
    atoms = atoms.repeat(args.supercell) if args.supercell else atoms
    steps = _steps(args, atoms)
    atoms.calc = calculator(args)
    with Progress(quiet=args.quiet) as progress:
        progress.say(*which_was_taken(args.file, n_images))
        progress.say(*_about_the_start(args, atoms, steps))
        watch = _Watch(progress, steps, args.stop_above)
        try:
            result = _move(args, atoms, steps, watch)
        except KeyboardInterrupt:
            progress.say(_how_to_resume(args, watch.last))
            return INTERRUPTED
        progress.say(
            f"the run is complete; reading {args.trajectory} back for distances and displacements"
        )
        try:
            analysis = analyse(args, result)
        except KeyboardInterrupt:
            progress.say(_how_to_analyse(args, result))
            return INTERRUPTED
    _tell(args, atoms, result, analysis)
    return _verdict(args, result)


def _move(args: argparse.Namespace, atoms: Atoms, steps: int, watch: _Watch) -> MDResult:
    from ase_symcalc.apps.md import md

    return md(
        atoms,
        steps=steps,
        temperature=args.temperature,
        ensemble=args.ensemble,
        timestep=args.timestep,
        pressure=args.pressure,
        thermostat_time=args.thermostat_time,
        barostat_time=args.barostat_time,
        seed=args.seed,
        new_velocities=args.new_velocities,
        every=args.every,
        trajectory=args.trajectory,
        resume=args.resume,
        uncertainty=args.uncertainty or args.stop_above is not None,
        on_step=watch.show,
    )


def _tell(args: argparse.Namespace, atoms: Atoms, result: MDResult, analysis: Analysis) -> None:
    """Write and print what the run shows."""
    from ase_symcalc.apps.md_plot import plot_md
    from ase_symcalc.cli.md_report import record_of, rows_of
    from ase_symcalc.cli.publish import publish

    record = record_of(args, atoms, result, analysis)
    title = f"{args.file.name}, {args.ensemble}, {record['potential']['name']}"
    publish(
        args,
        record,
        title=f"Molecular dynamics of {atoms.get_chemical_formula()} ({args.file.name})",
        rows=rows_of(result, analysis),
        caption="Course of the run; radial distribution and mean-square displacement",
        atoms=result.atoms,
        files=[
            ("trajectory", args.trajectory),
            ("log", args.trajectory.with_suffix(".csv")),
            ("restart", args.trajectory.with_suffix(".restart")),
        ],
        draw=lambda: plot_md(
            result, args.plot, radial=analysis.radial, spread=analysis.spread, title=title
        ),
    )


def _verdict(args: argparse.Namespace, result: MDResult) -> int:
    """Say what is wrong with a run, if something is."""
    from ase_symcalc.cli.md_report import too_far

    if result.stopped and result.uncertainties is not None:
        print(
            f"symcalc md: stopped at step {result.steps}: a force is expected to be off by "
            f"{result.uncertainties[-1]:.3g} eV/Å, more than {args.stop_above:g}",
            file=sys.stderr,
        )
        return UNSURE
    if words := too_far(result):
        print(f"symcalc md: {words}", file=sys.stderr)
        return DRIFTED
    return 0


class _Watch:
    """The live line of a run."""

    def __init__(self, progress: Progress, steps: int, most: float | None) -> None:
        self.progress, self.steps, self.most = progress, steps, most
        self.first: tuple[float, MDStep] | None = None
        self.last: int | None = None

    def show(self, step: MDStep) -> bool:
        """Show a step; whether to stop there."""
        self.first = self.first or (time.monotonic(), step)
        self.last = step.step
        words = f"{step.time / 1000:.3f} ps  {step.temperature:.0f} K  {step.potential:.4f} eV"
        words += f"  kinetic {step.kinetic:.4f} eV"
        if step.uncertainty is not None:
            words += f"  force error {step.uncertainty:.3f} eV/Å"
        begun, first = self.first
        if step.conserved is not None and first.conserved is not None:
            drift = 1000 * (step.conserved - first.conserved) / len(step.atoms)
            words += f"  drift {drift:+.3f} meV/atom"
        if step.time > first.time:
            rate = (step.time - first.time) / 1000 / (time.monotonic() - begun) * DAY
            words += f"  {rate:.3g} ps/day"
        self.progress.bar(step.step, self.steps, words)
        if self.most is None or step.uncertainty is None:
            return False
        return step.uncertainty > self.most


def _ramp(text: str) -> float | tuple[float, float]:
    try:
        numbers = [float(word) for word in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2):
        raise argparse.ArgumentTypeError(
            f"expected a number, or two for a ramp such as 300:900, got {text!r}"
        )
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def _settle(args: argparse.Namespace, atoms: Atoms) -> None:
    """Check the arguments that need no calculator, and all names of files."""
    from ase_symcalc.apps.md_files import RunFiles
    from ase_symcalc.cli.structure_files import (
        check_distinct,
        check_output,
        is_trajectory_name,
    )
    from ase_symcalc.errors import InputError

    settle_outputs(args, "md", atoms)
    if args.supercell and min(args.supercell) < 1:
        raise InputError(f"expected multiples of the cell of 1 or more, got {args.supercell}")
    if args.trajectory is None:
        path = Path(f"{args.file.stem}-md.traj")
        args.trajectory = path if is_trajectory_name(path) else Path("md.traj")
    files = RunFiles(args.trajectory)
    if files.trajectory.suffix == ".traj" and not is_trajectory_name(files.trajectory):
        raise InputError(f"ASE would take {files.trajectory} for another format; rename it")
    names = [files.trajectory, files.log, files.restart]
    for path in names:
        check_output(path, args.file)
    check_distinct([*names, *filter(None, (args.out, args.plot, args.report))])
    if not args.resume:
        files.check_free()


def _steps(args: argparse.Namespace, atoms: Atoms) -> int:
    """Fill in the timestep, and count."""
    from ase_symcalc.apps.md import default_timestep
    from ase_symcalc.errors import InputError

    args.timestep = default_timestep(atoms) if args.timestep is None else args.timestep
    if args.steps is not None:
        return args.steps
    steps = args.time * 1000 / args.timestep if args.timestep > 0 else 0
    if not 0 <= steps < 1e12:
        raise InputError(f"expected a time of 0 ps or more, got {args.time}")
    return round(steps)


def _about_the_start(args: argparse.Namespace, atoms: Atoms, steps: int) -> list[str]:
    from ase_symcalc.apps.md import longest_timestep

    lightest = atoms.symbols[int(atoms.get_masses().argmin())]
    said = [
        f"{len(atoms)} atoms; timestep {args.timestep:g} fs, the lightest element is {lightest}; "
        f"{steps} steps are {steps * args.timestep / 1000:g} ps"
    ]
    if args.timestep > (longest := longest_timestep(atoms)):
        said.append(
            f"warning: {args.timestep:g} fs is long for {lightest}; beyond {longest:.1f} fs its "
            "fastest vibrations are followed poorly"
        )
    if atoms.get_momenta().any() and not args.new_velocities and not args.resume:
        said.append(f"keeping the velocities of {args.file}; --new-velocities draws others")
    return said


def _how_to_resume(args: argparse.Namespace, last: int | None) -> str:
    if last is None:
        return "stopped before the first step; nothing was written"
    return (
        f"stopped; everything up to step {last} is in {args.trajectory}. To go on: "
        f"{with_resume(args)}"
    )


def _how_to_analyse(args: argparse.Namespace, result: MDResult) -> str:
    log = args.trajectory.with_suffix(".csv")
    return (
        f"stopped while distances and displacements were computed; the run itself is complete: "
        f"{result.steps} steps are in {args.trajectory} and {log}. To see what they show: "
        f"{with_resume(args)}"
    )
