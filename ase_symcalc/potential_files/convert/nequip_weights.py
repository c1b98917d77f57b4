"""Weights of a network of NequIP type, from the way e3nn keeps them to the way ours does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from e3nn.o3 import Irrep, Irreps
from torch import Tensor

from ase_symcalc.models import AbstractEnergyModel, build_model
from ase_symcalc.models.nequip_config import NequIPConfig
from ase_symcalc.nn.activation import Gate
from ase_symcalc.potential_files.convert.e3nn_weights import Matrices, gain_ratio

Coupling = tuple[Irrep, int, Irrep]
"""Irrep of the features, degree of the harmonic, irrep of the message."""


@dataclass(frozen=True, slots=True)
class LayerWeights:
    """One layer, as maps x → x W without any further factor."""

    before: Matrices
    before_bias: Tensor | None
    radial: list[Tensor]
    """For a `RadialNetwork`; columns of the last in the order of `couplings`."""
    after: Matrices
    after_bias: Tensor | None
    own: Matrices
    """(mul_in, mul_out), with species as first dimension if each has its own; or empty."""


@dataclass(frozen=True, slots=True)
class NetworkWeights:
    """All weights of a network; rows of species in the order of its elements."""

    embedding: Tensor
    wave_numbers: Tensor
    layers: list[LayerWeights]
    readout: list[Tensor]
    """For a `RadialNetwork`."""
    reference_energies: Tensor
    scale: Tensor


def couplings(
    irreps: Irreps, harmonics: Irreps, targets: Irreps | None = None
) -> list[tuple[int, Coupling]]:
    """Channels and coupling of each path of a convolution, in the order of `PathTable`."""
    return [
        (mul, (ir, sh.l, out))
        for mul, ir in irreps
        for _, sh in harmonics
        for out in ir * sh
        if targets is None or out in targets
    ]


def reached(irreps: Irreps, harmonics: Irreps) -> Irreps:
    """Messages that the product of features and harmonics can give, sorted as e3nn does."""
    every = [(mul, ir) for mul, (_, _, ir) in couplings(irreps, harmonics)]
    return Irreps(every).sort().irreps.simplify()


def reordered(
    columns: Tensor,
    theirs: Sequence[tuple[int, Coupling]],
    ours: Sequence[tuple[int, Coupling]],
    signs: dict[Coupling, int],
) -> Tensor:
    """Columns of radial weights in our order, those that nothing uses left out."""
    starts, start = {}, 0
    for mul, coupling in theirs:
        starts[coupling] = start
        start += mul
    parts = [columns[:, starts[c] : starts[c] + mul] * float(signs.get(c, 1)) for mul, c in ours]
    return torch.cat(parts, dim=1)


def network(config: NequIPConfig, weights: NetworkWeights) -> AbstractEnergyModel:
    """Build the network and put the weights in.

    e3nn and we multiply activations by slightly different constants; the maps that follow
    an activation take up the ratio.
    """
    model = build_model(config).double()
    state = {
        "embedding": weights.embedding,
        "radial.functions.wave_numbers": weights.wave_numbers,
        "reference_energies": weights.reference_energies,
        "scale": weights.scale,
    }
    for n, w in enumerate(weights.readout):
        ratio = gain_ratio(config.even_activation) if n == 0 else 1.0
        state[f"readout.weights.{n}"] = w * ratio
    for t, layer in enumerate(weights.layers):
        irreps = Irreps(config.irreps[t])
        ratios = _ratios(config, irreps) if t else {ir: 1.0 for _, ir in irreps}
        targets = Gate(Irreps(config.irreps[t + 1])).irreps_in
        for n, w in enumerate(layer.radial):
            state[f"radial.functions.networks.{t}.weights.{n}"] = w
        for name, matrices, factors in (
            ("before", layer.before, ratios),
            ("own", layer.own, ratios),
            ("after", layer.after, {ir: 1.0 for ir in layer.after}),
        ):
            for n, w in enumerate(
                _in_order(matrices, targets if name != "before" else irreps, factors)
            ):
                state[f"layers.{t}.{name}.weights.{n}"] = w
        if config.biases:
            for name, bias in (("before", layer.before_bias), ("after", layer.after_bias)):
                if bias is not None:
                    state[f"layers.{t}.{name}_bias"] = bias
    own = model.state_dict()
    model.load_state_dict({**{k: v for k, v in own.items() if k.endswith("_bias")}, **state})
    return model


def _in_order(matrices: Matrices, targets: Irreps, ratios: dict[Irrep, float]) -> Iterable[Tensor]:
    """Matrices as our linear maps hold them: by output irrep, times the root of their inputs."""
    for _, ir in targets:
        if ir in matrices:
            w = matrices[ir]
            yield w * (w.shape[-2] ** 0.5 * ratios[ir])


def _ratios(config: NequIPConfig, irreps: Irreps) -> dict[Irrep, float]:
    even, odd, gate = (
        gain_ratio(name)
        for name in (config.even_activation, config.odd_activation, config.gate_activation)
    )
    return {ir: gate if ir.l else (even if ir.p == 1 else odd) for _, ir in irreps}
