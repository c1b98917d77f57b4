"""Molecular dynamics with any ASE calculator, that a kill does not end."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from ase import Atoms
from ase.calculators.calculator import PropertyNotImplementedError
from ase.constraints import FixAtoms, FixCartesian

from ase_symcalc.apps.md_ensembles import ENSEMBLES
from ase_symcalc.apps.md_files import RunFiles
from ase_symcalc.apps.md_result import MDResult as MDResult
from ase_symcalc.apps.md_result import MDStep as MDStep
from ase_symcalc.apps.md_result import Plan
from ase_symcalc.apps.md_run import Run
from ase_symcalc.errors import InputError

HYDROGEN = 1.008  # amu

Ramp = float | Sequence[float]


def md(
    atoms: Atoms,
    *,
    steps: int,
    temperature: Ramp,
    ensemble: str = "nvt",
    timestep: float | None = None,
    pressure: Ramp = 0.0,
    thermostat_time: float = 100.0,
    barostat_time: float = 1000.0,
    seed: int = 0,
    new_velocities: bool = False,
    every: int = 10,
    trajectory: str | Path | None = None,
    resume: bool = False,
    uncertainty: bool = False,
    on_step: Callable[[MDStep], object] | None = None,
) -> MDResult:
    """Let the atoms move.

    Parameters
    ----------
    atoms : Atoms
        With a calculator attached, any one. Not changed. Atoms may be fixed by `FixAtoms` or
        `FixCartesian`, except at constant pressure.
    steps : int
        Of the whole run, those before a ``resume`` included.
    temperature : float or two float, K
        Of the thermostat; a pair is passed through from first to second, linearly over the
        run. With "nve" that of the initial velocities only: from a crystal at rest about half
        of it is left once the potential energy has its share.
    ensemble : {"nve", "nvt", "nvt-langevin", "nvt-nose-hoover", "npt", "npt-cell"}
        "nvt" is Bussi's stochastic velocity rescaling, which hardly disturbs diffusion. "npt"
        lets the volume change and "npt-cell" all of the cell, which is for solids.
    timestep : float, fs, optional
        `default_timestep` if left out.
    pressure : float or two float, GPa
        At constant pressure; a pair likewise.
    thermostat_time, barostat_time : float, fs
        How fast the baths act: 1/friction for Langevin.
    seed : int
        Of initial velocities and stochastic thermostats.
    new_velocities : bool
        Draw them even if the structure has some. Those it has are kept, but for the drift of
        the whole, and the turning of a molecule, where the ensemble would keep it for ever.
    every : int
        Steps between frames, rows of the log, and calls of ``on_step``.
    trajectory : path, optional
        Frames with forces and momenta, never wrapped into the cell: .traj is exact, .xyz and
        .extxyz are text. Beside it a log with .csv and a restart file with .restart. All are
        complete up to the last multiple of ``every`` whenever the run is killed.
    resume : bool
        Go on with a run that was killed, or with one that is done for more steps. It goes
        exactly as if it had not stopped, in every ensemble, as far as the calculator gives
        the same forces again. Starts one if there is none.
    uncertainty : bool
        Ask the calculator how far forces are expected to be off whenever a frame is written,
        by its ``get_uncertainty``, as `SymCalc` has it; the largest goes into the log.
    on_step : callable, optional
        Receives an `MDStep`, the start included, after it was written. The run ends where it
        returns True.

    Returns
    -------
    MDResult

    Raises
    ------
    InputError
        If an argument has no meaning, for a structure the ensemble cannot move, if files of
        another run are in the way, or if the run to resume was another.
    NumericalError
        If the run explodes: something is not a number, far too hot, or atoms are lost.
    OSError
        If the disk is full, say. As after `NumericalError`, what was written is whole.

    Notes
    -----
    The integrators are those of ASE: velocity Verlet; Langevin after Vanden-Eijnden and
    Ciccotti, Chem. Phys. Lett. 429, 310 (2006); Bussi, Donadio and Parrinello, J. Chem. Phys.
    126, 014101 (2007); Nosé-Hoover chains and barostats after Martyna, Tobias and Klein, J.
    Chem. Phys. 101, 4177 (1994). Changing a target changes the energy of the baths; the
    conserved quantity leaves these jumps out, so that it shows the timestep's error alone.
    """
    plan = Plan(
        ensemble=ensemble,
        timestep=default_timestep(atoms) if timestep is None else float(timestep),
        temperature=_ends(temperature, "temperature"),
        pressure=_ends(pressure, "pressure"),
        thermostat_time=float(thermostat_time),
        barostat_time=float(barostat_time),
        every=every,
        steps=steps,
    )
    _check_structure(atoms, ensemble)
    _check_plan(plan)
    if uncertainty and not hasattr(atoms.calc, "get_uncertainty"):
        raise InputError(
            f"{type(atoms.calc).__name__} does not say how far its forces may be off; leave "
            "uncertainty out, or use SymCalc"
        )
    if resume and trajectory is None:
        raise InputError("to resume a run, name its trajectory")
    files = None if trajectory is None else RunFiles(Path(trajectory))
    run = Run(
        atoms,
        plan,
        files,
        seed=seed,
        new_velocities=new_velocities,
        resume=resume,
        uncertainty=uncertainty,
    )
    stopped = False
    try:
        for step in run.go():
            stopped = on_step is not None and bool(on_step(step))
            if stopped:
                break
    finally:
        run.close()
    return run.result(stopped)


def default_timestep(atoms: Atoms) -> float:
    """Half of `longest_timestep` in steps of 0.5 fs, at least 0.5 fs and up to 2 fs."""
    return min(2.0, 0.5 * max(1, math.floor(longest_timestep(atoms))))


def longest_timestep(atoms: Atoms) -> float:
    """Timestep (fs) beyond which the fastest vibrations are followed poorly.

    1 fs for hydrogen, and longer as the root of the lightest mass: that is how periods grow.
    """
    return float(math.sqrt(atoms.get_masses().min(initial=math.inf) / HYDROGEN))


def _ends(ramp: Ramp, name: str) -> tuple[float, float]:
    try:
        ends = [float(end) for end in (ramp if isinstance(ramp, Sequence) else (ramp, ramp))]
    except (TypeError, ValueError):
        ends = []
    if len(ends) != 2:
        raise InputError(
            f"expected a {name} as a number, or as two for a ramp from first to last; got {ramp!r}"
        )
    return ends[0], ends[1]


def _check_structure(atoms: Atoms, ensemble: str) -> None:
    if len(atoms) < 2:
        raise InputError(
            f"expected at least two atoms that can move against each other, got {len(atoms)}"
        )
    if atoms.calc is None:
        raise InputError(
            "the structure has no calculator; attach one first: atoms.calc = SymCalc()"
        )
    if not atoms.get_masses().min() > 0:
        raise InputError("expected masses above zero; set them with atoms.set_masses")
    if ensemble not in ENSEMBLES:
        known = ", ".join(ENSEMBLES)
        raise InputError(f"there is no ensemble {ensemble!r}; choose one of {known}")
    _check_constraints(atoms, ensemble)
    if ensemble.startswith("npt"):
        _check_pressable(atoms)


def _check_constraints(atoms: Atoms, ensemble: str) -> None:
    for constraint in atoms.constraints:
        name = type(constraint).__name__
        if ensemble.startswith("npt"):
            raise InputError(
                f"at constant pressure no atom can be fixed, but the structure has {name}; "
                "remove it (atoms.set_constraint()), or keep the cell"
            )
        if not isinstance(constraint, FixAtoms | FixCartesian):
            raise InputError(
                f"atoms can be fixed by FixAtoms and FixCartesian; the structure has {name}. "
                "Remove it: atoms.set_constraint()"
            )
    if atoms.get_number_of_degrees_of_freedom() < 1:
        raise InputError("all atoms are fixed; free at least one")


def _check_pressable(atoms: Atoms) -> None:
    if not atoms.pbc.all() or atoms.cell.rank < 3:
        raise InputError(
            "constant pressure needs a structure that repeats along all three directions; got "
            f"pbc {atoms.pbc.tolist()}. Keep the cell (nvt), or set pbc"
        )
    try:
        atoms.get_stress()
    except PropertyNotImplementedError as error:
        raise InputError(
            "constant pressure needs the stress, which this calculator does not compute "
            f"({error}); keep the cell (nvt)"
        ) from error


def _check_plan(plan: Plan) -> None:
    if plan.steps < 0 or plan.every < 1:
        raise InputError(
            f"expected 0 or more steps, logged every 1 or more; got {plan.steps} and {plan.every}"
        )
    for name in ("timestep", "thermostat_time", "barostat_time"):
        value = getattr(plan, name)
        if not 0 < value < math.inf:
            raise InputError(f"expected a {name.replace('_', ' ')} above 0 fs, got {value}")
    if not all(map(math.isfinite, plan.pressure)):
        raise InputError(f"expected a finite pressure in GPa, got {plan.pressure}")
    still = plan.ensemble == "nve"
    if not all(0 <= t < math.inf and (still or t > 0) for t in plan.temperature):
        raise InputError(f"expected a temperature above 0 K, got {plan.temperature}")
    if still and plan.temperature[0] != plan.temperature[1]:
        raise InputError(
            "without a thermostat the temperature takes its own course; a ramp needs one, such "
            "as nvt"
        )
    if not plan.ensemble.startswith("npt") and plan.pressure != (0.0, 0.0):
        raise InputError(
            f"a pressure needs a cell that changes: npt or npt-cell, got {plan.ensemble}"
        )
