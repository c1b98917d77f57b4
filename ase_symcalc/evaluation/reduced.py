"""Symmetric structures: one atom of each orbit is evaluated, the others are its images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float64

from ase_symcalc.evaluation.hops import Hops
from ase_symcalc.evaluation.result import StructureResult, to_results
from ase_symcalc.graph import Environments
from ase_symcalc.potential_files import Potential
from ase_symcalc.response import Prediction
from ase_symcalc.response.derivatives import edge_gradient
from ase_symcalc.structures import Pairs, StructureArrays
from ase_symcalc.symmetry.expand import RotatedImages
from ase_symcalc.symmetry.orbits import SymmetryMap
from ase_symcalc.symmetry.reduce import ReducedEdges, unfold


def evaluate_reduced(
    batch: Sequence[tuple[StructureArrays, Pairs, SymmetryMap]],
    potential: Potential,
    derivatives: bool,
    hop: Hops,
) -> list[StructureResult]:
    """Evaluate structures together whose symmetry holds; results are those of all atoms."""
    with hop("reduced_environments"):
        reduced = [
            (arrays, symmetry, _edges(arrays, pairs, symmetry)) for arrays, pairs, symmetry in batch
        ]
        environments = reduced_environments(reduced, potential)
    with hop("predict"), torch.set_grad_enabled(derivatives):
        environments.edge_vectors.requires_grad_(derivatives)
        energies = potential.model(environments)
        gradient = None
        if derivatives:
            counts = np.concatenate([symmetry.multiplicity for _, symmetry, _ in reduced])
            energy = (energies * torch.tensor(counts, device=energies.device)).sum()
            gradient = edge_gradient(energy, environments, False).cpu().double().numpy()
    with hop("unfold"):
        values = energies.detach().cpu().numpy()
        results, orbit, edge = [], 0, 0
        for arrays, symmetry, edges in reduced:
            part = values[orbit : (orbit := orbit + symmetry.n_orbits)]
            slope = None
            if gradient is not None:
                slope = gradient[edge : (edge := edge + len(edges.centre))]
            results.append(_result(arrays, symmetry, edges, part, slope))
    return results


_Reduced = tuple[StructureArrays, SymmetryMap, ReducedEdges]


def _edges(arrays: StructureArrays, pairs: Pairs, symmetry: SymmetryMap) -> ReducedEdges:
    return ReducedEdges.of(
        symmetry, arrays.positions, arrays.cell, pairs.centre, pairs.neighbour, pairs.unit_shifts
    )


def reduced_environments(reduced: Sequence[_Reduced], potential: Potential) -> Environments:
    """Join what the network sees: the representatives of all structures, then their images."""
    n_centres = sum(symmetry.n_orbits for _, symmetry, _ in reduced)
    centres, images = 0, n_centres
    centre, row, copied, parts, numbers, more = [], [], [], [], [], []
    for arrays, symmetry, edges in reduced:
        n = symmetry.n_orbits
        n_images = len(edges.row_orbit) - n
        rows = np.concatenate([np.arange(n) + centres, np.arange(n_images) + images])
        centre.append(edges.centre + centres)
        row.append(rows[edges.row])
        copied.append(edges.row_orbit[n:] + centres)
        operation = torch.tensor(edges.row_operation[n:], device=potential.device)
        parts.append((symmetry.rotations, operation))
        species = arrays.atomic_numbers[symmetry.representatives]
        numbers.append(species)
        more.append(species[edges.row_orbit[n:]])
        centres, images = centres + n, images + n_images

    def tensor(arrays: list[np.ndarray]) -> torch.Tensor:
        return torch.tensor(np.concatenate(arrays), device=potential.device)

    return Environments(
        edge_vectors=tensor([edges.vectors for *_, edges in reduced]).to(potential.dtype),
        centre=tensor(centre),
        neighbour=tensor(row),
        atomic_numbers=tensor(numbers + more),
        n_centres=n_centres,
        expand=RotatedImages(tensor(copied), parts),
    )


def _result(
    arrays: StructureArrays,
    symmetry: SymmetryMap,
    edges: ReducedEdges,
    energies: Float64[np.ndarray, "n_orbits"],
    gradient: Float64[np.ndarray, "n_edges 3"] | None,
) -> StructureResult:
    atomic_energies = torch.tensor(energies[symmetry.orbit])
    prediction = Prediction(atomic_energies.sum()[None], atomic_energies)
    if gradient is not None:
        forces, shares = unfold(symmetry, edges, gradient)
        stresses = torch.tensor(shares / (arrays.volume or np.nan))
        prediction = Prediction(
            prediction.energy,
            atomic_energies,
            torch.tensor(forces),
            stresses.sum(dim=0, keepdim=True),
            stresses,
        )
    return to_results(prediction, [arrays])[0]
