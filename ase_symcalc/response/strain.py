"""Second derivatives of the energy by the strain of the cell."""

from __future__ import annotations

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from ase_symcalc.errors import InputError
from ase_symcalc.graph import AtomicGraph
from ase_symcalc.models.base import AbstractEnergyModel
from ase_symcalc.response.derivatives import predict

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def strain_derivatives(
    model: AbstractEnergyModel, graph: AtomicGraph
) -> tuple[Float[Tensor, "6 6"], Float[Tensor, "6 n_atoms 3"]]:
    """Curvature of the energy in the strain, and its coupling to the positions, exact.

    With r' = r(1 + ε), h' = h(1 + ε) and ε symmetric, six strains e = (ε_xx, ε_yy, ε_zz,
    2ε_yz, 2ε_xz, 2ε_xy) in the order of Voigt,

        A_ij = ∂²E / ∂e_i ∂e_j  at fixed r,      Λ_i,ka = ∂²E / ∂e_i ∂r_ka.

    Six backward passes through the gradient give both.

    Parameters
    ----------
    model : AbstractEnergyModel
    graph : AtomicGraph
        One structure, in the model's dtype and on its device.

    Returns
    -------
    (6, 6) tensor, eV, and (6, n_atoms, 3) tensor, eV/Å
        The first is symmetric to rounding.

    Raises
    ------
    InputError
        If the graph holds more than one structure.
    """
    if graph.n_structures != 1:
        raise InputError(f"expected a graph of one structure, got {graph.n_structures}")
    positions = graph.positions.detach().clone().requires_grad_()
    strain = positions.new_zeros(6).requires_grad_()
    with torch.enable_grad():
        deformed = torch.eye(3, dtype=strain.dtype, device=strain.device) + _matrix(strain)
        strained = replace(graph, positions=positions @ deformed, cell=graph.cell @ deformed)
        energy = predict(model, strained, derivatives=False, create_graph=True).energy.sum()
    if not energy.requires_grad:  # no edges: no atom feels another
        return strain.new_zeros(6, 6), strain.new_zeros(6, graph.n_atoms, 3)
    (slope,) = torch.autograd.grad(energy, strain, create_graph=True)
    rows = [
        torch.autograd.grad(component, (strain, positions), retain_graph=True)
        for component in slope
    ]
    return torch.stack([row[0] for row in rows]), torch.stack([row[1] for row in rows])


def _matrix(strain: Tensor) -> Tensor:
    """ε from its six numbers."""
    places = strain.new_zeros(6, 3, 3)
    for place, (i, j) in zip(places, VOIGT, strict=True):
        place[i, j] += 0.5
        place[j, i] += 0.5
    return torch.tensordot(strain, places, 1)
