"""The images of a path on their way down, and up to the saddle."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io.trajectory import Trajectory
from ase.mep import NEB
from ase.optimize import FIRE
from ase.optimize.ode import ode12r
from ase.optimize.sciopt import OptimizerConvergenceError
from jaxtyping import Float64

from ase_symcalc.calculator import SymCalc
from ase_symcalc.errors import NumericalError

OPTIMIZERS = ("ODE", "FIRE")

Stage = Literal["first end", "last end", "path", "climbing", "saddle"]
ENDS: tuple[Stage, Stage] = ("first end", "last end")

SPRING = 0.1
"""eV/Å²; with improved tangents springs only space the images, and the path is the same."""

TOLERANCE = 0.1
"""Å, error of an adaptive step; what `ase.mep.neb.NEBOptimizer` takes."""


class Band:
    """Images between two fixed ends.

    Parameters
    ----------
    images : sequence of Atoms
        Ends included. Changed.
    calculator : ase.calculators.calculator.Calculator
        A `SymCalc` gives each image its own, which shares the weights: neighbour lists and
        symmetry then last from step to step, and 5 images of 107 atoms take two thirds of the
        time that one calculator for all takes, or a batch. Others are shared.
    optimizer : {"ODE", "FIRE"}
    trajectory : path or None
        Holds the latest path; replaced as a whole after each step.
    on_step : callable
        Receives stage, number of the step in it, largest force (eV/Å) and energies (eV).
    """

    def __init__(
        self,
        images: Sequence[Atoms],
        calculator: Any,
        optimizer: str,
        trajectory: str | Path | None,
        on_step: Callable[[Stage, int, float, np.ndarray], None],
    ) -> None:
        for image in images:
            image.calc = (
                copy.deepcopy(calculator) if isinstance(calculator, SymCalc) else calculator
            )
        for end in (images[0], images[-1]):  # a shared calculator would do them at every step
            end.calc = SinglePointCalculator(
                end,
                energy=end.get_potential_energy(),
                forces=end.get_forces(apply_constraint=False),
            )
        self._neb = _Forces(
            list(images), k=SPRING, method="improvedtangent", allow_shared_calculator=True
        )
        self._optimizer, self._on_step = optimizer, on_step
        self._trajectory = None if trajectory is None else Path(trajectory)
        self.images: list[Atoms] = []
        """The path after the latest step, with energies and forces attached."""
        self.steps = 0
        self.fmax = np.inf
        """eV/Å, after the latest step"""

    def descend(self, stage: Stage, fmax: float, max_steps: int) -> bool:
        """Move the images until no force across the path exceeds ``fmax``, eV/Å.

        When climbing, the highest one goes uphill along the path.

        Returns
        -------
        bool
            Whether they came to rest.

        Raises
        ------
        NumericalError
            If an energy or a force is not a number.
        """
        self._neb.climb = stage == "climbing"
        first = self.steps

        def record(*_: Any) -> None:
            self.fmax = _largest(self._neb.get_forces())
            self.images = list(self._neb.iterimages())
            self._write()
            self._on_step(stage, self.steps - first, self.fmax, np.array(self._neb.energies))
            self.steps += 1

        record()
        if self.fmax >= fmax:
            descent = self._by_ode if self._optimizer == "ODE" else self._by_fire
            descent(fmax, max_steps, record)
        self.steps -= 1  # the start is none
        return self.fmax < fmax

    def _by_ode(self, fmax: float, max_steps: int, record: Callable[..., None]) -> None:
        def forces(positions: np.ndarray) -> np.ndarray:
            self._neb.set_positions(positions.reshape(-1, 3))
            return self._neb.get_forces().ravel()

        try:
            ode12r(
                forces,
                self._neb.get_positions().ravel(),
                fmax=np.nextafter(fmax, 0),  # it stops at or below, we below
                rtol=TOLERANCE,
                steps=max_steps,
                verbose=0,
                callback=record,
                residual=lambda forces, _: _largest(forces),
            )
        except OptimizerConvergenceError:
            return  # steps became too short, which the largest force shows

    def _by_fire(self, fmax: float, max_steps: int, record: Callable[..., None]) -> None:
        for n, _ in enumerate(FIRE(self._neb, logfile=None).irun(0.0, max_steps)):
            if n > 0:
                record()
            if self.fmax < fmax:
                return

    def _write(self) -> None:
        if self._trajectory is None:
            return
        unfinished = self._trajectory.with_name(f".{self._trajectory.name}.{os.getpid()}")
        try:
            with Trajectory(str(unfinished), "w") as images:
                for image in self.images:
                    images.write(image)
            unfinished.replace(self._trajectory)
        finally:
            unfinished.unlink(missing_ok=True)


class _Forces(NEB):
    """Asked twice about the same positions, it computes once; a shared calculator would not."""

    _asked: tuple[bool, np.ndarray] | None = None
    _answer: np.ndarray

    def get_forces(self) -> Float64[np.ndarray, "n 3"]:
        positions = self.get_positions()
        if (
            self._asked is None
            or self._asked[0] != self.climb
            or (self._asked[1] != positions).any()
        ):
            self._answer = super().get_forces()
            energies = np.array(self.energies)
            if not np.isfinite(self._answer).all() or not np.isfinite(energies).all():
                raise NumericalError(
                    f"energies of the images are {energies.tolist()} eV and their largest "
                    f"force is {_largest(self._answer)} eV/Å; look at the path before, and start "
                    "from another: more images, or interpolation='idpp'"
                )
            self._asked = self.climb, positions
        return self._answer.copy()


def _largest(forces: np.ndarray) -> float:
    return float(np.linalg.norm(forces.reshape(-1, 3), axis=1).max())
