"""Settings and weights of a network of NequIP before version 0.7."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from e3nn.o3 import Irrep, Irreps
from torch import Tensor

from ase_symcalc.models.elements import atomic_number
from ase_symcalc.models.nequip_config import LARGEST_L, NequIPConfig
from ase_symcalc.nn.activation import Gate
from ase_symcalc.potential_files.convert.dialect import EdgeDialect
from ase_symcalc.potential_files.convert.e3nn_weights import (
    Tensors,
    coupling_sign,
    linear,
    perceptron,
    species_linear,
    word,
)
from ase_symcalc.potential_files.convert.nequip_weights import (
    LayerWeights,
    NetworkWeights,
    couplings,
    reached,
    reordered,
)

MOST_LAYERS = 32
_SCALAR = Irrep("0e")
_BUILDERS = {
    "SimpleIrrepsConfig",
    "EnergyModel",
    "PerSpeciesRescale",
    "ForceOutput",
    "PartialForceOutput",
    "StressForceOutput",
    "RescaleEnergyEtc",
    "initialize_from_state",
    "load_model_state",
}
_ENDS = (  # each may be given for one module alone, which is not known here
    "nonlinearity_type",
    "nonlinearity_scalars",
    "nonlinearity_gates",
    "resnet",
    "avg_num_neighbors",
    "r_max",
    "edge_sh_normalize",
    "edge_sh_normalization",
    "_p",
)
_KNOWN = {*_ENDS[:-1], "PolynomialCutoff_p"}


class OldNequIPWeights:
    """Takes settings and tensors, and brings them into the form of `NetworkWeights`.

    Raises
    ------
    ValueError
        If the network is of a kind that is not known here.
    """

    def __init__(self, settings: Mapping[str, Any], tensors: Tensors, dialect: EdgeDialect) -> None:
        self._settings, self._tensors, self._dialect = settings, tensors, dialect
        for name in self._get("model_builders", []):
            builder = word(name).rpartition(".")[2]
            if builder not in _BUILDERS and not builder.endswith(("initialize", "initialize_FCs")):
                raise ValueError(f"a model made by {builder!r}")
        for name in settings:
            if name.endswith(_ENDS) and name not in _KNOWN:
                raise ValueError(f"the setting {name}")
        if self._get("nonlinearity_type", "gate") != "gate" or self._get("resnet", False):
            raise ValueError("a network with nonlinearities other than gates, or residual updates")
        usual = (True, "component")
        if usual != (
            self._get("edge_sh_normalize", True),
            self._get("edge_sh_normalization", "component"),
        ):
            raise ValueError("harmonics with another normalisation")
        names = self._type_names()
        self.elements = tuple(sorted(names, key=atomic_number))
        self.rows = torch.tensor([names.index(symbol) for symbol in self.elements])
        self.n_layers = int(self._get("num_layers", 3))
        if not 0 < self.n_layers <= MOST_LAYERS:
            raise ValueError(f"{self.n_layers} layers, where {MOST_LAYERS} are the most")
        self.harmonics = self._harmonics()
        self.parity = all(ir.p == (-1) ** ir.l for _, ir in self.harmonics)

    def read(self) -> tuple[NequIPConfig, NetworkWeights]:
        """Take everything."""
        config = self._config()
        irreps = [Irreps(text) for text in config.irreps]
        one_hot = Irreps(f"{len(self.elements)}x0e")
        embedding, _ = linear(self._tensors, "chemical_embedding.linear", one_hot, irreps[0])
        waves = self._tensors.take("radial_basis.basis.bessel_weights", config.num_bessel)
        total = self._total_scale()
        scale = self._per_species("scales", 1.0) * total
        weights = NetworkWeights(
            embedding=embedding[_SCALAR][self.rows],
            wave_numbers=waves / config.cutoff,
            layers=[self._layer(t, config) for t in range(self.n_layers)],
            readout=[self._readout(irreps[-1])],
            reference_energies=self._per_species("shifts", 0.0) * total,
            scale=scale,
        )
        return config, weights

    def _get(self, key: str, default: Any) -> Any:
        value = self._settings.get(key, default)
        if type(value) not in (str, int, float, bool, type(None), list, dict):
            raise ValueError(f"the setting {key} in a way that is not known here")
        return value

    def _type_names(self) -> list[str]:
        """Chemical symbols in the order of NequIP's types."""
        if chosen := self._get("chemical_symbol_to_type", None):
            numbers = {word(symbol): int(number) for symbol, number in chosen.items()}
            names = sorted(numbers, key=lambda symbol: numbers[symbol])
        elif chosen := self._get("chemical_symbols", None):
            names = sorted(map(word, chosen), key=atomic_number)
        else:
            names = [word(name) for name in self._get("type_names", [])]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"the elements {names!r:.100}")
        return names

    def _harmonics(self) -> Irreps:
        given = self._get("irreps_edge_sh", None)
        if given is None:
            p = -1 if self._get("parity", True) else 1
            lmax = int(self._get("l_max", 1))
        else:
            irreps = Irreps.spherical_harmonics(min(given, 99)) if type(given) is int else None
            irreps = Irreps(word(given)) if irreps is None else irreps
            lmax = len(irreps) - 1
            p = -1 if any(ir.p == -1 for _, ir in irreps) else 1
        if not 0 <= lmax <= LARGEST_L:
            raise ValueError(f"degrees up to {lmax}, where {LARGEST_L} is the highest")
        natural = Irreps.spherical_harmonics(lmax, p=p)
        if given is not None and type(given) is not int and Irreps(word(given)) != natural:
            raise ValueError(f"the spherical harmonics {word(given)[:100]}")
        return natural

    def _config(self) -> NequIPConfig:
        p = float(self._get("PolynomialCutoff_p", 6))
        if p != int(p) or p < 2:
            raise ValueError(f"a polynomial cutoff of power {p}")
        scalars, gates = (
            {"e": "silu", "o": "tanh", **(self._get(f"nonlinearity_{kind}", None) or {})}
            for kind in ("scalars", "gates")
        )
        named = self._tensors.named
        n_hidden = int(self._get("invariant_layers", 1))
        return NequIPConfig(
            elements=self.elements,
            cutoff=float(self._get("r_max", None)),
            irreps=tuple(map(str, self._irreps())),
            sh_lmax=len(self.harmonics) - 1,
            parity=self.parity,
            num_bessel=int(self._get("num_basis", 8)),
            envelope_parameter=p,
            radial_widths=(int(self._get("invariant_neurons", 8)),) * min(n_hidden, MOST_LAYERS),
            radial_activation=word(scalars["e"]),
            even_activation=word(scalars["e"]),
            odd_activation=word(scalars["o"]),
            gate_activation=word(gates["e"]),
            connections=tuple(
                "species" if f"layer{t}_convnet.conv.sc.weight" in named else "none"
                for t in range(self.n_layers)
            ),
        )

    def _irreps(self) -> list[Irreps]:
        """Features before the first layer, and after each: scalars, then what is gated."""
        features, lmax = int(self._get("num_features", 32)), len(self.harmonics) - 1
        given = self._get("feature_irreps_hidden", None)
        if given is None:
            parities = (1, -1) if self.parity else (1,)
            wanted = Irreps([(features, (l, p)) for p in parities for l in range(lmax + 1)])
        else:
            wanted = Irreps(word(given))
        first = self._get("chemical_embedding_irreps_out", f"{features}x0e")
        out = [Irreps(word(first))]
        for _ in range(self.n_layers):
            within = reached(out[-1], self.harmonics)
            kept = [(mul, ir) for mul, ir in wanted if ir in within]
            kept.sort(key=lambda pair: pair[1].l > 0)  # stable: their order is kept otherwise
            out.append(Irreps(kept))
        return out

    def _neighbours(self) -> float:
        number = self._get("avg_num_neighbors", None)
        if isinstance(number, str):
            raise ValueError(f"avg_num_neighbors {number!r}, where a number should be")
        return 1.0 if number is None else float(number)

    def _layer(self, t: int, config: NequIPConfig) -> LayerWeights:
        name, x = f"layer{t}_convnet.conv", Irreps(config.irreps[t])
        gate_in = Gate(Irreps(config.irreps[t + 1])).irreps_in
        paths = couplings(x, self.harmonics, gate_in)
        messages = Irreps([(mul, ir) for mul, (_, _, ir) in paths]).sort().irreps.simplify()
        before, _ = linear(self._tensors, f"{name}.linear_1", x, x)
        after, _ = linear(self._tensors, f"{name}.linear_2", messages, gate_in)
        own = {}
        if config.connections[t] == "species":
            maps = species_linear(self._tensors, f"{name}.sc", x, gate_in, len(self.elements))
            own = {ir: w[self.rows] for ir, w in maps.items()}
        widths = (config.num_bessel, *config.radial_widths, sum(mul for mul, _ in paths))
        radial = perceptron(self._tensors, f"{name}.fc", widths, config.radial_activation)
        radial[0] = radial[0] * (2 / config.cutoff)
        signs = {}
        for _, (ir, l, out) in paths:
            key = f"{name}.tp._compiled_main_left_right._w3j_{ir.l}_{l}_{out.l}"
            sign = coupling_sign(self._tensors.named.get(key), ir.l, l, out.l)
            signs[ir, l, out] = sign * self._dialect.odd_sign**l
        radial[-1] = reordered(radial[-1], paths, paths, signs)
        return LayerWeights(
            before={ir: w * self._neighbours() ** -0.5 for ir, w in before.items()},
            before_bias=None,
            radial=radial,
            after=after,
            after_bias=None,
            own=own,
        )

    def _readout(self, features: Irreps) -> Tensor:
        """No activation lies between the two maps."""
        hidden = Irreps(word(self._get("conv_to_output_hidden_irreps_out", None) or self._half()))
        first, _ = linear(self._tensors, "conv_to_output_hidden.linear", features, hidden)
        second, _ = linear(self._tensors, "output_hidden_to_scalar.linear", hidden, Irreps("0e"))
        both = first[_SCALAR] @ second[_SCALAR]
        return both * both.shape[0] ** 0.5

    def _half(self) -> str:
        return f"{max(1, int(self._get('num_features', 32)) // 2)}x0e"

    def _per_species(self, kind: str, default: float) -> Tensor:
        name, n = f"per_species_rescale.{kind}", len(self.elements)
        stored = self._tensors.named.get(name)
        if stored is None or stored.numel() == 0:
            return torch.full((n,), default, dtype=torch.float64)
        return self._tensors.take(name, n)[self.rows]

    def _total_scale(self) -> float:
        """Factor of all energies; a constant that is added to them belongs to no atom."""
        outside = [name for name in self._tensors.named if name.startswith("outside.")]
        shifts = [name for name in outside if name.endswith("shift_by")]
        if any(self._tensors.named[name].numel() for name in shifts):
            raise ValueError("an energy for whole structures, global_rescale_shift")
        scales = [name for name in outside if name.endswith("scale_by")]
        given = [name for name in scales if self._tensors.named[name].numel()]
        return math.prod((float(self._tensors.take(name)) for name in given), start=1.0)
