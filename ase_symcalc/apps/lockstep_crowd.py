"""Structures that relax in lock-step: evaluated in one call, each judged on its own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.stress import full_3x3_to_voigt_6_stress

from ase_symcalc.apps.lockstep import FIRE, LBFGS, Runs
from ase_symcalc.apps.lockstep_cell import deformations, strain_forces
from ase_symcalc.apps.relax import strainable
from ase_symcalc.errors import InputError, NumericalError
from ase_symcalc.evaluation import (
    StructureResult,
    checked_arrays,
    evaluate_pairs,
    undisturbed,
    unseen_pairs,
    warn_of_pairs,
)
from ase_symcalc.potential_files import Potential
from ase_symcalc.structures import Pairs, SkinList, StructureArrays
from ase_symcalc.units import EV_PER_CUBIC_ANGSTROM_IN_GPA

SKIN = 1.0  # Å, as `SymCalc`


@dataclass(frozen=True, slots=True)
class Relaxed:
    """What became of one of many structures."""

    index: int
    """Its place among those given."""
    atoms: Atoms
    """Relaxed, with energy, forces and stress attached; as given if there is an error."""
    converged: bool
    steps: int
    energy: float | None
    """eV"""
    fmax: float | None
    """eV/Å, the largest force on an atom, constraints applied"""
    max_stress: float | None
    """GPa, the largest stress component along the directions that relax; None for a fixed cell"""
    error: str | None
    """A sentence, if the structure has no meaning or could not be evaluated."""


class Newcomer:
    """A structure on its way."""

    def __init__(
        self, index: int, atoms: Atoms, arrays: StructureArrays, strained: np.ndarray, skin: float
    ) -> None:
        self.index, self.given, self.arrays, self.strained = index, atoms, arrays, strained
        self.free = _free(atoms)
        self.skin_list = SkinList(skin, SKIN)
        self.n_edges = len(self.skin_list.candidates(arrays).centre)
        self.step = 0

    @property
    def n_atoms(self) -> int:
        """Atoms in it."""
        return len(self.arrays.atomic_numbers)

    def pairs(self) -> Pairs:
        """Candidates for where the atoms are."""
        pairs = self.skin_list.candidates(self.arrays)
        self.n_edges = len(pairs.centre)
        return pairs


Answer = StructureResult | InputError | NumericalError


class Crowd:
    """Structures that take their steps together.

    Coordinates are the positions in the first cell, then three rows of logarithmic strain times
    the square root of the number of atoms, as `relax` has them.
    """

    def __init__(
        self,
        potential: Potential,
        method: LBFGS | FIRE,
        fmax: float,
        cell: bool,
        max_steps: int,
    ) -> None:
        self.potential, self.method = potential, method
        self.fmax, self.cell, self.max_steps = fmax, cell, max_steps
        self.members: list[Newcomer] = []
        self.unseen: set[str] = set()
        self.rows = np.zeros((0, 3))
        self._settle()

    @property
    def n_edges(self) -> int:
        """Pairs of atoms within the cutoff and the skin, of all of them."""
        return sum(one.n_edges for one in self.members)

    def newcomer(self, index: int, atoms: Atoms) -> Newcomer:
        """Check a structure.

        Raises
        ------
        InputError
            If it has no meaning.
        """
        model = self.potential.model
        with undisturbed():
            arrays = checked_arrays(atoms, model.elements)
            strained = np.zeros(3, dtype=bool)
            if self.cell and arrays.pbc.any():
                strained = strainable(atoms)
            one = Newcomer(index, atoms, arrays, strained, model.cutoff)
            unseen = unseen_pairs(arrays, one.pairs(), self.potential, self.unseen)
        self.unseen |= unseen
        warn_of_pairs(unseen, [self.potential])
        return one

    def join(self, newcomers: list[Newcomer]) -> None:
        """Take in structures, behind those that are there."""
        if not newcomers:
            return
        stay = np.ones(len(self.members), dtype=bool)
        sizes = [one.n_atoms + 3 for one in newcomers]
        self.method.select(stay, np.ones(len(self.rows), dtype=bool), sizes)
        places = [np.concatenate([one.arrays.positions, np.zeros((3, 3))]) for one in newcomers]
        self.rows = np.concatenate([self.rows, *places])
        self.members += newcomers
        self._settle()

    def advance(self) -> Iterator[Relaxed]:
        """Evaluate all, yield those that are done, and move the others."""
        answers = self._answers()
        good = np.array([isinstance(answer, StructureResult) for answer in answers])
        for one, answer in zip(self.members, answers, strict=True):
            if not isinstance(answer, StructureResult):
                yield failed(one.index, one.given, one.step, answer)
        known = [answer for answer in answers if isinstance(answer, StructureResult)]
        self._keep(good)
        if not self.members:
            return
        forces, stresses = self._derivatives(known)
        fmax, stress = self._measure(forces, stresses)
        converged = np.maximum(fmax, stress * self.volumes / self.counts) < self.fmax
        last = converged | (np.array([one.step for one in self.members]) >= self.max_steps)
        for k in np.flatnonzero(last).tolist():
            pull = float(stress[k]) if self.strained[k].any() else None
            yield _done(self.members[k], known[k], bool(converged[k]), float(fmax[k]), pull)
        forces = self._on_rows(forces, stresses)[np.repeat(~last, self.runs.sizes)]
        self._keep(~last)
        if self.members:
            self._move(forces)

    def _settle(self) -> None:
        """Lay out what depends on who is there."""
        self.counts = np.array([one.n_atoms for one in self.members], dtype=np.int64)
        self.atoms = Runs(self.counts)
        self.runs = Runs(self.counts + 3)
        place = np.arange(len(self.rows)) - self.runs.starts[self.runs.owner]
        self.is_atom = place < self.counts[self.runs.owner]
        shape = (-1, 3)
        self.first_cells = _stacked([_first_cell(one) for one in self.members])
        self.strained = np.array([one.strained for one in self.members]).reshape(shape)
        free = [one.free for one in self.members]
        self.free = np.concatenate([*free, np.zeros((0, 1))])
        self.scale = np.sqrt(self.counts)[:, None, None]
        self.strains = self.rows[~self.is_atom].reshape(-1, 3, 3) / self.scale
        self.deformed = deformations(self.strains)
        self.volumes = np.array([one.arrays.volume or 0.0 for one in self.members])

    def _keep(self, stay: np.ndarray) -> None:
        if stay.all():
            return
        rows = np.repeat(stay, self.runs.sizes)
        self.method.select(stay, rows, [])
        self.rows = self.rows[rows]
        self.members = [one for one, stays in zip(self.members, stay, strict=True) if stays]
        self._settle()

    def _answers(self) -> list[Answer]:
        batch: list[tuple[StructureArrays, Pairs]] = []
        answers: list[Answer | None] = [None] * len(self.members)
        with undisturbed():
            for k, one in enumerate(self.members):
                try:
                    batch.append((one.arrays, one.pairs()))
                except InputError as error:
                    answers[k] = error
            results = iter(self._evaluated(batch))
        return [next(results) if answer is None else answer for answer in answers]

    def _evaluated(self, batch: list[tuple[StructureArrays, Pairs]]) -> list[Answer]:
        """Evaluate all together; if one fails, each half, until it is alone."""
        if not batch:
            return []
        try:
            return list(evaluate_pairs(batch, self.potential))
        except (InputError, NumericalError) as error:
            if len(batch) == 1:
                return [error]
        half = len(batch) // 2
        return self._evaluated(batch[:half]) + self._evaluated(batch[half:])

    def _derivatives(self, answers: list[StructureResult]) -> tuple[np.ndarray, np.ndarray]:
        """Return forces with constraints, and stresses with zeros where there is none."""
        forces = np.concatenate([_given(answer.forces) for answer in answers]) * self.free
        none = np.zeros((3, 3))
        return forces, np.array([none if a.stress is None else a.stress for a in answers])

    def _measure(self, forces: np.ndarray, stresses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return largest force (eV/Å) and stress component (eV/Å³) of each structure."""
        fmax = np.sqrt(self.atoms.largest(np.einsum("rk,rk->r", forces, forces)))
        free = self.strained[:, :, None] & self.strained[:, None, :]
        return fmax, np.abs(stresses * free).max(axis=(1, 2))

    def _on_rows(self, forces: np.ndarray, stresses: np.ndarray) -> np.ndarray:
        """Return the forces on the coordinates."""
        rows = np.empty_like(self.rows)
        rows[self.is_atom] = np.einsum("rj,rjk->rk", forces, self.deformed[self.atoms.owner])
        virials = stresses * self.volumes[:, None, None]
        pull = strain_forces(self.strains, self.deformed, virials) / self.scale
        pull *= self.strained[:, :, None] & self.strained[:, None, :]
        rows[~self.is_atom] = pull.reshape(-1, 3)
        return rows

    def _move(self, forces: np.ndarray) -> None:
        self.rows = self.rows + self.method.step(self.runs, forces)
        strains = self.rows[~self.is_atom].reshape(-1, 3, 3) / self.scale
        deformed = deformations(strains)
        places = self.rows[self.is_atom]
        positions = np.einsum("rk,rjk->rj", places, deformed[self.atoms.owner])
        cells = self.first_cells @ deformed.transpose(0, 2, 1)
        parts = np.split(positions, self.atoms.starts[1:])
        for one, part, cell in zip(self.members, parts, cells, strict=True):
            old = one.arrays
            one.arrays = StructureArrays(part, cell, old.pbc, old.atomic_numbers)
            one.step += 1
        self._settle()


def _first_cell(one: Newcomer) -> np.ndarray:
    return np.asarray(one.given.cell.array, dtype=np.float64)


def _stacked(cells: list[np.ndarray]) -> np.ndarray:
    return np.array(cells).reshape(-1, 3, 3)


def _given(forces: np.ndarray | None) -> np.ndarray:
    assert forces is not None, "derivatives were asked for"
    return forces


def _free(atoms: Atoms) -> np.ndarray:
    """Column of ones, and zeros where an atom is held.

    Raises
    ------
    InputError
    """
    free = np.ones((len(atoms), 1))
    for constraint in atoms.constraints:
        if not isinstance(constraint, FixAtoms):
            raise InputError(
                f"the structure has a constraint {type(constraint).__name__}; many structures "
                "at once may have atoms held by FixAtoms, and others go through relax(atoms)"
            )
        free[constraint.index] = 0.0
    return free


def failed(index: int, given: Atoms, steps: int, error: Exception) -> Relaxed:
    """Say that a structure could not be relaxed."""
    return Relaxed(index, given.copy(), False, steps, None, None, None, str(error))


def _done(
    one: Newcomer, answer: StructureResult, converged: bool, fmax: float, stress: float | None
) -> Relaxed:
    atoms = one.given.copy()
    atoms.set_cell(one.arrays.cell)
    atoms.set_positions(one.arrays.positions, apply_constraint=False)
    known = {"energy": answer.energy, "free_energy": answer.energy, "forces": answer.forces}
    if answer.stress is not None:
        known["stress"] = full_3x3_to_voigt_6_stress(answer.stress)
    atoms.calc = SinglePointCalculator(atoms, **known)
    pull = None if stress is None else stress * EV_PER_CUBIC_ANGSTROM_IN_GPA
    return Relaxed(one.index, atoms, converged, one.step, answer.energy, fmax, pull, None)
