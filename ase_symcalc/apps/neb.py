"""Paths of lowest energy between two minima, with any ASE calculator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.mep import NEB
from jaxtyping import Float64

from ase_symcalc.apps.neb_band import ENDS, OPTIMIZERS, Band, Stage
from ase_symcalc.apps.neb_ends import check_apart, in_one_order, straighten
from ase_symcalc.apps.neb_result import NebResult, NebStep, describe
from ase_symcalc.apps.relax import RelaxStep, relax
from ase_symcalc.apps.saddle import softest_modes
from ase_symcalc.calculator import SymCalc
from ase_symcalc.errors import InputError
from ase_symcalc.structures import neighbour_pairs

INTERPOLATIONS = ("idpp", "linear")

ROUGH = 0.1
"""eV/Å, up to where the path comes down before its highest image climbs."""

AT_REST = 0.05
"""eV/Å; ends that were not to be relaxed and are pushed harder than that are no minima."""

MEETING = 0.2
"""Å; atoms so near are one on top of the other."""

MOST_ATOMS_TO_CHECK = 500  # the check takes some 100 evaluations


def neb(
    images: Sequence[Atoms],
    *,
    n_images: int = 5,
    interpolation: str = "idpp",
    climb: bool = True,
    relax_ends: bool = True,
    order: str = "check",
    fmax: float = 0.01,
    max_steps: int = 500,
    optimizer: str = "ODE",
    check_saddle: bool | None = None,
    trajectory: str | Path | None = None,
    on_step: Callable[[NebStep], None] | None = None,
) -> NebResult:
    """Find the path of lowest energy between two minima, and the barrier on it.

    Nudged elastic band with improved tangents (G. Henkelman and H. Jónsson, J. Chem. Phys. 113,
    9978 (2000)) and a climbing image (G. Henkelman, B. P. Uberuaga and H. Jónsson, J. Chem.
    Phys. 113, 9901 (2000)), as `ase.mep.NEB` has it.

    Parameters
    ----------
    images : sequence of Atoms
        Two ends, or a whole path to start from. They need the same atoms and the same cell.
        The calculator of the first computes all. None is changed; constraints of the first
        hold for all.
    n_images : int
        How many to put between two ends.
    interpolation : {"idpp", "linear"}
        How; along the shortest way through the cell's faces. The image-dependent pair potential
        (S. Smidstrup et al., J. Chem. Phys. 140, 214106 (2014)) keeps atoms apart.
    climb : bool
        Drive the highest image up to the saddle, once the path is rough-hewn.
    relax_ends : bool
        Relax both ends first, in their cell.
    order : {"check", "nearest", "keep"}
        Of the atoms: refuse ends that seem to list them differently, reorder all images by the
        nearest places, or take them as they are numbered.
    fmax : float, eV/Å
        The largest force left on an atom, of an end or across the path.
    max_steps : int
        Of each end and, both stages together, of the path.
    optimizer : {"ODE", "FIRE"}
        "ODE" takes a half to a third of the evaluations that FIRE or LBFGS takes; FIRE is the
        more patient on a rough landscape.
    check_saddle : bool, optional
        Count imaginary modes of the saddle, with some 100 evaluations. By default for a
        climbing image of up to 500 atoms with a `SymCalc`.
    trajectory : path, optional
        An ASE trajectory that holds the latest path, replaced as a whole after every step;
        given as ``images`` it goes on from there.
    on_step : callable, optional
        Receives a `NebStep` after every step, and after every displacement of the saddle.

    Returns
    -------
    NebResult

    Raises
    ------
    InputError
        For images that do not fit together, ends that are or become the same structure, a
        missing calculator or an argument out of range.
    NumericalError
        If the calculator returns an energy or a force that is not a number.
    """
    _check(images, n_images, interpolation, fmax, max_steps, optimizer)
    calculator: Any = images[0].calc
    path = in_one_order(images, order)
    check_apart(path[0], path[-1], "the two ends are one structure")
    about_ends: list[str] = []
    for i, stage in zip((0, -1), ENDS, strict=True):
        path[i].calc = calculator
        if relax_ends:
            path[i], sentences = _at_rest(path[i], stage, fmax, max_steps, on_step)
            about_ends += sentences
        elif (largest := float(np.linalg.norm(path[i].get_forces(), axis=1).max())) > AT_REST:
            about_ends.append(f"the {stage} is not at a minimum: a force is {largest:.3f} eV/Å")
    check_apart(path[0], path[-1], "both ends relax to the same structure")
    straighten(path)
    if len(path) == 2:
        path = _interpolated(path[0], path[1], n_images, interpolation)
    band = Band(path, calculator, optimizer, trajectory, _passed_on(on_step))
    done = band.descend("path", max(fmax, ROUGH) if climb else fmax, max_steps)
    if climb and done:
        done = band.descend("climbing", fmax, max_steps - band.steps)
    climbed = climb and done
    return describe(
        band.images,
        converged=done,
        climbed=climbed,
        steps=band.steps,
        target_fmax=fmax,
        fmax=band.fmax,
        modes=_modes(band, calculator, check_saddle, on_step) if climbed else None,
        about_ends=about_ends,
    )


def _check(
    images: Sequence[Atoms],
    n_images: int,
    interpolation: str,
    fmax: float,
    max_steps: int,
    optimizer: str,
) -> None:
    if len(images) < 2:
        raise InputError(f"a path needs two ends at least, got {len(images)} structure(s)")
    if len(images[0]) == 0:
        raise InputError("expected structures with at least one atom, got none")
    if images[0].calc is None:
        raise InputError(
            "the first structure has no calculator; attach one: images[0].calc = SymCalc()"
        )
    check_images(n_images)
    if interpolation not in INTERPOLATIONS:
        known = ", ".join(INTERPOLATIONS)
        raise InputError(f"there is no interpolation {interpolation!r}; choose one of {known}")
    if not 0 < fmax < math.inf:
        raise InputError(
            f"expected fmax above 0 eV/Å and finite, got {fmax}; 0.01 is a common choice"
        )
    if max_steps < 0:
        raise InputError(f"expected max_steps of 0 or more, got {max_steps}")
    if optimizer not in OPTIMIZERS:
        known = ", ".join(OPTIMIZERS)
        raise InputError(f"there is no optimizer {optimizer!r} for paths; choose one of {known}")


def check_images(n_images: int) -> None:
    """Refuse a path without images between its ends.

    Raises
    ------
    InputError
    """
    if n_images < 1:
        raise InputError(
            f"expected at least one image between the ends of a path, got {n_images}; 5 is common"
        )


def _at_rest(
    end: Atoms,
    stage: Stage,
    fmax: float,
    max_steps: int,
    on_step: Callable[[NebStep], None] | None,
) -> tuple[Atoms, list[str]]:
    def show(step: RelaxStep) -> None:
        if on_step is not None:
            on_step(NebStep(stage, step.step, step.fmax, None))

    result = relax(end, fmax=fmax, cell=False, max_steps=max_steps, on_step=show)
    if result.converged:
        return result.atoms, []
    left = f"after {max_steps} steps a force is {result.fmax[-1]:.3f} eV/Å"
    return result.atoms, [f"the {stage} did not come to rest: {left}"]


def _interpolated(first: Atoms, last: Atoms, n_images: int, interpolation: str) -> list[Atoms]:
    path = [first, *(first.copy() for _ in range(n_images)), last]
    band = NEB(path, method="improvedtangent", allow_shared_calculator=True)
    band.interpolate(method="linear", mic=True, apply_constraint=False)
    for number, image in enumerate(path):
        _check_no_meeting(image, number)
    if interpolation == "idpp":
        band.interpolate(method="idpp", mic=True, apply_constraint=False)
    return path


def _check_no_meeting(image: Atoms, number: int) -> None:
    close = neighbour_pairs(image.positions, image.cell.array, image.pbc, MEETING)
    if len(close.centre):
        i, j = close.centre[0] + 1, close.neighbour[0] + 1
        raise InputError(
            f"on the straight way between the ends atoms {i} and {j} run into each other (image "
            f"{number}); give a whole path that leads them past each other, or correct the order "
            "of the atoms"
        )


def _passed_on(
    on_step: Callable[[NebStep], None] | None,
) -> Callable[[Stage, int, float, np.ndarray], None]:
    def step(stage: Stage, number: int, fmax: float, energies: np.ndarray) -> None:
        if on_step is not None:
            on_step(NebStep(stage, number, fmax, float(energies.max() - energies[0])))

    return step


def _modes(
    band: Band,
    calculator: Any,
    check_saddle: bool | None,
    on_step: Callable[[NebStep], None] | None,
) -> Float64[np.ndarray, "2"] | None:
    few = isinstance(calculator, SymCalc) and len(band.images[0]) <= MOST_ATOMS_TO_CHECK
    if not (few if check_saddle is None else check_saddle):
        return None
    energies = np.array([image.get_potential_energy() for image in band.images])
    highest = band.images[int(energies.argmax())].copy()
    highest.calc = calculator
    show = _passed_on(on_step)
    return softest_modes(highest, on_push=lambda n: show("saddle", n, band.fmax, energies))
