"""From structures to results, nothing remembered in between."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from ase import Atoms

from ase_symcalc.errors import InputError, UnsupportedElementError
from ase_symcalc.evaluation.context import undisturbed, without_warnings
from ase_symcalc.evaluation.hops import Hops
from ase_symcalc.evaluation.reduced import evaluate_reduced
from ase_symcalc.evaluation.result import StructureResult, to_result
from ase_symcalc.evaluation.unseen import unseen_pairs, warn_of_pairs
from ase_symcalc.inference import Surroundings, network_of
from ase_symcalc.inference.pair_list import edges_within, to_atoms
from ase_symcalc.potential_files import Potential, list_potentials, load_potential
from ase_symcalc.structures import (
    TOO_CLOSE,
    Pairs,
    StructureArrays,
    check_separation,
    from_ase,
    neighbour_pairs,
)
from ase_symcalc.structures.from_ase import symbol_of
from ase_symcalc.symmetry.orbits import SymmetryMap, find_symmetry
from ase_symcalc.symmetry.tolerance import tolerance_of

PROPERTIES = ("energy", "forces", "stress")
NEAR = 1.0  # Å; a search so short costs next to nothing and finds atoms on top of each other


def evaluate(
    structures: Atoms | Iterable[Atoms],
    potential: str | os.PathLike[str] | Potential = "default",
    *,
    properties: Sequence[str] = PROPERTIES,
    symmetry: str | float = "off",
    max_edges: int = 200_000,
) -> list[StructureResult]:
    """Energies, forces and stresses of one or many structures, in order.

    Parameters
    ----------
    structures : Atoms or iterable of Atoms
        Left as they are; calculators on them are not used.
    potential : str, path or Potential
        A shipped name, a folder, or what `load_potential` returned.
    properties : sequence of {"energy", "forces", "stress"}
        Energies alone cost no backward pass; forces and stress come together. A structure
        without a volume has ``stress = None``.
    symmetry : {"auto", "off"} or float, Å
        As for `SymCalc`: atoms that are images of others are not evaluated. Off, because the
        search takes about as long as ten atoms, and most sets hold none with symmetry.
    max_edges : int
        Structures are evaluated together until they have so many edges; it bounds the
        memory. A larger structure is evaluated on its own.

    Returns
    -------
    list of StructureResult
        One for each structure, also if there is only one.

    Raises
    ------
    InputError
        If a structure has no meaning (the message says which and why), or a property or a
        setting is unknown.
    UnsupportedElementError
        If a structure has an element the potential does not know.
    PotentialFileError
        If the potential cannot be found or read.
    NumericalError
        If the network returns NaN or infinity.

    Warns
    -----
    OutsideTrainingWarning
        Of each pair of elements within the cutoff that the potential's card does not list.
    """
    if isinstance(structures, str | os.PathLike):
        raise InputError(
            f"expected Atoms or a list of them, got the path {str(structures)!r}; "
            "read it first: evaluate(ase.io.read(path))"
        )
    unknown = [name for name in properties if name not in PROPERTIES]
    if unknown or isinstance(properties, str):
        raise InputError(
            f"expected properties among {', '.join(PROPERTIES)}, as a list; got {properties!r}"
        )
    if max_edges < 1:
        raise InputError(f"expected max_edges to be at least 1, got {max_edges}")
    tolerance = tolerance_of(symmetry)
    every = [structures] if isinstance(structures, Atoms) else list(structures)
    derivatives = any(name != "energy" for name in properties)
    results: list[StructureResult] = []
    unseen: set[str] = set()
    with undisturbed():
        if not isinstance(potential, Potential):
            potential = load_potential(potential)
        checked = _checked(every, potential.model.elements)
        proper = potential.model.group == "SO3"
        for batch in _batches(checked, potential.model.cutoff, max_edges):
            found = [_symmetry(arrays, tolerance, proper) for arrays, _ in batch]
            results += _evaluate_batch(batch, found, potential, derivatives, Hops())
            for arrays, pairs in batch:
                unseen |= unseen_pairs(arrays, pairs, potential, unseen)
    warn_of_pairs(unseen, [potential])
    return results


def evaluate_arrays(
    arrays: StructureArrays,
    pairs: Pairs,
    potential: Potential,
    derivatives: bool,
    hop: Hops | None = None,
    symmetry: SymmetryMap | None = None,
) -> StructureResult:
    """One structure whose pairs within the potential's cutoff, or a longer one, are known already.

    So is its symmetry, if there is some to be used.

    Raises
    ------
    InputError
        If two atoms are on top of each other.
    NumericalError
        If the network returns NaN or infinity.
    """
    batch, hop = [(arrays, pairs)], hop or Hops()
    with without_warnings():
        return _evaluate_batch(batch, [symmetry], potential, derivatives, hop)[0]


def evaluate_pairs(
    batch: Sequence[tuple[StructureArrays, Pairs]], potential: Potential
) -> list[StructureResult]:
    """Structures together, with derivatives, as `evaluate_arrays`.

    Raises
    ------
    InputError
        If two atoms of one of them are on top of each other.
    NumericalError
        If the network returns NaN or infinity.
    """
    with without_warnings():
        return _evaluate_all_atoms(batch, potential, True, Hops())


def checked_arrays(atoms: Atoms, elements: Sequence[str]) -> StructureArrays:
    """Arrays of a structure; an unknown element's error names a potential that covers all.

    Raises
    ------
    InputError, UnsupportedElementError
        As `structures.from_ase`.
    """
    try:
        return from_ase(atoms, elements)
    except UnsupportedElementError as error:
        symbols = {symbol_of(int(number)) for number in atoms.numbers}
        covering = [card.name for card in list_potentials() if symbols <= set(card.elements)]
        hint = (
            f"These potentials cover {', '.join(sorted(symbols))}: {', '.join(covering)}."
            if covering
            else "No potential that is installed covers them all."
        )
        raise UnsupportedElementError(f"{error} {hint}") from error


Checked = tuple[StructureArrays, Pairs]


def _checked(structures: Sequence[Atoms], elements: Sequence[str]) -> list[StructureArrays]:
    """Refuse the last structure before the first is evaluated."""
    checked = []
    for index, atoms in enumerate(structures):
        with _named(index, len(structures)):
            arrays = checked_arrays(atoms, elements)
            near = neighbour_pairs(arrays.positions, arrays.cell, arrays.pbc, NEAR)
            check_separation(arrays, near)
        checked.append(arrays)
    return checked


def _batches(
    structures: Sequence[StructureArrays], cutoff: float, max_edges: int
) -> Iterator[list[Checked]]:
    """Neighbours in a row whose edges together stay within ``max_edges``."""
    batch: list[Checked] = []
    n_edges = 0
    for arrays in structures:
        pairs = neighbour_pairs(arrays.positions, arrays.cell, arrays.pbc, cutoff)
        if batch and n_edges + len(pairs.centre) > max_edges:
            yield batch
            batch, n_edges = [], 0
        batch.append((arrays, pairs))
        n_edges += len(pairs.centre)
    if batch:
        yield batch


@contextmanager
def _named(index: int, n_structures: int) -> Iterator[None]:
    """Say which of many structures an error is about."""
    try:
        yield
    except InputError as error:
        if n_structures == 1:
            raise
        raise type(error)(f"structure {index}: {error}") from error


def _symmetry(arrays: StructureArrays, tolerance: float | None, proper: bool) -> SymmetryMap | None:
    if tolerance is None:
        return None
    places = (arrays.positions, arrays.cell, arrays.pbc, arrays.atomic_numbers)
    return find_symmetry(*places, tolerance, proper=proper)


def _evaluate_batch(
    batch: Sequence[Checked],
    found: Sequence[SymmetryMap | None],
    potential: Potential,
    derivatives: bool,
    hop: Hops,
) -> list[StructureResult]:
    """Evaluate structures with symmetry together, and those without; in order again."""
    every = list(zip(batch, found, strict=True))
    symmetric = [(arrays, pairs, symmetry) for (arrays, pairs), symmetry in every if symmetry]
    others = [checked for checked, symmetry in every if symmetry is None]
    reduced = iter(evaluate_reduced(symmetric, potential, derivatives, hop) if symmetric else [])
    full = iter(_evaluate_all_atoms(others, potential, derivatives, hop) if others else [])
    return [next(reduced if symmetry else full) for symmetry in found]


def _evaluate_all_atoms(
    batch: Sequence[Checked], potential: Potential, derivatives: bool, hop: Hops
) -> list[StructureResult]:
    model = potential.model
    with hop("surroundings"):
        seen = _surroundings(batch, model.cutoff)
        hop.count(len(seen.centre), len(seen.centre))
    with hop("network"):
        network = network_of(model, potential.dtype, potential.device)
        energies, gradient = network(seen, derivatives=derivatives)
    with hop("to_atoms"):
        forces, shares = to_atoms(seen, gradient) if gradient is not None else (None, None)
        results, start = [], 0
        for arrays, _ in batch:
            atoms = slice(start, start := start + len(arrays.atomic_numbers))
            results.append(
                to_result(
                    arrays,
                    energies[atoms].copy(),
                    None if forces is None else forces[atoms].copy(),
                    None if shares is None else shares[atoms],
                )
            )
        return results


def _surroundings(batch: Sequence[Checked], cutoff: float) -> Surroundings:
    """Join the edges of structures, numbered through."""
    parts, first = [], 0
    for arrays, pairs in batch:
        indices = (pairs.centre, pairs.neighbour, pairs.unit_shifts)
        vectors, centre, neighbour = edges_within(indices, arrays.positions, arrays.cell, cutoff)
        if vectors.size and (vectors**2).sum(axis=1).min() < TOO_CLOSE**2:
            check_separation(arrays, pairs)
        parts.append((vectors, centre + first, neighbour + first))
        first += len(arrays.atomic_numbers)
    numbers = [arrays.atomic_numbers for arrays, _ in batch]
    if len(parts) == 1:
        return Surroundings(*parts[0], numbers[0], first)
    vectors, centre, neighbour = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Surroundings(vectors, centre, neighbour, np.concatenate(numbers), first)
