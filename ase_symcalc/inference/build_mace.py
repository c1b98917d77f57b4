"""From a trained MACE to the network that is evaluated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import torch

from ase_symcalc.inference.convolution import Convolution
from ase_symcalc.inference.coordinates import RadialGrid
from ase_symcalc.inference.mace import MACELayer, MACENetwork
from ase_symcalc.inference.many_pairs import ManyPairsNetwork
from ase_symcalc.inference.packing import as_array, linear_map
from ase_symcalc.inference.pair_tables import PairTables
from ase_symcalc.inference.pairs import PairTerm
from ase_symcalc.inference.readout import Readout
from ase_symcalc.models.mace import MACE, Layer
from ase_symcalc.models.mace_radial import PairRepulsion, PairTabulated
from ase_symcalc.nn.kernels.builder import real_name
from ase_symcalc.nn.kernels.polynomial import polynomial_kernel
from ase_symcalc.nn.layout import blocks
from ase_symcalc.nn.spline import SplineInterpolation


def mace_network(model: MACE, dtype: Any) -> MACENetwork | ManyPairsNetwork | None:
    """Pack a model in float64 for evaluation in ``dtype``; None if it has no splines then."""
    spline = model.radial.spline_for(torch.float64 if np.dtype(dtype) == float else torch.float32)
    if spline is None:
        return None
    layers = []
    densities = iter(range(model.num_layers))
    modules = cast(list[Layer], list(model.layers))
    for number, layer in enumerate(modules):
        density = next(densities) if model.config.density[number] else None
        layers.append(_layer(model, layer, number, density, dtype, spline.n_taps))
    term = model.repulsion
    first = modules[0].before(model.embedding)
    network = MACENetwork(
        dtype=dtype,
        species_of=as_array(model.species_of),
        lmax=model.config.sh_lmax,
        grid=RadialGrid.of(spline),
        tables=_pair_tables(model, spline, dtype),
        first_rows=as_array(first).astype(dtype),
        layers=tuple(layers),
        pair_term=None if term is None else _repulsion(term, float(model.scale)),
    )
    return network if network.tables.are_few else ManyPairsNetwork(network, model)


def _layer(
    model: MACE, layer: Layer, number: int, density: int | None, dtype: Any, n_taps: int
) -> MACELayer:
    scale = 1.0 if density is not None else 1 / model.config.avg_num_neighbours
    n_channels, basis = model.config.num_channels, layer.basis
    kept = before = own = None
    if number:
        before = linear_map(layer.before, dtype)
        own = linear_map(layer.own, dtype) if layer.own is not None else None
    elif layer.own is not None:
        kept = as_array(layer.own(model.embedding, torch.arange(len(model.embedding))))
    real = real_name(dtype)
    references = as_array(model.reference_energies.sum(0))
    return MACELayer(
        blocks=blocks(layer.irreps_in),
        dim_factors=basis.irreps_in.dim * n_channels,
        dim_products=basis.irreps_out.dim * n_channels,
        dim_features=layer.irreps_out.dim,
        before=before,
        convolution=Convolution(layer.table, dtype, n_taps),
        mix=linear_map(layer.mix, dtype, scale=scale),
        weights=np.ascontiguousarray(as_array(layer.polynomial_weights()), dtype=dtype),
        values=polynomial_kernel("values", basis, n_channels, real),
        gradient=polynomial_kernel("gradient", basis, n_channels, real),
        after=linear_map(layer.after, dtype, bias=kept),
        own=own,
        density=density,
        readout=Readout(
            columns=slice(0, n_channels),
            maps=_readout(layer),
            references=np.zeros_like(references) if number else references,
            scales=np.full(len(references), float(model.scale)),
        ),
    )


def _readout(layer: Layer) -> tuple[np.ndarray, ...]:
    maps = [as_array(w) / w.shape[0] ** 0.5 for w in layer.readout.weights]
    gain = layer.readout.activation.gain
    return tuple(w if n == 0 else w * gain for n, w in enumerate(maps))


def _pair_tables(model: MACE, spline: SplineInterpolation, dtype: Any) -> PairTables:
    radii = as_array(model.radial.radii)
    n_weights = sum(cast(Layer, layer).table.n_weights for layer in model.layers)
    return PairTables(
        len(spline.points),
        n_weights,
        radii[:, None] + radii,
        _coefficients(model.radial, spline),
        model.num_layers,
        dtype,
    )


def _coefficients(
    radial: PairTabulated, spline: SplineInterpolation
) -> Callable[[np.ndarray], list[np.ndarray]]:
    def coefficients(kinds: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode(False), torch.no_grad():
            return [as_array(t) for t in radial.coefficients(spline, torch.tensor(kinds))]

    return coefficients


def _repulsion(term: PairRepulsion, scale: float) -> PairTerm:
    reach, inverse_length, strength = (as_array(table) for table in term.pair_tables())
    *amplitudes, _, _ = term.constants.tolist()
    exponents = tuple(term.exponents.tolist())
    strength = strength * scale
    return PairTerm(
        reach, inverse_length, strength, tuple(amplitudes), exponents, term.envelope_power
    )
