"""NequIP checkpoints, from version 0.7 on: a state dict, and the settings of the training.

Packaged and compiled models are programs, and not read.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import torch
from e3nn.o3 import Irrep, Irreps
from torch import Tensor

from ase_symcalc.errors import PotentialFileError
from ase_symcalc.models import AbstractEnergyModel
from ase_symcalc.models.nequip_config import NequIPConfig
from ase_symcalc.nn.activation import ACTIVATIONS, Gate
from ase_symcalc.potential_files.convert.dialect import EdgeDialect
from ase_symcalc.potential_files.convert.e3nn_weights import (
    Tensors,
    coupling_sign,
    linear,
    species_linear,
    word,
)
from ase_symcalc.potential_files.convert.nequip_settings import NequIPSettings, averaged
from ase_symcalc.potential_files.convert.nequip_weights import (
    LayerWeights,
    NetworkWeights,
    couplings,
    network,
    reordered,
)
from ase_symcalc.potential_files.convert.origin import Origin

FORMAT = "NequIP checkpoints of version 0.7 and later (.ckpt)"
DIALECT = EdgeDialect(centre_row=0, vector="centre_to_neighbour")

_SCALAR = Irrep("0e")


def locate(name: str) -> Path | None:
    """Find nothing: no NequIP checkpoint comes with a package."""
    return None


def recognises(content: Any) -> bool:
    """Whether a checkpoint is NequIP's, also one that cannot be converted."""
    settings = content.get("hyper_parameters") if isinstance(content, dict) else None
    return isinstance(settings, dict) and {"model", "info_dict"} <= settings.keys()


def convert(content: Any, where: str, selection: str | None) -> tuple[AbstractEnergyModel, Origin]:
    """Build the network of a checkpoint, with averaged weights if there are any.

    Parameters
    ----------
    content : object
        From `read_checkpoint`.
    where : str
        The file, for messages.
    selection : str or None
        Must be None.

    Raises
    ------
    PotentialFileError
        If settings or tensors are not those of a network that is known here.
    """
    refuse_selection(where, selection)
    try:
        model = content["hyper_parameters"]["model"]
        versions = content["hyper_parameters"]["info_dict"].get("versions", {})
        tensors = Tensors(where, averaged(model, content["state_dict"]))
        settings = NequIPSettings(model, tensors)
        config = settings.network()
        weights = _weights(settings, config, tensors)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise PotentialFileError(
            f"{where}: expected a NequIP network of a kind known here, got: {str(error)[:300]}"
        ) from error
    tensors.finish(_is_constant)
    origin = Origin(
        package=f"NequIP {word(versions.get('nequip', 'of unknown version'))}",
        licence="NequIP is under the MIT licence; for the weights ask whoever trained them",
        implementation="Tan et al., arXiv:2504.16068",
        architecture="Batzner et al., Nat. Commun. 13, 2453 (2022)",
    )
    return network(config, weights), origin


def refuse_selection(where: str, selection: str | None) -> None:
    """Let nothing stand behind an @.

    Raises
    ------
    PotentialFileError
    """
    if selection is not None:
        raise PotentialFileError(
            f"{where}: expected no @ and name, since NequIP has one model; got {selection!r}"
        )


def _is_constant(name: str, _: Tensor) -> bool:
    ends = ("output_mask", "_rmax_recip", "bessel_weights")
    return name.endswith(ends) or "._compiled_main_left_right." in name


def _weights(settings: NequIPSettings, config: NequIPConfig, tensors: Tensors) -> NetworkWeights:
    irreps = [Irreps(text) for text in config.irreps]
    n_elements, n_bessel = len(config.elements), config.num_bessel
    embedding = tensors.take("type_embed.embed_module.weight", n_elements, irreps[0].dim)
    embedding = embedding[settings.rows]
    waves = torch.arange(1, n_bessel + 1, dtype=torch.float64)
    if "bessel_encode.bessel_weights" in tensors.named:
        waves = tensors.take("bessel_encode.bessel_weights", 1, n_bessel)[0]
    return NetworkWeights(
        embedding=embedding,
        wave_numbers=waves * (torch.pi / config.cutoff),
        layers=[_layer(t, settings, config, tensors, embedding) for t in range(len(irreps) - 1)],
        readout=_perceptron(
            tensors,
            "per_atom_energy_readout.mlp_module",
            (irreps[-1].count(_SCALAR), *config.readout_widths, 1),
            config.readout_activation,
        ),
        reference_energies=_per_element(tensors, "shifts", settings.rows, 0.0),
        scale=_per_element(tensors, "scales", settings.rows, 1.0),
    )


def _per_element(tensors: Tensors, kind: str, rows: Tensor, default: float) -> Tensor:
    name = f"per_type_energy_scale_shift.{kind}"
    stored = tensors.named.get(name)
    if stored is None or stored.numel() == 0:
        return torch.full((len(rows),), default, dtype=torch.float64)
    if stored.numel() == 1:
        return tensors.take(name, 1, 1)[:, 0].repeat(len(rows))
    return tensors.take(name, len(rows), 1)[rows, 0]


def _layer(
    t: int,
    settings: NequIPSettings,
    config: NequIPConfig,
    tensors: Tensors,
    embedding: Tensor,
) -> LayerWeights:
    name, x = f"layer{t}_convnet.conv", Irreps(config.irreps[t])
    gate_in = Gate(Irreps(config.irreps[t + 1])).irreps_in
    paths = couplings(x, settings.harmonics, gate_in)
    messages = Irreps([(mul, ir) for mul, (_, _, ir) in paths]).sort().irreps.simplify()
    before, _ = linear(tensors, f"{name}.linear_1", x, x)
    after, _ = linear(tensors, f"{name}.linear_2", messages, gate_in)
    own = {}
    if config.connections[t] == "species":  # maps of the embedding's numbers, not of species
        maps = species_linear(tensors, f"{name}.sc", x, gate_in, embedding.shape[1])
        own = {ir: torch.einsum("sv,vuw->suw", embedding, w) for ir, w in maps.items()}
    widths = (config.num_bessel, *config.radial_widths, sum(mul for mul, _ in paths))
    radial = _perceptron(tensors, f"{name}.edge_mlp", widths, "silu")
    radial[0] = radial[0] * (2 / config.cutoff)
    signs = {}
    for _, (ir, l, out) in paths:
        end = f"_compiled_main_left_right._w3j_{ir.l}_{l}_{out.l}"
        named = (tensors.named.get(f"{name}.{tp}.{end}") for tp in ("tp_scatter.tp", "tp"))
        stored = next((w for w in named if w is not None), None)
        signs[ir, l, out] = coupling_sign(stored, ir.l, l, out.l) * DIALECT.odd_sign**l
    radial[-1] = reordered(radial[-1], paths, paths, signs)
    return LayerWeights(
        before={ir: w * settings.neighbours**-0.5 for ir, w in before.items()},
        before_bias=None,
        radial=radial,
        after=after,
        after_bias=None,
        own=own,
    )


def _perceptron(
    tensors: Tensors, name: str, widths: tuple[int, ...], activation: str
) -> list[Tensor]:
    """Weights for our `RadialNetwork`.

    After an activation NequIP multiplies by the root of 2, and we by its gain.
    """
    ratio = 2**0.5 / ACTIVATIONS[activation].gain
    return [
        tensors.take(f"{name}.mlp.{2 * n}.weight", a, b) * (ratio if n else 1.0)
        for n, (a, b) in enumerate(itertools.pairwise(widths))
    ]
