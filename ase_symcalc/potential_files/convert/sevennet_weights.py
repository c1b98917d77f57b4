"""Weights of a SevenNet state dict, with one modality chosen."""

from __future__ import annotations

import torch
from e3nn.o3 import Irrep, Irreps
from torch import Tensor

from ase_symcalc.models.nequip_config import NequIPConfig
from ase_symcalc.nn.activation import Gate
from ase_symcalc.potential_files.convert.dialect import EdgeDialect
from ase_symcalc.potential_files.convert.e3nn_weights import (
    Matrices,
    Tensors,
    coupling_sign,
    linear,
    perceptron,
    species_linear,
)
from ase_symcalc.potential_files.convert.nequip_weights import (
    LayerWeights,
    NetworkWeights,
    couplings,
    reordered,
)
from ase_symcalc.potential_files.convert.sevennet_settings import SevenNetSettings

_SCALAR = Irrep("0e")


class SevenNetWeights:
    """Takes tensors out of a state dict and brings them into the form of `NetworkWeights`.

    Of the modalities, whose one-hot labels SevenNet appends to the inputs of linear maps, one
    is chosen for good; its row of each map becomes a bias.
    """

    def __init__(
        self,
        settings: SevenNetSettings,
        config: NequIPConfig,
        tensors: Tensors,
        modality: int | None,
        dialect: EdgeDialect,
    ) -> None:
        self.settings, self.config, self.tensors = settings, config, tensors
        self.modality, self.dialect = modality, dialect
        self.irreps = [Irreps(text) for text in config.irreps]
        self.n_elements = len(settings.elements)

    def read(self) -> NetworkWeights:
        """Take all weights."""
        layers = [self._layer(t) for t in range(self.settings.n_layers)]
        one_hot = Irreps(f"{self.n_elements}x0e")
        embedding, bias = self._linear(
            "onehot_to_feature_x", one_hot, self.irreps[0], "use_modal_node_embedding"
        )
        rows = embedding[_SCALAR][self.settings.rows]
        scale, shift = self._per_element("scale"), self._per_element("shift")
        readout, constant = self._readout()
        return NetworkWeights(
            embedding=rows if bias is None else rows + bias,
            wave_numbers=self._wave_numbers(),
            layers=layers,
            readout=readout,
            reference_energies=shift + constant * scale,
            scale=scale,
        )

    def _linear(
        self, name: str, irreps_in: Irreps, irreps_out: Irreps, modal_key: str = ""
    ) -> tuple[Matrices, Tensor | None]:
        """Matrices of a linear map, and what it adds to even scalars."""
        n_labels = 0
        if self.modality is not None and self.settings.get(modal_key, False):
            n_labels = len(self.settings.modalities)
        matrices, labels = linear(self.tensors, f"{name}.linear", irreps_in, irreps_out, n_labels)
        bias = None if labels is None else labels[self.modality]
        if self.settings.get("use_bias_in_linear", False) and (n := irreps_out.count(_SCALAR)):
            constant = self.tensors.take(f"{name}.linear.bias", n)
            bias = constant if bias is None else bias + constant
        return matrices, bias

    def _wave_numbers(self) -> Tensor:
        name, n = "edge_embedding.basis_function.coeffs", self.config.num_bessel
        if name in self.tensors.named:
            return self.tensors.take(name, n)
        waves = torch.arange(1, n + 1, dtype=torch.float64) * (torch.pi / self.config.cutoff)
        return waves.float().double()  # as SevenNet has them if it does not train them

    def _per_element(self, kind: str) -> Tensor:
        name = f"rescale_atomic_energy.{kind}"
        rows, n = self.settings.rows, self.n_elements
        if self.modality is not None and self.settings.get(f"use_modal_wise_{kind}", False):
            return self.tensors.take(name, len(self.settings.modalities), n)[self.modality, rows]
        stored = self.tensors.named.get(name)
        if stored is not None and tuple(stored.shape) == (1,):
            return self.tensors.take(name, 1).repeat(n)
        return self.tensors.take(name, n)[rows]

    def _readout(self) -> tuple[list[Tensor], float]:
        """Weights of the readout, and a constant it adds."""
        irreps, config = self.irreps[-1], self.config
        if config.readout_widths:
            widths = (irreps.dim, *config.readout_widths, 1)
            name, activation = "readout_FCN.fcn", config.readout_activation
            return perceptron(self.tensors, name, widths, activation), 0.0
        hidden = Irreps(f"{irreps.dim // 2}x0e")
        first, bias = self._linear(
            "reduce_input_to_hidden", irreps, hidden, "use_modal_output_block"
        )
        last, constant = self._linear("reduce_hidden_to_energy", hidden, Irreps("0e"))
        column = last[_SCALAR]
        added = 0.0 if constant is None else float(constant)
        if bias is not None:
            added += float(bias @ column)
        both = first[_SCALAR] @ column  # no activation lies between the two
        return [both * both.shape[0] ** 0.5], added

    def _layer(self, t: int) -> LayerWeights:
        x, gate_in = self.irreps[t], Gate(self.irreps[t + 1]).irreps_in
        lmax = max(ir.l for _, ir in self.irreps[t + 1])
        messages = self.settings.messages(x, lmax, t)
        before, before_bias = self._linear(
            f"{t}_self_interaction_1", x, x, "use_modal_self_inter_intro"
        )
        after, after_bias = self._linear(
            f"{t}_self_interaction_2", messages, gate_in, "use_modal_self_inter_outro"
        )
        denominator = float(self.tensors.take(f"{t}_convolution.denominator", 1))
        return LayerWeights(
            before=before,
            before_bias=before_bias,
            radial=self._radial(t, messages, gate_in),
            after={ir: w * (1 / denominator) for ir, w in after.items()},
            after_bias=after_bias,
            own=self._own(t, gate_in),
        )

    def _own(self, t: int, gate_in: Irreps) -> Matrices:
        name, x = f"{t}_self_connection_intro", self.irreps[t]
        if self.config.connections[t] == "species":
            name = f"{name}.fc_tensor_product"
            maps = species_linear(self.tensors, name, x, gate_in, self.n_elements)
            return {ir: w[self.settings.rows] for ir, w in maps.items()}
        if self.config.connections[t] == "shared":
            return linear(self.tensors, f"{name}.linear", x, gate_in)[0]
        return {}

    def _radial(self, t: int, messages: Irreps, gate_in: Irreps) -> list[Tensor]:
        """Weights of a radial network, its outputs in our order."""
        name, config = f"{t}_convolution", self.config
        x, harmonics = self.irreps[t], self.settings.harmonics
        theirs = couplings(x, harmonics, messages)
        if self.settings.sorts_paths:
            theirs = sorted(theirs, key=lambda path: path[1][2])
        widths = (config.num_bessel, *config.radial_widths, sum(mul for mul, _ in theirs))
        layers = perceptron(self.tensors, f"{name}.weight_nn", widths, config.radial_activation)
        layers[0] = layers[0] * (2 / config.cutoff)
        signs = {}
        for _, (ir, l, out) in theirs:
            key = f"{name}.convolution._compiled_main_left_right._w3j_{ir.l}_{l}_{out.l}"
            sign = coupling_sign(self.tensors.named.get(key), ir.l, l, out.l)
            signs[ir, l, out] = sign * self.dialect.odd_sign**l
        ours = couplings(x, harmonics, gate_in)
        layers[-1] = reordered(layers[-1], theirs, ours, signs)
        return layers
