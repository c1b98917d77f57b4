"""How fine the splines of radial functions must be."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers, covalent_radii

from ase_symcalc.graph import AtomicGraph, Environments
from ase_symcalc.models import AbstractEnergyModel, build_model
from ase_symcalc.models.mace_radial import PairTabulated
from ase_symcalc.nn.tabulated import TabulatedFunctions, fine_spline
from ase_symcalc.structures import build_graph

BOTH = (torch.float32, torch.float64)
TARGET = 1e-7
"""eV of an atom, for float32; a tenth of what float32 itself costs."""
SIZES = (256, 384, 512, 768, 1024, 1536)
FINE_TARGET = 1e-11
"""Of the slopes of radial functions, for float64; forces have the same relative error."""
FINE_SIZES = SIZES[2:]
SHORTEST, STEP = 0.5, 5e-4  # Å; slopes are taken over two steps, less than an interval


def with_splines(
    model: AbstractEnergyModel, dtypes: Collection[torch.dtype] = BOTH
) -> tuple[AbstractEnergyModel, str]:
    """Give a network the coarsest splines that do not show, or none.

    Parameters
    ----------
    model : AbstractEnergyModel
        In float64; left as it is.
    dtypes : collection of torch.dtype
        In which there are to be splines.

    Returns
    -------
    model : AbstractEnergyModel
    sentence : str
        How large the errors are, for the card.
    """
    if not isinstance(getattr(model, "radial", None), TabulatedFunctions):
        return model, ""
    n, n_fine, sentences = 0, 0, []
    if torch.float32 in dtypes:
        n, error = _coarsest(model)
        sentences += [
            f"In float32 its radial functions are cubic splines of {n} intervals, which changes "
            f"the energies of atoms in test crystals by at most {error:.0e} eV."
        ] * bool(n)
    if torch.float64 in dtypes:
        n_fine, error = _coarsest_fine(model)
        sentences += [
            f"In float64 its radial functions are splines of degree 7 of {n_fine} intervals, "
            f"which changes their slopes by {error:.0e} (root mean square)."
        ] * bool(n_fine)
    return _rebuilt(model, num_intervals=n, num_fine_intervals=n_fine), " ".join(sentences)


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


def _coarsest(model: AbstractEnergyModel) -> tuple[int, float]:
    """First of the sizes that is good enough for float32, and the error of energies, eV."""
    graph = build_graph(list(trial_crystals(model.elements).values()), model.cutoff)
    exact = _energies(_rebuilt(model), graph)
    for size in SIZES:
        splined = _rebuilt(model, num_intervals=size)
        radial = splined.get_submodule("radial")
        assert isinstance(radial, TabulatedFunctions)  # for a type checker
        radial.exact = ()
        error = float((_energies(splined, graph) - exact).abs().max())
        if error < TARGET:
            return size, error
    return 0, 0.0


@torch.no_grad()
def _coarsest_fine(model: AbstractEnergyModel) -> tuple[int, float]:
    """First of the sizes that is good enough for float64, and the relative error of slopes."""
    radial = model.get_submodule("radial")
    assert isinstance(radial, TabulatedFunctions)  # for a type checker
    kinds: list[tuple[torch.Tensor, ...]] = [()]
    if isinstance(radial, PairTabulated):
        kinds = [(2 * some,) for some in (radial.radii.min(), radial.radii.max())]

    def values(at: torch.Tensor) -> torch.Tensor:
        every = [radial.functions(at, *(k.expand(len(at)) for k in kind)) for kind in kinds]
        return torch.cat([table for tables in every for table in tables], dim=1)

    middle = torch.linspace(SHORTEST, radial.breaks[-1], 130, dtype=torch.float64)[1:-1]
    lengths = torch.cat([middle - STEP, middle + STEP])
    exact = values(lengths)
    for size in FINE_SIZES:
        spline = fine_spline(radial.breaks, size)
        coefficients = spline.coefficients(values(spline.points))
        interval, basis = spline(lengths)
        found = torch.zeros_like(exact)
        for q in range(spline.n_taps):
            found.addcmul_(basis[:, q : q + 1], coefficients[interval + q])
        error = float(_difference(found - exact).norm() / _difference(exact).norm())
        if error < FINE_TARGET:
            return size, error
    return 0, 0.0


def _difference(values: torch.Tensor) -> torch.Tensor:
    lower, upper = values.chunk(2)
    return upper - lower


def _rebuilt(model: AbstractEnergyModel, **intervals: int) -> AbstractEnergyModel:
    """Build the network again, without splines but those that are asked for."""
    settings = {"num_intervals": 0, "num_fine_intervals": 0} | intervals
    config: Any = model.config
    again = build_model(replace(config, **settings)).double().requires_grad_(False)
    again.load_state_dict(model.state_dict())
    return again


def _energies(model: AbstractEnergyModel, graph: AtomicGraph) -> torch.Tensor:
    with torch.no_grad():
        return model(Environments.of(graph))
