"""Energies of vacancies, and of their hops, with any ASE calculator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import spglib
from ase import Atoms
from ase.build import make_supercell
from ase.geometry import get_distances, minkowski_reduce

from ase_symcalc.apps.crystal import check_crystal
from ase_symcalc.apps.elastic_analytic import primitive
from ase_symcalc.apps.kept import AtRest, Parts, path_once, relaxed_once
from ase_symcalc.apps.neb import check_images, neb
from ase_symcalc.apps.neb_result import NebResult, NebStep
from ase_symcalc.apps.relax import RelaxStep, relax
from ase_symcalc.apps.short_repr import short_repr
from ase_symcalc.apps.supercell import choose_supercell
from ase_symcalc.errors import InputError
from ase_symcalc.symmetry import wyckoff_sites

SYMPREC = 1e-3
"""Å, within which atoms are images of each other."""

WHAT = "a vacancy"


@dataclass(frozen=True, slots=True)
class VacancyStep:
    """One row of the log."""

    part: str
    """What is at work: the crystal, a site, a hop."""
    step: RelaxStep | NebStep


@dataclass(frozen=True, slots=True)
class Hop:
    """A nearest neighbour of the vacancy jumps into it."""

    distance: float
    """Å, between the two sites of the perfect crystal"""
    path: NebResult


@dataclass(frozen=True, slots=True)
class VacantSite:
    """An atom is missing on one site; one of each orbit of the space group."""

    element: str
    letter: str
    """Wyckoff letter, as `symmetry.wyckoff_sites` chooses it"""
    multiplicity: int
    """Sites of the orbit in the conventional cell."""
    removal_fixed: float
    """eV, supercell without the atom above the one with it, all others in their places"""
    removal: float
    """eV, likewise after relaxation at constant cell"""
    chemical_potential: float | None
    """eV per atom, of the element where the atom goes; None if unknown"""
    atoms: Atoms
    """The relaxed supercell, with the caller's calculator attached."""
    converged: bool
    hop: Hop | None
    """None if not asked for, or no other atom of the element is there to jump"""

    @property
    def formation_fixed(self) -> float | None:
        """Formation energy, eV, without relaxation; None without a chemical potential."""
        return _sum(self.removal_fixed, self.chemical_potential)

    @property
    def formation(self) -> float | None:
        """Formation energy, eV; None without a chemical potential."""
        return _sum(self.removal, self.chemical_potential)


@dataclass(frozen=True, slots=True)
class VacancyResult:
    """Vacancies on all inequivalent sites of a crystal."""

    __repr__ = short_repr

    bulk: Atoms
    """The primitive cell, relaxed unless that was not wanted, with the calculator attached."""
    bulk_energy: float
    """eV per atom"""
    n_atoms: int
    """Of the supercell before an atom is taken out."""
    image_distance: float
    """Å, from a vacancy to its nearest periodic image"""
    sites: tuple[VacantSite, ...]
    converged: bool
    """Crystal, vacancies and hops."""
    warnings: tuple[str, ...]
    """Sentences about what these numbers are not."""


def vacancy(
    atoms: Atoms,
    *,
    min_length: float = 10.0,
    mu: Mapping[str, float] | None = None,
    relax_bulk: bool = True,
    migration: bool = False,
    n_images: int = 5,
    fmax: float = 0.01,
    max_steps: int = 500,
    parts: Parts | None = None,
    on_step: Callable[[VacancyStep], None] | None = None,
) -> VacancyResult:
    """Take one atom out, from each inequivalent site in turn.

    The formation energy is E(vacancy) - E(crystal) + μ in one supercell at constant volume;
    the atom goes where it has the chemical potential μ.

    Parameters
    ----------
    atoms : Atoms
        A crystal, with a calculator attached, any one. Not changed. It is cut to its primitive
        cell first.
    min_length : float, Å
        The smallest supercell is taken whose vacancies are at least so far apart.
    mu : mapping from symbol to float, eV per atom, optional
        Chemical potentials on the calculator's scale of energy. That of an elemental crystal
        is by default its energy per atom; a compound has none by default.
    relax_bulk : bool
        Relax the crystal and its cell first.
    migration : bool
        Find the barrier for the hop of a nearest neighbour of the same element, with `neb`.
    n_images : int
        Between the two ends of a hop.
    fmax : float, eV/Å
    max_steps : int
        Of each relaxation, and of each path.
    parts : mapping from str, optional
        Relaxations and hops that are done, of a run with the same arguments; others are
        added, as what JSON holds.
    on_step : callable, optional
        Receives a `VacancyStep` after every step.

    Returns
    -------
    VacancyResult

    Raises
    ------
    InputError
        For a structure that is not a crystal, or an argument out of range.
    NumericalError
        If the calculator returns an energy or a force that is not a number.
    """
    _check(atoms, min_length, mu or {}, n_images)
    parts = {} if parts is None else parts
    work = _Work(fmax, max_steps, n_images if migration else 0, parts, on_step)
    bulk = primitive(atoms, SYMPREC)
    bulk.calc = atoms.calc
    rest = True
    if relax_bulk:
        relaxed = work.relax("crystal", bulk, cell=True)
        bulk, rest = relaxed.atoms, relaxed.converged
    bulk_energy = float(bulk.get_potential_energy()) / len(bulk)
    perfect, image_distance = _supercell(bulk, min_length)
    perfect.calc = atoms.calc
    potentials = {bulk.symbols[0]: bulk_energy} if len(set(bulk.numbers)) == 1 else {}
    potentials.update(mu or {})
    orbits = wyckoff_sites(bulk, SYMPREC)
    sites = []
    for orbit, letter in enumerate(orbits.letters):
        index = int(np.argmax(orbits.orbits == orbit))
        multiplicity = int(orbits.multiplicities[orbit])
        potential = potentials.get(bulk.symbols[index])
        sites.append(work.take_out(perfect, index, letter, multiplicity, potential))
    done = rest and all(s.converged and (s.hop is None or s.hop.path.converged) for s in sites)
    return VacancyResult(
        bulk=bulk,
        bulk_energy=bulk_energy,
        n_atoms=len(perfect),
        image_distance=image_distance,
        sites=tuple(sites),
        converged=done,
        warnings=tuple(_warnings(sites, len(perfect), image_distance, migration)),
    )


@dataclass(frozen=True, slots=True)
class _Work:
    """What all relaxations have in common."""

    fmax: float
    max_steps: int
    n_images: int
    """Of a hop's path; 0 for no hops"""
    parts: Parts
    on_step: Callable[[VacancyStep], None] | None

    def relax(self, part: str, atoms: Atoms, *, cell: bool, name: str | None = None) -> AtRest:
        show = self._passed_on(part)
        return relaxed_once(
            self.parts,
            name or part,
            atoms,
            lambda: relax(atoms, fmax=self.fmax, cell=cell, max_steps=self.max_steps, on_step=show),
        )

    def take_out(
        self, perfect: Atoms, index: int, letter: str, multiplicity: int, potential: float | None
    ) -> VacantSite:
        """Take one atom out of a supercell, and let the others relax."""
        full = float(perfect.get_potential_energy())
        hole = _without(perfect, index)
        hole.calc = perfect.calc
        fixed = float(hole.get_potential_energy()) - full
        name = f"{perfect.symbols[index]} vacancy ({letter})"
        relaxed = self.relax(name, hole, cell=False, name=f"{name}, atom {index}")
        return VacantSite(
            element=perfect.symbols[index],
            letter=letter,
            multiplicity=multiplicity,
            removal_fixed=fixed,
            removal=relaxed.energies[1] - full,
            chemical_potential=potential,
            atoms=relaxed.atoms,
            converged=relaxed.converged,
            hop=self._hop(f"hop, {name}", perfect, index, relaxed.atoms) if self.n_images else None,
        )

    def _hop(self, name: str, perfect: Atoms, index: int, start: Atoms) -> Hop | None:
        """Let the nearest atom of the element jump into the relaxed vacancy ``start``."""
        alike = np.flatnonzero(perfect.numbers == perfect.numbers[index])
        alike = alike[alike != index]
        if not alike.size:
            return None
        vectors, distances = get_distances(
            perfect.positions[index], perfect.positions[alike], cell=perfect.cell, pbc=True
        )
        nearest = int(distances[0].argmin())
        end = perfect.copy()
        end.positions[alike[nearest]] -= vectors[0, nearest]
        path = path_once(
            self.parts,
            f"{name}, atom {index}",
            start,
            lambda: neb(
                [start, _without(end, index)],
                n_images=self.n_images,
                order="keep",
                fmax=self.fmax,
                max_steps=self.max_steps,
                on_step=self._passed_on(name),
            ),
        )
        return Hop(float(distances[0, nearest]), path)

    def _passed_on(self, part: str) -> Callable[[RelaxStep | NebStep], None]:
        def show(step: RelaxStep | NebStep) -> None:
            if self.on_step is not None:
                self.on_step(VacancyStep(part, step))

        return show


def _check(atoms: Atoms, min_length: float, mu: Mapping[str, float], n_images: int) -> None:
    check_crystal(atoms, WHAT)
    check_images(n_images)
    if not 0 < min_length < math.inf:
        raise InputError(f"expected a distance above 0 Å between vacancies, got {min_length}")
    present = sorted(set(atoms.symbols))
    for symbol, value in mu.items():
        if symbol not in present:
            raise InputError(
                f"a chemical potential is given for {symbol}, which the crystal of "
                f"{', '.join(present)} does not hold"
            )
        if not math.isfinite(value):
            raise InputError(f"the chemical potential of {symbol} must be a number, got {value}")


def _supercell(bulk: Atoms, min_length: float) -> tuple[Atoms, float]:
    """Repeat a primitive cell, its atoms first; also the distance of an atom to its image, Å."""
    crystal = (bulk.cell.array, bulk.get_scaled_positions(), bulk.numbers)
    dataset = spglib.get_symmetry_dataset(crystal, symprec=SYMPREC)
    if dataset is None:
        raise InputError(
            f"no space group was found within {SYMPREC:g} Å; look for atoms on one another"
        )
    matrix = choose_supercell(bulk.cell.array, dataset, np.eye(3), min_length)
    if np.linalg.det(matrix) < 0:
        matrix = -matrix
    perfect = make_supercell(bulk, matrix.T)
    if len(perfect) == 1:
        raise InputError(
            f"with vacancies {min_length:g} Å apart the supercell has one atom, and nothing is "
            "left without it; ask for a larger distance (min_length, --min-length)"
        )
    lengths = np.linalg.norm(minkowski_reduce(perfect.cell.array)[0], axis=1)
    at = get_distances(bulk.positions, perfect.positions, cell=perfect.cell, pbc=True)[1]
    first = at.argmin(axis=1)
    rest = np.setdiff1d(np.arange(len(perfect)), first)
    return perfect[[*first, *rest]], float(lengths.min())


def _without(perfect: Atoms, index: int) -> Atoms:
    return perfect[np.arange(len(perfect)) != index]


def _sum(energy: float, potential: float | None) -> float | None:
    return None if potential is None else energy + potential


def _warnings(sites: list[VacantSite], n_atoms: int, distance: float, migration: bool) -> list[str]:
    sentences = [
        f"one vacancy in {n_atoms} atoms at constant volume, {distance:.1f} Å from its images: "
        "their elastic interaction falls with the volume of the supercell; compare with a larger "
        "one (min_length, --min-length). Charged vacancies are not what a potential computes"
    ]
    unknown = [site.element for site in sites if site.chemical_potential is None]
    if unknown:
        names = ", ".join(sorted(set(unknown)))
        sentences.append(
            f"no chemical potential was given for {names}: only the energy of taking the atom away "
            "is known, on the scale where the potential's energies are; the formation energy is "
            "that plus the chemical potential (mu, --mu)"
        )
    for site in sites:
        where = f"{site.element} on {site.letter}"
        if not site.converged:
            sentences.append(f"the vacancy of {where} did not come to rest")
        if migration and site.hop is None:
            sentences.append(
                f"there is no other {site.element} to jump into the vacancy of {where}"
            )
        if site.hop is not None:
            sentences += [f"hop of {where}: {each}" for each in site.hop.path.warnings]
    return sentences
