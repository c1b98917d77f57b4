"""How fine the splines of radial functions must be."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from ase_symcalc.graph import AtomicGraph, Environments
from ase_symcalc.models import AbstractEnergyModel, build_model
from ase_symcalc.nn.tabulated import TabulatedFunctions
from ase_symcalc.structures import build_graph

TARGET = 1e-7
"""eV of an atom; a tenth of what float32 itself costs."""
SIZES = (256, 384, 512, 768, 1024, 1536)


def with_splines(model: AbstractEnergyModel) -> tuple[AbstractEnergyModel, str]:
    """Give a network the coarsest splines that do not show, or none.

    Parameters
    ----------
    model : AbstractEnergyModel
        In float64, where no splines are used; left as it is.

    Returns
    -------
    model : AbstractEnergyModel
    sentence : str
        How large the error is, for the card.
    """
    if not isinstance(getattr(model, "radial", None), TabulatedFunctions):
        return model, ""
    graph = build_graph(list(trial_crystals(model.elements).values()), model.cutoff)
    exact = _energies(model, graph)
    for n_intervals in SIZES:
        splined = _rebuilt(model, n_intervals)
        radial = splined.get_submodule("radial")
        assert isinstance(radial, TabulatedFunctions)  # for a type checker
        kept, radial.exact = radial.exact, ()
        error = float((_energies(splined, graph) - exact).abs().max())
        radial.exact = kept
        if error < TARGET:
            return splined, (
                f"In float32 its radial functions are cubic splines of {n_intervals} intervals, "
                "which changes the energies of atoms in test crystals by at most "
                f"{error:.0e} eV."
            )
    return without_splines(model), ""


def without_splines(model: AbstractEnergyModel) -> AbstractEnergyModel:
    """Let a network evaluate its radial functions at every edge, whatever the dtype."""
    if not isinstance(getattr(model, "radial", None), TabulatedFunctions):
        return model
    return _rebuilt(model, 0)


def trial_crystals(elements: tuple[str, ...]) -> dict[str, Atoms]:
    """Rattled crystals of pairs of elements from all over the table, at natural distances."""
    rng = np.random.default_rng(0)
    chosen = [elements[round(n)] for n in np.linspace(0, len(elements) - 1, 12)]
    crystals = {}
    for pair in zip(chosen, reversed(chosen), strict=True):
        a = 1.1 * sum(covalent_radii[atomic_numbers[symbol]] for symbol in pair) / 0.75**0.5
        crystal = Atoms(pair, [[0, 0, 0], [a / 2] * 3], cell=[a] * 3, pbc=True)
        crystal.positions += rng.normal(scale=0.05 * a, size=(2, 3))
        crystals["-".join(pair)] = crystal
    return crystals


def _rebuilt(model: AbstractEnergyModel, n_intervals: int) -> AbstractEnergyModel:
    config: Any = model.config
    again = build_model(replace(config, num_intervals=n_intervals)).double().requires_grad_(False)
    again.load_state_dict(model.state_dict())
    return again


def _energies(model: AbstractEnergyModel, graph: AtomicGraph) -> torch.Tensor:
    with torch.no_grad():
        return model(Environments.of(graph))
