"""NequIP checkpoints, from version 0.7 on: a state dict, and the settings of the training.

Older trainings keep their settings in another file, packaged and compiled models hold programs:
neither is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from e3nn.o3 import Irrep, Irreps
from torch import Tensor

from ase_symcalc.errors import PotentialFileError
from ase_symcalc.models import AbstractEnergyModel
from ase_symcalc.models.elements import atomic_number
from ase_symcalc.models.nequip_config import NequIPConfig
from ase_symcalc.nn.activation import ACTIVATIONS, Gate
from ase_symcalc.potential_files.convert.dialect import EdgeDialect
from ase_symcalc.potential_files.convert.e3nn_weights import (
    Tensors,
    coupling_sign,
    linear,
    species_linear,
)
from ase_symcalc.potential_files.convert.nequip_weights import (
    LayerWeights,
    NetworkWeights,
    couplings,
    network,
    reached,
    reordered,
)
from ase_symcalc.potential_files.convert.origin import Origin

FORMAT = "NequIP checkpoints of version 0.7 and later (.ckpt)"
DIALECT = EdgeDialect(centre_row=0, vector="centre_to_neighbour")

_BUILDERS = {f"nequip.model.{full}NequIPGNN{what}" for full in ("", "Full") for what in ("Model", "EnergyModel")}
_SCALAR = Irrep("0e")
_REFUSED = (
    "per_edge_type_cutoff",
    "pair_potential",
    "categorical_graph_field_embed",
    "convnet_resnet",
    "learnable_shift",
)
"""Settings that make another kind of network."""


def locate(name: str) -> Path | None:
    """Find nothing: no NequIP checkpoint comes with a package."""
    return None


def recognises(content: Any) -> bool:
    """Whether a checkpoint is NequIP's, also one that cannot be converted."""
    if not isinstance(content, dict):
        return False
    settings = content.get("hyper_parameters")
    trained = isinstance(settings, dict) and "model" in settings and "info_dict" in settings
    return trained or any("_convnet." in str(name) for name in content)


def convert(
    content: dict[str, Any], where: str, selection: str | None
) -> tuple[AbstractEnergyModel, Origin]:
    """Build the network of a checkpoint, with averaged weights if there are any.

    Parameters
    ----------
    content : dict
        From `read_checkpoint`.
    where : str
        The file, for messages.
    selection : str or None
        Must be None.
    """
    if "hyper_parameters" not in content:
        raise PotentialFileError(
            f"{where} holds weights of NequIP 0.6 or older without their settings, which cannot be "
            "converted. Train or fine-tune again with NequIP 0.7 or later, and give the .ckpt file."
        )
    if selection is not None:
        raise PotentialFileError(
            f"{where}: expected no @ and name, since NequIP has one model; got {selection!r}"
        )
    try:
        settings = content["hyper_parameters"]["model"]
        versions = content["hyper_parameters"]["info_dict"].get("versions", {})
        config, tensors = _read(settings, content["state_dict"], where)
        weights = _weights(settings, config, tensors)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise PotentialFileError(
            f"{where}: expected the settings of a NequIP network, got: {error}"
        ) from error
    tensors.finish(_is_constant)
    origin = Origin(
        package=f"NequIP {versions.get('nequip', 'of unknown version')}",
        licence="NequIP is under the MIT licence; for the weights ask whoever trained them",
        implementation="Tan et al., arXiv:2504.16068",
        architecture="Batzner et al., Nat. Commun. 13, 2453 (2022)",
    )
    return network(config, weights), origin


def _is_constant(name: str, _: Tensor) -> bool:
    ends = ("output_mask", "_rmax_recip", "bessel_weights")
    return name.endswith(ends) or "._compiled_main_left_right." in name


def _read(settings: Any, state: Any, where: str) -> tuple[NequIPConfig, Tensors]:
    """Settings of our network, and its tensors by their names within it."""
    if settings.get("_target_") not in _BUILDERS:
        raise PotentialFileError(
            f"{where}: expected a model made by {' or '.join(sorted(_BUILDERS))}, "
            f"got {settings.get('_target_')!r}"
        )
    for key in _REFUSED:
        if settings.get(key):
            raise PotentialFileError(f"{where}: networks with {key} cannot be converted")
    tensors = Tensors(where, _named(state))
    return _config(settings, tensors), tensors


def _named(state: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors of the one model, averaged ones in the place of those being trained."""
    heads = [k.removesuffix("type_embed.embed_module.weight") for k in state]
    heads = [head for head, k in zip(heads, state, strict=True) if head != k]
    if len(heads) != 1:
        raise ValueError(f"{len(heads)} models in one checkpoint")
    own = {k.removeprefix(heads[0]): v for k, v in state.items() if k.startswith(heads[0])}
    average = state.get("ema._extra_state")
    if not average:
        return own
    if not average["is_holding_ema_weights"]:  # the model has them already
        return own
    n_averaged = sum(k.startswith("ema.ema_weight_") for k in state)
    trained = [k for k, v in own.items() if isinstance(v, Tensor) and v.numel() and _is_weight(k)]
    if len(trained) != n_averaged:
        raise ValueError(f"averages of {n_averaged} weights of {len(trained)}")
    for n, key in enumerate(trained):
        if state[f"ema.ema_weight_{n}"].shape != own[key].shape:
            raise ValueError(f"an average of another shape than {key}")
        own[key] = state[f"ema.ema_weight_{n}"]
    return own


def _is_weight(name: str) -> bool:
    return name.endswith(".weight") and not name.endswith(("tp.weight", "mul.weight"))


def _config(settings: Mapping[str, Any], tensors: Tensors) -> NequIPConfig:
    harmonics = _harmonics(settings)
    embedding = tensors.named["type_embed.embed_module.weight"]
    irreps = [Irreps(f"{embedding.shape[1]}x0e")]
    for hidden in _hidden(settings, tensors):
        irreps.append(Irreps([(mul, ir) for mul, ir in hidden if ir in reached(irreps[-1], harmonics)]))
    scalars, gates = (
        {"e": "silu", "o": "tanh", **settings.get(f"convnet_nonlinearity_{kind}", {})}
        for kind in ("scalars", "gates")
    )
    if settings.get("convnet_nonlinearity_type", "gate") != "gate":
        raise ValueError("nonlinearities other than gates")
    p = float(settings.get("polynomial_cutoff_p", 6))
    if p != int(p):
        raise ValueError(f"a polynomial cutoff of power {p}")
    readout = _perceptron_widths(tensors, "per_atom_energy_readout.mlp_module")
    n_layers = len(irreps) - 1
    return NequIPConfig(
        elements=tuple(sorted(settings["type_names"], key=atomic_number)),
        cutoff=float(settings["r_max"]),
        irreps=tuple(map(str, irreps)),
        sh_lmax=harmonics.lmax,
        parity=True,
        num_bessel=int(settings.get("num_bessels", 8)),
        envelope_parameter=p,
        radial_widths=_perceptron_widths(tensors, "layer0_convnet.conv.edge_mlp")[1:-1],
        even_activation=scalars["e"],
        odd_activation=scalars["o"],
        gate_activation=gates["e"],
        connections=tuple(
            "species" if f"layer{t}_convnet.conv.sc.weight" in tensors.named else "none"
            for t in range(n_layers)
        ),
        readout_widths=readout[1:-1],
        readout_activation=settings.get("readout_mlp_nonlinearity", "silu"),
    )


def _harmonics(settings: Mapping[str, Any]) -> Irreps:
    given = settings.get("irreps_edge_sh", settings.get("l_max", 1))
    irreps = Irreps.spherical_harmonics(given) if isinstance(given, int) else Irreps(given)
    if irreps != Irreps.spherical_harmonics(irreps.lmax):
        raise ValueError(f"spherical harmonics {irreps}")
    return irreps


def _hidden(settings: Mapping[str, Any], tensors: Tensors) -> list[Irreps]:
    """Features that are wanted after each layer; not all can be reached."""
    if "feature_irreps_hidden" in settings:
        return [Irreps(text) for text in settings["feature_irreps_hidden"]]
    lmax, parity = int(settings.get("l_max", 1)), bool(settings.get("parity", True))
    numbers = settings.get("num_features", 32)
    numbers = [numbers] * (lmax + 1) if isinstance(numbers, int) else list(numbers)
    both = Irreps(
        [(numbers[l], (l, p)) for l in range(lmax + 1) for p in ((1, -1) if parity else ((-1) ** l,))]
    )
    n_layers = int(settings.get("num_layers", 4))
    return [both] * (n_layers - 1) + [Irreps(f"{numbers[0]}x0e")]


def _perceptron_widths(tensors: Tensors, name: str) -> tuple[int, ...]:
    shapes = [
        tuple(tensors.named[key].shape)
        for n in range(0, 64, 2)
        if (key := f"{name}.mlp.{n}.weight") in tensors.named
    ]
    if not shapes or any(len(shape) != 2 for shape in shapes):
        raise ValueError(f"no layers of {name}")
    return (*(n for n, _ in shapes), shapes[-1][1])


def _weights(settings: Mapping[str, Any], config: NequIPConfig, tensors: Tensors) -> NetworkWeights:
    names = list(settings["type_names"])
    rows = torch.tensor([names.index(symbol) for symbol in config.elements])
    irreps = [Irreps(text) for text in config.irreps]
    embedding = tensors.take("type_embed.embed_module.weight", len(names), irreps[0].dim)[rows]
    waves = torch.arange(1, config.num_bessel + 1, dtype=torch.float64)
    if "bessel_encode.bessel_weights" in tensors.named:
        waves = tensors.take("bessel_encode.bessel_weights", 1, config.num_bessel)[0]
    n = irreps[-1].count(_SCALAR)
    readout = _perceptron(
        tensors, "per_atom_energy_readout.mlp_module", (n, *config.readout_widths, 1), config.readout_activation
    )
    return NetworkWeights(
        embedding=embedding,
        wave_numbers=waves * (torch.pi / config.cutoff),
        layers=[_layer(t, settings, config, irreps, tensors, embedding) for t in range(len(irreps) - 1)],
        readout=readout,
        reference_energies=_per_type(tensors, "shifts", rows, 0.0),
        scale=_per_type(tensors, "scales", rows, 1.0),
    )


def _per_type(tensors: Tensors, kind: str, rows: Tensor, default: float) -> Tensor:
    name = f"per_type_energy_scale_shift.{kind}"
    stored = tensors.named.get(name)
    if stored is None or stored.numel() == 0:
        return torch.full((len(rows),), default, dtype=torch.float64)
    if stored.numel() == 1:
        return tensors.take(name, 1, 1)[:, 0].repeat(len(rows))
    return tensors.take(name, len(rows), 1)[rows, 0]


def _layer(
    t: int,
    settings: Mapping[str, Any],
    config: NequIPConfig,
    irreps: list[Irreps],
    tensors: Tensors,
    embedding: Tensor,
) -> LayerWeights:
    name, x, harmonics = f"layer{t}_convnet.conv", irreps[t], _harmonics(settings)
    gate_in = Gate(irreps[t + 1]).irreps_in
    theirs = couplings(x, harmonics, gate_in)
    messages = Irreps([(mul, ir) for mul, (_, _, ir) in theirs]).sort().irreps.simplify()
    neighbours = settings.get("avg_num_neighbors") or 1.0
    if isinstance(neighbours, Mapping):
        if len(set(neighbours.values())) > 1:
            raise ValueError("numbers of neighbours that differ by element")
        neighbours = next(iter(neighbours.values()))
    before, _ = linear(tensors, f"{name}.linear_1", x, x)
    after, _ = linear(tensors, f"{name}.linear_2", messages, gate_in)
    own = {}
    if config.connections[t] == "species":
        width = embedding.shape[1]
        maps = species_linear(tensors, f"{name}.sc", x, gate_in, width)
        own = {ir: torch.einsum("sv,vuw->suw", embedding, w) for ir, w in maps.items()}
    widths = (config.num_bessel, *config.radial_widths, sum(mul for mul, _ in theirs))
    radial = _perceptron(tensors, f"{name}.edge_mlp", widths, "silu")
    radial[0] = radial[0] * (2 / config.cutoff)
    signs = {}
    for _, (ir, l, out) in theirs:
        ends = f"_compiled_main_left_right._w3j_{ir.l}_{l}_{out.l}"
        stored = [tensors.named.get(f"{name}.{tp}.{ends}") for tp in ("tp", "tp_scatter.tp")]
        known = next((w for w in stored if w is not None), None)
        signs[ir, l, out] = coupling_sign(known, ir.l, l, out.l) * DIALECT.odd_sign**l
    radial[-1] = reordered(radial[-1], theirs, theirs, signs)
    return LayerWeights(
        before={ir: w / float(neighbours) ** 0.5 for ir, w in before.items()},
        before_bias=None,
        radial=radial,
        after=after,
        after_bias=None,
        own=own,
    )


def _perceptron(tensors: Tensors, name: str, widths: tuple[int, ...], activation: str) -> list[Tensor]:
    """Weights for our `RadialNetwork`; after an activation they multiply by sqrt(2), we by its gain."""
    ratio = 2**0.5 / ACTIVATIONS[activation].gain
    return [
        tensors.take(f"{name}.mlp.{2 * n}.weight", a, b) * (ratio if n else 1.0)
        for n, (a, b) in enumerate(zip(widths, widths[1:], strict=False))
    ]
