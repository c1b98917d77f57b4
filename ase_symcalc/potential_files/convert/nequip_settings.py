"""Settings of a NequIP training, as far as they describe the network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from e3nn.o3 import Irreps

from ase_symcalc.models.elements import atomic_number
from ase_symcalc.models.nequip_config import LARGEST_L, NequIPConfig
from ase_symcalc.potential_files.convert.e3nn_weights import Tensors, word
from ase_symcalc.potential_files.convert.nequip_weights import reached

_BUILDERS = tuple(
    f"nequip.model.{full}NequIPGNN{what}"
    for full in ("", "Full")
    for what in ("Model", "EnergyModel")
)
_REFUSED = (
    "per_edge_type_cutoff",
    "pair_potential",
    "categorical_graph_field_embed",
    "convnet_resnet",
    "learnable_shift",
)
"""Settings that make another kind of network."""

_TRAINABLE = {
    "bessel_trainable": "bessel_weights",
    "per_type_energy_scales_trainable": ".scales",
    "per_type_energy_shifts_trainable": ".shifts",
}


class NequIPSettings:
    """What the builder of a network was called with, and what its tensors tell beyond that.

    Attributes
    ----------
    rows : (n_elements,) tensor
        Where each element stands in NequIP's order.

    Raises
    ------
    ValueError
        If the network is of a kind that is not known here.
    """

    def __init__(self, model: Mapping[str, Any], tensors: Tensors) -> None:
        self._model, self._tensors = model, tensors
        builder = word(model["_target_"])
        if builder not in _BUILDERS:
            raise ValueError(f"a model made by {builder!r}, not by {' or '.join(_BUILDERS)}")
        for key in _REFUSED:
            if model.get(key):
                raise ValueError(f"a network with {key}")
        names = [word(name) for name in model["type_names"]]
        self.elements = tuple(sorted(names, key=atomic_number))
        self.rows = torch.tensor([names.index(symbol) for symbol in self.elements])

    @property
    def harmonics(self) -> Irreps:
        """Irreps of the spherical harmonics."""
        given = self._model.get("irreps_edge_sh", self._model.get("l_max", 1))
        lmax = given if type(given) is int else max(ir.l for _, ir in Irreps(word(given)))
        if not 0 <= lmax <= LARGEST_L:
            raise ValueError(f"degrees up to {lmax}, where {LARGEST_L} is the highest")
        natural = Irreps.spherical_harmonics(lmax)
        if type(given) is str and Irreps(given) != natural:
            raise ValueError(f"the spherical harmonics {given[:100]}")
        return natural

    @property
    def neighbours(self) -> float:
        """Number of neighbours that messages are divided by the root of."""
        number = self._model.get("avg_num_neighbors")
        if isinstance(number, Mapping):
            several = {float(each) for each in number.values()}
            if len(several) > 1:
                raise ValueError("numbers of neighbours that differ by element")
            number = several.pop()
        if number is not None and not 0 < float(number) < float("inf"):
            raise ValueError(f"{float(number)} neighbours")
        return 1.0 if number is None else float(number)

    def network(self) -> NequIPConfig:
        """Give settings of our network."""
        model = self._model
        scalars, gates = (
            {"e": "silu", "o": "tanh", **model.get(f"convnet_nonlinearity_{kind}", {})}
            for kind in ("scalars", "gates")
        )
        if word(model.get("convnet_nonlinearity_type", "gate")) != "gate":
            raise ValueError("nonlinearities other than gates")
        p = float(model.get("polynomial_cutoff_p", 6))
        if p != int(p) or p < 2:
            raise ValueError(f"a polynomial cutoff of power {p}")
        irreps = self._irreps()
        return NequIPConfig(
            elements=self.elements,
            cutoff=float(model["r_max"]),
            irreps=tuple(map(str, irreps)),
            sh_lmax=self.harmonics.lmax,
            parity=True,
            num_bessel=int(model.get("num_bessels", 8)),
            envelope_parameter=p,
            radial_widths=self._widths("layer0_convnet.conv.edge_mlp"),
            even_activation=word(scalars["e"]),
            odd_activation=word(scalars["o"]),
            gate_activation=word(gates["e"]),
            connections=tuple(
                "species" if f"layer{t}_convnet.conv.sc.weight" in self._tensors.named else "none"
                for t in range(len(irreps) - 1)
            ),
            readout_widths=self._widths("per_atom_energy_readout.mlp_module"),
            readout_activation=word(model.get("readout_mlp_nonlinearity", "silu")),
        )

    def _irreps(self) -> list[Irreps]:
        """Features before the first layer, and after each."""
        embedding = self._tensors.named["type_embed.embed_module.weight"]
        out = [Irreps(f"{embedding.shape[1]}x0e")]
        for wanted in self._wanted():
            within = reached(out[-1], self.harmonics)
            out.append(Irreps([(mul, ir) for mul, ir in wanted if ir in within]))
        return out

    def _wanted(self) -> list[Irreps]:
        """Features that each layer should give; not all can be reached."""
        model = self._model
        if "feature_irreps_hidden" in model:
            return [Irreps(word(text)) for text in model["feature_irreps_hidden"]]
        lmax, n_layers = self.harmonics.lmax, int(model.get("num_layers", 4))
        if n_layers > sum(name.endswith("linear_1.weight") for name in self._tensors.named):
            raise ValueError(f"{n_layers} layers without the weights of so many")
        numbers = model.get("num_features", 32)
        numbers = [numbers] * (lmax + 1) if type(numbers) is int else list(numbers)
        both = bool(model.get("parity", True))
        hidden = Irreps(
            [
                (int(numbers[l]), (l, p))
                for l in range(lmax + 1)
                for p in ((1, -1) if both else ((-1) ** l,))
            ]
        )
        return [hidden] * (n_layers - 1) + [Irreps(f"{int(numbers[0])}x0e")]

    def _widths(self, name: str) -> tuple[int, ...]:
        """Hidden layers of a perceptron."""
        names = (f"{name}.mlp.{n}.weight" for n in range(0, 64, 2))
        layers = [self._tensors.named[each] for each in names if each in self._tensors.named]
        if not layers or any(w.ndim != 2 for w in layers):
            raise ValueError(f"no layers of {name}")
        return tuple(w.shape[0] for w in layers[1:])


def averaged(model: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
    """Tensors of the one network, averages in the place of weights where there are some."""
    end = "type_embed.embed_module.weight"
    heads = [name.removesuffix(end) for name in state if name.endswith(end)]
    if len(heads) != 1:
        raise ValueError(f"{len(heads)} models in one checkpoint")
    own = {k.removeprefix(heads[0]): v for k, v in state.items() if k.startswith(heads[0])}
    average = state.get("ema._extra_state")
    if average is None or not average["is_holding_ema_weights"]:  # the model has them itself
        return own
    ends = [".weight", *(end for key, end in _TRAINABLE.items() if model.get(key))]
    constants = ("tp.weight", "mul.weight")
    trained = [k for k in own if k.endswith(tuple(ends)) and not k.endswith(constants)]
    averages = [v for k, v in state.items() if k.startswith("ema.ema_weight_")]
    if [own[k].shape for k in trained] != [v.shape for v in averages]:
        raise ValueError("averages of other weights than it has")
    return own | dict(zip(trained, averages, strict=True))
