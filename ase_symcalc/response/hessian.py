"""Second derivatives of the energy."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ase_symcalc.errors import InputError
from ase_symcalc.graph import AtomicGraph
from ase_symcalc.models.base import AbstractEnergyModel
from ase_symcalc.response.derivatives import predict


def hessian(model: AbstractEnergyModel, graph: AtomicGraph) -> Float[Tensor, "n_atoms 3 n_atoms 3"]:
    """Force constants of one structure, exact up to rounding.

    ``H[i, a, j, b] = ∂²E / ∂r_ia ∂r_jb = -∂F_ia / ∂r_jb``: the forces stay differentiable,
    and each of their components is differentiated once more. Atom j stands for all its
    periodic images, so this is the dynamical matrix at the zone centre without the masses.

    Parameters
    ----------
    model : AbstractEnergyModel
    graph : AtomicGraph
        One structure, in the model's dtype and on its device.

    Returns
    -------
    (n_atoms, 3, n_atoms, 3) tensor, eV/Å²
        Symmetric to rounding; it is not symmetrised, so that the asymmetry can be tested.

    Raises
    ------
    InputError
        If the graph holds more than one structure.
    """
    if graph.n_structures != 1:
        raise InputError(f"expected a graph of one structure, got {graph.n_structures}")
    positions = graph.positions.detach().clone().requires_grad_()
    forces = predict(model, replace(graph, positions=positions), create_graph=True).forces
    if forces is None or not forces.requires_grad:  # no edges: no atom feels another
        return positions.new_zeros(graph.n_atoms, 3, graph.n_atoms, 3)
    rows = [
        torch.autograd.grad(-component, positions, retain_graph=True)[0]
        for component in forces.flatten()
    ]
    return torch.stack(rows).reshape(graph.n_atoms, 3, graph.n_atoms, 3)
