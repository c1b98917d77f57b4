"""The course of a run: from the start or a restart, step by step, to a result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import CalculatorError, PropertyNotImplementedError

from ase_symcalc.apps.md_ensembles import (
    Integrator,
    draw_momenta,
    preserves_rigid_motion,
    without_rigid_motion,
)
from ase_symcalc.apps.md_files import COLUMNS, RunFiles
from ase_symcalc.apps.md_result import MDResult, MDStep, Plan
from ase_symcalc.errors import InputError, NumericalError, SymCalcError
from ase_symcalc.units import EV_PER_CUBIC_ANGSTROM_IN_GPA

HOTTEST = 10.0
"""A run has exploded when it is so many times hotter than its start, its target and `WARM`."""

WARM = 1000.0  # K

FURTHEST = 50.0  # Å beyond the size of the start, where nothing repeats

LARGEST = 4.0  # times the volume of the start, or its inverse

SAME_ENERGY = 1e-5  # eV per atom, between two machines that calculate the same


class Run:
    """A structure on its way; see `md` for the arguments."""

    def __init__(
        self,
        atoms: Atoms,
        plan: Plan,
        files: RunFiles | None,
        *,
        seed: int,
        new_velocities: bool,
        resume: bool,
        uncertainty: bool,
    ) -> None:
        self._uncertain = uncertainty
        self.plan, self.files = plan, files
        self.step, self.resumed_from = 0, None
        self._rows: list[tuple[int | float | None, ...]] = []
        self.atoms = atoms.copy()
        self.atoms.calc = atoms.calc
        self._rng = np.random.default_rng(seed)
        self._bounds = _Bounds(atoms, plan)
        found = files.read_restart() if files and resume else None
        if found is None:
            if files:
                files.check_free()
            self.atoms.set_momenta(self._first_momenta(new_velocities))
        else:
            self._check_same(*found)
            self._place(found[1])
        temperature, pressure = plan.targets(0)
        self._integrator = Integrator(
            self.atoms,
            ensemble=plan.ensemble,
            timestep=plan.timestep,
            temperature=temperature,
            pressure=pressure,
            thermostat_time=plan.thermostat_time,
            barostat_time=plan.barostat_time,
            rng=self._rng,
        )
        self._bounds.allow(self._temperature())
        if found is not None:
            self._go_back(*found)

    def go(self) -> Iterator[MDStep]:
        """Run, and yield what was logged, after it was written.

        Raises
        ------
        InputError
            If the calculator gives another energy than before the restart.
        NumericalError
            If the run explodes.
        OSError
            As `RunFiles.write`.
        """
        if self.resumed_from is None:
            self._check_sound(0)
        if self.files:
            self.files.open()
        if self.resumed_from is None:
            yield self._log()
        for step in range(self.step + 1, self.plan.steps + 1):
            self._integrator.aim(*self.plan.targets(step))
            self._advance(step)
            self.step = step
            if step % self.plan.every == 0:
                yield self._log()

    def close(self) -> None:
        """Close the files."""
        if self.files:
            self.files.close()

    def result(self, stopped: bool) -> MDResult:
        """All that was logged, of the steps before a restart too."""
        rows = self.files.rows() if self.files else np.array(self._rows, dtype=np.float64)
        column = dict(zip(COLUMNS, np.ascontiguousarray(rows.T), strict=True))
        optional = {name: None if np.isnan(v).all() else v for name, v in column.items()}
        return MDResult(
            atoms=self.atoms,
            ensemble=self.plan.ensemble,
            timestep=self.plan.timestep,
            steps=self.step,
            stopped=stopped,
            resumed_from=self.resumed_from,
            degrees_of_freedom=self._integrator.degrees_of_freedom,
            times=column["time_fs"],
            temperatures=column["temperature_K"],
            potential=column["potential_eV"],
            kinetic=column["kinetic_eV"],
            conserved=optional["conserved_eV"],
            pressures=optional["pressure_GPa"],
            volumes=optional["volume_A3"],
            uncertainties=optional["force_error_eV_per_A"],
        )

    def _first_momenta(self, new: bool) -> np.ndarray:
        momenta = self.atoms.get_momenta()
        ensemble = self.plan.ensemble
        if new or not momenta.any():
            temperature, _ = self.plan.targets(0)
            return draw_momenta(
                self.atoms, ensemble=ensemble, temperature=temperature, rng=self._rng
            )
        if preserves_rigid_motion(self.atoms, ensemble):
            return without_rigid_motion(self.atoms, momenta)
        return momenta

    def _check_same(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        """Refuse to go on with the run of another plan or structure."""
        restart = self.files and self.files.restart
        then, now = header["settings"], self.plan.settings()
        for name in sorted(then.keys() | now.keys()):
            if then.get(name) != now.get(name):
                raise InputError(
                    f"the run in {restart} has {name} {then.get(name)}, asked for is "
                    f"{now.get(name)}; resume it with the same, or start another one"
                )
        for name, mine in _identity(self.atoms).items():
            if not np.array_equal(arrays[name], mine):
                raise InputError(
                    f"the run in {restart} has other {name} than this structure; resume it with "
                    "the file it was started from"
                )
        if header["step"] > self.plan.steps:
            raise InputError(
                f"the run in {restart} has {header['step']} steps behind it, more than the "
                f"{self.plan.steps} asked for; ask for at least as many"
            )

    def _place(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.atoms.positions[:] = arrays["positions"]
        self.atoms.cell[:] = arrays["cell"]
        self.atoms.set_momenta(arrays["momenta"], apply_constraint=False)

    def _go_back(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
        self.step = self.resumed_from = header["step"]
        self._rng.bit_generator.state = header["rng"]
        self._integrator.restore(arrays, *self.plan.targets(self.step))
        energy = self.atoms.get_potential_energy()
        if not abs(energy - header["potential"]) <= SAME_ENERGY * len(self.atoms):
            raise InputError(
                f"the calculator gives {energy:.6f} eV for step {self.step}, the run had "
                f"{header['potential']:.6f} eV there; resume it with the same potential and "
                "settings"
            )

    def _advance(self, step: int) -> None:
        try:
            with np.errstate(all="ignore"):  # what overflows is seen below
                self._integrator.step()
        except (CalculatorError, SymCalcError) as error:
            raise NumericalError(self._in_words(step, str(error))) from error
        except Exception as error:  # calculators answer in many ways to what is not a number
            if np.isfinite(self.atoms.positions).all():
                raise
            raise NumericalError(
                self._in_words(step, "positions are not numbers any more")
            ) from error
        self._check_sound(step)

    def _check_sound(self, step: int) -> None:
        energy = self.atoms.get_potential_energy()
        why = self._bounds.broken(self.atoms, energy, self._temperature())
        if why:
            raise NumericalError(self._in_words(step, why))

    def _in_words(self, step: int, why: str) -> str:
        words = f"step {step}: {why}; the run ends here. "
        if self.files and self.files.last_step is not None:
            words += f"{self.files.trajectory} is whole up to step {self.files.last_step}. "
        return words + (
            f"Try a timestep shorter than {self.plan.timestep:g} fs, a lower temperature, or a "
            "start nearer to a minimum (relax it first)"
        )

    def _temperature(self) -> float:
        freedom = self._integrator.degrees_of_freedom
        return float(2 * self.atoms.get_kinetic_energy() / (freedom * units.kB))

    def _log(self) -> MDStep:
        step = MDStep(
            step=self.step,
            time=self.step * self.plan.timestep,
            temperature=self._temperature(),
            potential=float(self.atoms.get_potential_energy()),
            kinetic=float(self.atoms.get_kinetic_energy()),
            conserved=self._integrator.conserved(),
            pressure=_pressure(self.atoms),
            volume=float(self.atoms.get_volume()) if _is_bulk(self.atoms) else None,
            uncertainty=self._largest_error(),
            atoms=self.atoms,
        )
        row = (
            step.step,
            step.time,
            step.temperature,
            step.potential,
            step.kinetic,
            step.potential + step.kinetic,
            step.conserved,
            step.pressure,
            step.volume,
            step.uncertainty,
        )
        if self.files is None:
            self._rows.append(row)
            return step
        self.atoms.info.update(step=step.step, time_fs=step.time)
        header = {
            "settings": self.plan.settings(),
            "potential": step.potential,
            "rng": self._rng.bit_generator.state,
        }
        moving = {
            "positions": self.atoms.positions,
            "momenta": self.atoms.get_momenta(),
            "cell": self.atoms.cell.array,
        }
        arrays = {**_identity(self.atoms), **moving, **self._integrator.state()}
        self.files.write(self.atoms, row, header, arrays)
        return step

    def _largest_error(self) -> float | None:
        if not self._uncertain or self.atoms.calc is None:
            return None
        return float(self.atoms.calc.get_uncertainty(self.atoms).max())


class _Bounds:
    """Beyond which a run has exploded."""

    def __init__(self, start: Atoms, plan: Plan) -> None:
        self.hottest = HOTTEST * max(WARM, *plan.temperature)
        along = np.linalg.svd(start.cell.array[start.pbc])[2]
        self._across = along[start.pbc.sum() :].T  # columns: where nothing repeats
        self.furthest = self._spread(start).max() + FURTHEST
        self.volume = start.get_volume() if _is_bulk(start) else None

    def allow(self, temperature: float) -> None:
        """Take the temperature (K) of the start for a possible one."""
        self.hottest = max(self.hottest, HOTTEST * temperature)

    def broken(self, atoms: Atoms, energy: float, temperature: float) -> str:
        """Say what is wrong, in words; nothing if all is well."""
        if not (np.isfinite([energy, temperature]).all() and np.isfinite(atoms.positions).all()):
            return f"the energy is {energy} eV at {temperature:.6g} K"
        if temperature > self.hottest:
            return f"the temperature rose to {temperature:.3g} K"
        spread = self._spread(atoms)
        if spread.max() > self.furthest:
            atom = int(spread.argmax())
            return f"atom {atom} ({atoms.symbols[atom]}) is {spread[atom]:.3g} Å from the others"
        if self.volume is not None:
            growth = atoms.get_volume() / self.volume
            if not 1 / LARGEST < growth < LARGEST:
                what = "boiled" if growth > 1 else "collapsed"
                return f"it has {what}: the volume is {growth:.2g} times that of the start"
        return ""

    def _spread(self, atoms: Atoms) -> np.ndarray:
        """Distances (Å) from the midst, across what repeats."""
        places = atoms.positions @ self._across
        return np.linalg.norm(places - np.median(places, axis=0), axis=1)


def _identity(atoms: Atoms) -> dict[str, np.ndarray]:
    return {"numbers": atoms.numbers, "masses": atoms.get_masses(), "pbc": atoms.pbc}


def _is_bulk(atoms: Atoms) -> bool:
    return bool(atoms.pbc.all() and atoms.cell.rank == 3)


def _pressure(atoms: Atoms) -> float | None:
    """GPa, the motion of the atoms included."""
    if not _is_bulk(atoms):
        return None
    try:
        stress = atoms.get_stress(voigt=False, include_ideal_gas=True)
    except PropertyNotImplementedError:
        return None
    return float(-np.trace(stress) / 3) * EV_PER_CUBIC_ANGSTROM_IN_GPA
