"""Forces and stress from one backward pass around a model.

The energy depends on positions and cell only through the edge vectors v_e, so the gradient
g_e = ∂E/∂v_e holds both: with r' = r(1 + ε) and h' = h(1 + ε) each edge becomes
v_e(1 + ε), and

    F_i = Σ_{e: centre i} g_e - Σ_{e: neighbour i} g_e        (eV/Å)
    σ   = (1/V) ∂E/∂ε = (1/V) Σ_e sym(v_e ⊗ g_e)              (eV/Å³)

An atom's share of the stress is half of each of its edges, as in Thompson, Plimpton and
Mattson, J. Chem. Phys. 131, 154107 (2009), equation 21.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ase_symcalc.graph import AtomicGraph, Environments
from ase_symcalc.models.base import AbstractEnergyModel
from ase_symcalc.response.prediction import Prediction


def predict(
    model: AbstractEnergyModel,
    graph: AtomicGraph,
    *,
    derivatives: bool = True,
    create_graph: bool = False,
) -> Prediction:
    """Energies, and forces and stress if asked for.

    Parameters
    ----------
    model : AbstractEnergyModel
    graph : AtomicGraph
        In the model's dtype and on its device.
    derivatives : bool
        Take the backward pass. Without it `forces`, `stress` and `stresses` are None.
    create_graph : bool
        Keep the derivatives differentiable, for training on forces.

    Notes
    -----
    Works inside a caller's `torch.no_grad()`. Inside `torch.inference_mode()` the caller
    must leave it while it builds the graph (`SymCalc` and `evaluate` do).
    """
    with torch.set_grad_enabled(derivatives or create_graph):
        environments = Environments.of(graph)
        if derivatives and not environments.edge_vectors.requires_grad:
            environments = replace(
                environments, edge_vectors=environments.edge_vectors.detach().requires_grad_()
            )
        with torch.profiler.record_function("model"):
            atomic_energies = model(environments)
        energy = _sum_by(graph.structure_index, atomic_energies, graph.n_structures)
        if not derivatives:
            return Prediction(energy, atomic_energies)
        with torch.profiler.record_function("derivatives"):
            gradient = edge_gradient(atomic_energies.sum(), environments, create_graph)
            forces, shares = _scatter(gradient, environments, graph.n_atoms, create_graph)
    a, b, c = graph.cell.unbind(1)
    volume = (torch.linalg.cross(a, b) * c).sum(1).abs()
    volume = torch.where(volume > 0, volume, torch.nan)
    shares = shares / volume[graph.structure_index, None, None]
    stress = _sum_by(graph.structure_index, shares, graph.n_structures)
    if not create_graph:
        energy, atomic_energies = energy.detach(), atomic_energies.detach()
    return Prediction(energy, atomic_energies, forces, stress, shares)


def edge_gradient(
    energy: Tensor, environments: Environments, create_graph: bool
) -> Float[Tensor, "n_edges 3"]:
    """Gradient of an energy by the edge vectors it was made from, eV/Å."""
    vectors = environments.edge_vectors
    if not energy.requires_grad:  # no edge at all: nothing depends on the positions
        return torch.zeros_like(vectors)
    (gradient,) = torch.autograd.grad(energy, vectors, create_graph=create_graph)
    return gradient


def _scatter(
    gradient: Tensor, environments: Environments, n_atoms: int, create_graph: bool
) -> tuple[Tensor, Tensor]:
    """Return forces, and each atom's share of ∂E/∂ε."""
    vectors = environments.edge_vectors if create_graph else environments.edge_vectors.detach()
    forces = _sum_by(environments.centre, gradient, n_atoms)
    forces = forces - _sum_by(environments.neighbour, gradient, n_atoms)
    virial = vectors.unsqueeze(2) * gradient.unsqueeze(1)
    half = (virial + virial.transpose(1, 2)) / 4  # symmetric part, half for each end
    shares = _sum_by(environments.centre, half, n_atoms)
    shares = shares + _sum_by(environments.neighbour, half, n_atoms)
    return forces, shares


def _sum_by(index: Tensor, values: Tensor, size: int) -> Tensor:
    return values.new_zeros(size, *values.shape[1:]).index_add(0, index, values)
