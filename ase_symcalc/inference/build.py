"""From a trained model to the network that is evaluated."""

from __future__ import annotations

import copy
from typing import Any, cast

import numpy as np
import torch
from e3nn.o3 import Irreps
from torch import Tensor

from ase_symcalc.inference.build_mace import mace_network
from ase_symcalc.inference.convolution import Convolution
from ase_symcalc.inference.coordinates import RadialGrid
from ase_symcalc.inference.gated import GatedLayer, GatedNetwork
from ase_symcalc.inference.many_pairs import ManyPairsNetwork
from ase_symcalc.inference.packing import as_array, linear_map
from ase_symcalc.inference.pairs import PairTerm
from ase_symcalc.inference.planned import PlannedNetwork
from ase_symcalc.inference.readout import Readout
from ase_symcalc.models.mace import MACE
from ase_symcalc.models.nequip import Layer as NequIPLayer
from ase_symcalc.models.nequip import NequIP
from ase_symcalc.models.repulsion import Repulsion
from ase_symcalc.models.symnet import SymNet
from ase_symcalc.nn.activation import ACTIVATIONS, SILU_GAIN, Gate
from ase_symcalc.nn.interaction import Interaction
from ase_symcalc.nn.kernels.builder import real_name
from ase_symcalc.nn.kernels.gates import Gated, GateTable, Scalars
from ase_symcalc.nn.layout import blocks
from ase_symcalc.nn.linear import Linear, SpeciesLinear


@torch.no_grad()
def compile_network(
    model: torch.nn.Module, dtype: torch.dtype
) -> PlannedNetwork | ManyPairsNetwork | None:
    """Pack a model's weights for evaluation on the CPU.

    Parameters
    ----------
    model : AbstractEnergyModel
        Left as it is; later changes of its weights are not seen.
    dtype : torch.float32 or torch.float64
        In which features are computed. Geometry and sums of energies are in float64.

    Returns
    -------
    network, or None if the model has parts that only its own ``forward`` can evaluate.
    """
    number_type = {torch.float32: np.float32, torch.float64: np.float64}[dtype]
    exact = copy.deepcopy(model).double()
    if isinstance(exact, SymNet):
        return _symnet(exact, number_type)
    if isinstance(exact, NequIP):
        return _nequip(exact, number_type)
    if isinstance(exact, MACE):
        return mace_network(exact, number_type)
    return None


def _symnet(model: SymNet, dtype: Any) -> GatedNetwork | None:
    layers, modules = [], cast(list[Interaction], list(model.layers))
    for number, layer in enumerate(modules):
        embedding = None if number else model.embedding
        knots = layer.radial(model.grid.inputs)
        layers.append(_layer(layer, dtype, knots, model.grid.n_taps, embedding))
    hidden = model.readout_hidden / model.readout_hidden.shape[0] ** 0.5
    out = model.readout_out * (SILU_GAIN / model.readout_out.shape[0] ** 0.5)
    references = as_array(model.reference_energies)
    return GatedNetwork(
        dtype=dtype,
        species_of=as_array(model.species_of),
        lmax=model.config.sh_lmax,
        grid=RadialGrid.uniform(model.grid.spacing, model.grid.n_intervals, model.grid.n_taps),
        first_rows=as_array(modules[0].before(model.embedding)).astype(dtype),
        layers=tuple(layers),
        dim_features=modules[-1].irreps_out.dim,
        readout=Readout(
            columns=slice(0, len(model.readout_hidden)),
            maps=(as_array(hidden), as_array(out)[:, None]),
            references=references,
            scales=np.full(len(references), float(model.scale)),
        ),
        pair_term=None if model.repulsion is None else _repulsion(model.repulsion),
    )


def _repulsion(term: Repulsion) -> PairTerm:
    reach, inverse_length, strength = (as_array(table) for table in term.pair_tables())
    amplitudes, exponents = term.coefficients.tolist(), term.exponents.tolist()
    return PairTerm(reach, inverse_length, strength, tuple(amplitudes), tuple(exponents), 6)


def _nequip(model: NequIP, dtype: Any) -> GatedNetwork | None:
    config = model.config
    spline = model.radial.spline_for(torch.float64 if np.dtype(dtype) == float else torch.float32)
    if spline is None:
        return None
    tables = model.radial.tables(spline, torch.zeros(0, dtype=torch.float64))
    layers, modules = [], cast(list[NequIPLayer], list(model.layers))
    for number, layer in enumerate(modules):
        embedding = None if number else model.embedding
        layers.append(_layer(layer, dtype, tables[number], spline.n_taps, embedding))
    maps = [w / w.shape[0] ** 0.5 for w in model.readout.weights]
    maps = maps[:1] + [w * model.readout.activation.gain for w in maps[1:]]
    scalars = next(b for b in blocks(modules[-1].gate.irreps_out) if (b.l, b.p) == (0, 1))
    return GatedNetwork(
        dtype=dtype,
        species_of=as_array(model.species_of),
        lmax=config.sh_lmax,
        grid=RadialGrid.of(spline),
        first_rows=as_array(modules[0].messages_from(model.embedding)).astype(dtype),
        layers=tuple(layers),
        dim_features=modules[-1].gate.irreps_out.dim,
        readout=Readout(
            columns=slice(scalars.offset, scalars.end),
            maps=tuple(as_array(w) for w in maps),
            references=as_array(model.reference_energies),
            scales=as_array(model.scale),
            function=config.readout_activation,
        ),
        pair_term=None,
    )


def _layer(
    layer: Interaction | NequIPLayer,
    dtype: Any,
    knots: Tensor,
    n_taps: int,
    embedding: Tensor | None,
) -> GatedLayer:
    """Pack a layer; in the first, the species' ``embedding`` decides what centres keep."""
    mixed = layer.gate.irreps_in
    scale = layer.neighbour_scale if isinstance(layer, Interaction) else 1.0
    after_bias = before_bias = None
    if isinstance(layer, NequIPLayer):
        after_bias = _bias_row(layer.after_bias, mixed)
        before_bias = _bias_row(layer.before_bias, layer.irreps_in)
    before = own = None
    if embedding is not None:
        kept = _own(layer, embedding)
        after_bias = kept if after_bias is None else kept + after_bias
    else:
        before = linear_map(layer.before, dtype, bias=before_bias)
        if layer.own is not None:
            module = cast(Linear | SpeciesLinear, layer.own)
            own, after_bias = linear_map(module, dtype, bias=after_bias), None
    gate = gate_table(layer.gate)
    real = real_name(dtype)
    return GatedLayer(
        blocks=blocks(layer.irreps_in),
        dim_mixed=mixed.dim,
        before=before,
        convolution=Convolution(layer.table, dtype, n_taps),
        knots=as_array(knots).astype(dtype),
        after=linear_map(layer.after, dtype, scale=scale, bias=after_bias),
        own=own,
        gate=gate.kernel(real, derivative=False),
        gate_back=gate.kernel(real, derivative=True),
    )


def _own(layer: Interaction | NequIPLayer, embedding: Tensor) -> np.ndarray:
    """Find what a centre of each species keeps of its embedding."""
    if layer.own is None:
        return np.zeros((len(embedding), layer.gate.irreps_in.dim))
    species = (torch.arange(len(embedding)),) if isinstance(layer.own, SpeciesLinear) else ()
    return as_array(layer.own(embedding, *species))


def gate_table(gate: Gate) -> GateTable:
    """Columns of a gate's parts, before and after it."""
    n_even, n_gates, n_odd = gate.sizes
    odd_first = gate.odd_first
    scalars = [Scalars(0, n_odd if odd_first else 0, n_even, *_named(gate.even))]
    if n_odd:
        out = 0 if odd_first else n_even
        scalars.append(Scalars(n_even + n_gates, out, n_odd, *_named(gate.odd)))
    gated, before, after, used = [], n_even + n_gates + n_odd, n_even + n_odd, n_even
    for block in blocks(gate.gated):
        gated.append(Gated(used, before, after, block.mul, block.dim, *_named(gate.gates)))
        used += block.mul
        before += block.mul * block.dim
        after += block.mul * block.dim
    return GateTable(before, after, tuple(scalars), tuple(gated))


def _named(name: str) -> tuple[str, float]:
    return name, ACTIVATIONS[name].gain


def _bias_row(bias: Tensor | None, irreps: Irreps) -> np.ndarray | None:
    if bias is None:
        return None
    block = next(b for b in blocks(irreps) if (b.l, b.p) == (0, 1))
    row = np.zeros((1, irreps.dim))
    row[0, block.offset : block.end] = as_array(bias)
    return row
