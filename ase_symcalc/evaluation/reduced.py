"""Symmetric structures: one atom of each orbit is evaluated, the others are its images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64

from ase_symcalc.evaluation.hops import Hops
from ase_symcalc.evaluation.reduced_edges import ReducedEdges, unfold
from ase_symcalc.evaluation.result import StructureResult, to_result
from ase_symcalc.inference import Surroundings, network_of
from ase_symcalc.potential_files import Potential
from ase_symcalc.structures import TOO_CLOSE, Pairs, StructureArrays, check_separation
from ase_symcalc.symmetry.expand import RotatedImages
from ase_symcalc.symmetry.orbits import SymmetryMap
from ase_symcalc.symmetry.pairs import ReducedPairs


def evaluate_reduced(
    batch: Sequence[tuple[StructureArrays, Pairs, SymmetryMap]],
    potential: Potential,
    derivatives: bool,
    hop: Hops,
) -> list[StructureResult]:
    """Evaluate structures together whose symmetry holds; results are those of all atoms."""
    model = potential.model
    with hop("surroundings"):
        reduced = [
            (arrays, symmetry, _edges(arrays, pairs, symmetry, model.cutoff, hop))
            for arrays, pairs, symmetry in batch
        ]
        seen = _surroundings(reduced)
    with hop("network"):
        network = network_of(model, potential.dtype, potential.device)
        counts = [symmetry.multiplicity for _, symmetry, _ in reduced]
        weights = np.concatenate(counts).astype(np.float64)
        energies, gradient = network(seen, weights, derivatives=derivatives)
    with hop("unfold"):
        results, orbit, edge = [], 0, 0
        for arrays, symmetry, edges in reduced:
            part = energies[orbit : (orbit := orbit + symmetry.n_orbits)]
            slope = None
            if gradient is not None:
                slope = gradient[edge : (edge := edge + len(edges.centre))]
            results.append(_result(arrays, symmetry, edges, part, slope))
    return results


_Reduced = tuple[StructureArrays, SymmetryMap, ReducedEdges]


def _edges(
    arrays: StructureArrays, pairs: Pairs, symmetry: SymmetryMap, cutoff: float, hop: Hops
) -> ReducedEdges:
    indices = (pairs.centre, pairs.neighbour, pairs.unit_shifts)
    edges = ReducedEdges.of(symmetry, arrays.positions, arrays.cell, *indices, cutoff)
    if edges.shortest < TOO_CLOSE:
        check_separation(arrays, pairs)
    hop.count(len(edges.centre), edges.n_full)
    return edges


def _surroundings(reduced: Sequence[_Reduced]) -> Surroundings:
    """Join what the network sees: the representatives of all structures, then their images."""
    first, *others = reduced
    if not others:  # the same rows from step to step
        _, symmetry, edges = first
        species, images = _rows(edges.pairs, symmetry, first[0].atomic_numbers.tobytes())
        n = symmetry.n_orbits
        return Surroundings(edges.vectors, edges.centre, edges.row, species, n, images)
    n_centres = sum(symmetry.n_orbits for _, symmetry, _ in reduced)
    centres, behind = 0, n_centres
    centre, row, copied, parts, numbers, more = [], [], [], [], [], []
    for arrays, symmetry, edges in reduced:
        n, n_rows = symmetry.n_orbits, len(edges.row_orbit)
        source = edges.row_orbit[n:]
        centre.append(edges.centre + centres)
        # representatives come first, images behind those of all structures
        row.append(edges.row + np.where(edges.row < n, centres, behind - n))
        copied.append(source + centres)
        parts.append((symmetry.rotations, edges.row_operation[n:]))
        species = arrays.atomic_numbers[symmetry.representatives]
        numbers.append(species)
        more.append(species[source])
        centres, behind = centres + n, behind + n_rows - n
    return Surroundings(
        edge_vectors=np.concatenate([edges.vectors for *_, edges in reduced]),
        centre=np.concatenate(centre),
        neighbour=np.concatenate(row),
        atomic_numbers=np.concatenate(numbers + more),
        n_centres=n_centres,
        images=RotatedImages(np.concatenate(copied), parts),
    )


def _rows(
    pairs: ReducedPairs, symmetry: SymmetryMap, atomic_numbers: bytes
) -> tuple[Int64[np.ndarray, "n_rows"], RotatedImages]:
    """Atomic numbers of a structure's rows, and how its images arise."""
    if found := pairs.kept.get(atomic_numbers):
        return found
    n = symmetry.n_orbits
    species = np.frombuffer(atomic_numbers, dtype=np.int64)[symmetry.representatives]
    parts = [(symmetry.rotations, pairs.row_operation[n:])]
    rows = species[pairs.row_orbit], RotatedImages(pairs.row_orbit[n:], parts)
    pairs.kept[atomic_numbers] = rows
    return rows


def _result(
    arrays: StructureArrays,
    symmetry: SymmetryMap,
    edges: ReducedEdges,
    energies: Float64[np.ndarray, "n_orbits"],
    gradient: Float64[np.ndarray, "n_edges 3"] | None,
) -> StructureResult:
    atomic_energies = energies[symmetry.orbit]
    if gradient is None:
        return to_result(arrays, atomic_energies)
    return to_result(arrays, atomic_energies, *unfold(symmetry, edges, gradient))
