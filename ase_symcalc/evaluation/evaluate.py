"""From structures to results, nothing remembered in between."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from ase import Atoms

from ase_symcalc.errors import InputError, UnsupportedElementError
from ase_symcalc.evaluation.context import undisturbed
from ase_symcalc.evaluation.hops import Hops
from ase_symcalc.evaluation.reduced import evaluate_reduced
from ase_symcalc.evaluation.result import StructureResult, to_results
from ase_symcalc.graph import join_graphs
from ase_symcalc.potential_files import Potential, list_potentials, load_potential
from ase_symcalc.response import predict
from ase_symcalc.structures import (
    Pairs,
    StructureArrays,
    check_separation,
    from_ase,
    graph_from_pairs,
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
    with undisturbed():
        if not isinstance(potential, Potential):
            potential = load_potential(potential)
        checked = _checked(every, potential.model.elements)
        proper = potential.model.group == "SO3"
        for batch in _batches(checked, potential.model.cutoff, max_edges):
            found = [_symmetry(arrays, tolerance, proper) for arrays, _ in batch]
            results += _evaluate_batch(batch, found, potential, derivatives, Hops())
    return results


def evaluate_arrays(
    arrays: StructureArrays,
    pairs: Pairs,
    potential: Potential,
    derivatives: bool,
    hop: Hops | None = None,
    symmetry: SymmetryMap | None = None,
) -> StructureResult:
    """One structure whose pairs within the potential's cutoff are known already.

    So is its symmetry, if there is some to be used.
    """
    batch, hop = [(arrays, pairs)], hop or Hops()
    with undisturbed():
        return _evaluate_batch(batch, [symmetry], potential, derivatives, hop)[0]


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
    with hop("graph_from_pairs"):
        graph = join_graphs(
            [
                graph_from_pairs(arrays, pairs, dtype=potential.dtype, device=potential.device)
                for arrays, pairs in batch
            ]
        )
    with hop("predict"):
        prediction = predict(potential.model, graph, derivatives=derivatives)
    with hop("to_results"):
        return to_results(prediction, [arrays for arrays, _ in batch])
