"""SevenNet checkpoints: a state dict, and the settings of the training."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from e3nn.o3 import Irrep, Irreps
from torch import Tensor

from ase_symcalc.errors import PotentialFileError
from ase_symcalc.models import AbstractEnergyModel
from ase_symcalc.models.elements import SYMBOLS
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
    network,
    reached,
    reordered,
)
from ase_symcalc.potential_files.convert.origin import UNSTATED, Origin

FORMAT = "SevenNet checkpoints (.pth)"
DIALECT = EdgeDialect(centre_row=0, vector="centre_to_neighbour")

_FILES = {
    "7net-0": "SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth",
    "7net-0_11jul2024": "SevenNet_0__11Jul2024/checkpoint_sevennet_0.pth",
    "7net-0_22may2024": "SevenNet_0__22May2024/checkpoint_sevennet_0.pth",
    "7net-l3i5": "SevenNet_l3i5/checkpoint_l3i5.pth",
    "7net-mf-0": "SevenNet_MF_0/checkpoint_sevennet_mf_0.pth",
    "7net-mf-ompa": "SevenNet_MF_ompa/checkpoint_sevennet_mf_ompa.pth",
    "7net-omat": "SevenNet_omat/checkpoint_sevennet_omat.pth",
    "7net-omni": "SevenNet_omni/checkpoint_sevennet_omni.pth",
}
"""In the folder of pretrained potentials of the package sevenn, or its cache."""

_MATERIALS_PROJECT = ("PBE and PBE+U as in the Materials Project", "MPtrj (Deng et al., 2023)")
_TRAINED_ON = {
    "SevenNet_0__11Jul2024": _MATERIALS_PROJECT,
    "SevenNet_0__22May2024": _MATERIALS_PROJECT,
    "SevenNet_l3i5": _MATERIALS_PROJECT,
}
"""Level of theory and data, as the package's documentation says, by folder."""


def locate(name: str) -> Path | None:
    """File of a potential that comes with the package sevenn, which is not imported.

    Raises
    ------
    PotentialFileError
        If the name is SevenNet's, but the file is not on this machine.
    """
    key = name.lower().replace("sevennet-", "7net-")
    if key not in _FILES:
        return None
    spec = find_spec("sevenn")  # a search on the disk only
    installed = spec.submodule_search_locations if spec else None
    folders = [Path(place) / "pretrained_potentials" for place in installed or ()]
    for folder in [*folders, Path.home() / ".cache" / "sevennet"]:
        if (path := folder / _FILES[key]).is_file():
            return path
    if not folders:
        raise PotentialFileError(
            f"{name} comes with the package sevenn, which is not installed here; "
            "`pip install 'ase-symcalc[sevennet]'` brings it. The path of a checkpoint works too."
        )
    raise PotentialFileError(
        f"{name} does not come with the package sevenn but is fetched from "
        "https://github.com/MDIL-SNU/SevenNet/releases; give the path of the file."
    )


def recognises(content: Any) -> bool:
    """Whether a checkpoint is SevenNet's."""
    return isinstance(content, dict) and {"model_state_dict", "config"} <= content.keys()


def convert(
    content: Any, where: str, selection: str | None
) -> tuple[AbstractEnergyModel, Origin]:
    """Build the network of a checkpoint.

    Parameters
    ----------
    content : object
        From `read_checkpoint`.
    where : str
        The file, for messages.
    selection : str or None
        The modality, for checkpoints of several.
    """
    settings = _Settings(content["config"], where)
    modality = settings.modality(selection)
    named = content["model_state_dict"]
    tensors = Tensors(where, _renamed(named) if isinstance(named, dict) else named)
    config = settings.network()
    try:
        weights = _weights(settings, config, tensors, modality)
    except (LookupError, TypeError, ValueError) as error:
        raise PotentialFileError(f"{where}: expected SevenNet's settings, got: {error}") from error
    tensors.finish(lambda name, _: _CONSTANTS.search(name) is not None)
    theory, data = _TRAINED_ON.get(Path(where).parent.name, (UNSTATED, UNSTATED))
    origin = Origin(
        package=f"SevenNet {settings.version}",
        licence="SevenNet is under the MIT licence; for the weights ask whoever trained them",
        level_of_theory=theory,
        training_data=data,
        implementation="Park, Kim, Hwang and Han, J. Chem. Theory Comput. 20, 4857 (2024)",
        architecture="Batzner et al., Nat. Commun. 13, 2453 (2022)",
    )
    return network(config, weights), origin


_CONSTANTS = re.compile(r"output_mask$|_w3j_\d+_\d+_\d+$|\.gate\.mul\.|_convolution\.convolution\.")
_OLD_NAMES = {
    "EdgeEmbedding": "edge_embedding",
    "reducing_nn_input_to_hidden": "reduce_input_to_hidden",
    "reducing_nn_hidden_to_energy": "reduce_hidden_to_energy",
}


def _renamed(named: Mapping[Any, Any]) -> dict[str, Any]:
    """Names of version 0.10 and later, also for older files."""
    out = {}
    for name, value in named.items():
        head, _, tail = str(name).replace(" ", "_").partition(".")
        out[f"{_OLD_NAMES.get(head, head)}.{tail.replace('denumerator', 'denominator')}"] = value
    return out


class _Settings:
    """The training's settings, as far as they describe the network."""

    def __init__(self, config: Any, where: str) -> None:
        self.where = where
        try:
            self.config: dict[str, Any] = dict(config)
            self.version = str(config["version"])
            self.release = tuple(int(n) for n in re.findall(r"\d+", self.version)[:3])
            self.type_map = {int(z): int(n) for z, n in config["_type_map"].items()}
            self.modal_map = {str(k): int(v) for k, v in self.get("_modal_map", {}).items()}
            self.n_layers = int(config["num_convolution_layer"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise PotentialFileError(
                f"{where}: expected the settings of a SevenNet training, got a table without "
                f"or with a strange {error}"
            ) from error
        numbers = sorted(self.type_map)
        if sorted(self.type_map.values()) != list(range(len(numbers))) or not (
            numbers and 0 < numbers[0] and numbers[-1] < len(SYMBOLS)
        ):
            raise PotentialFileError(f"{where}: expected a table of elements, got another")
        if not 0 < self.n_layers <= 32:
            raise PotentialFileError(f"{where}: expected 1 to 32 layers, got {self.n_layers}")
        self.elements = tuple(SYMBOLS[z] for z in numbers)
        self.rows = torch.tensor([self.type_map[z] for z in numbers])
        """Where each element of ours stands in SevenNet's order."""
        if self.get("interaction_type", "nequip") != "nequip":
            raise PotentialFileError(
                f"{where}: expected a network of NequIP type, "
                f"got {self.get('interaction_type', None)!r}"
            )

    def get(self, key: str, default: Any) -> Any:
        """Value of a setting; one that is absent or None has its default."""
        value = self.config.get(key)
        return default if value is None else value

    def modality(self, selection: str | None) -> int | None:
        """Number of the chosen modality, None if there is but one."""
        names = {name.lower(): number for name, number in self.modal_map.items()}
        if not self.get("use_modality", False):
            names = {}
        if not names and selection is None:
            return None
        if selection is None or selection.lower() not in names:
            had = f"one of {', '.join(self.modal_map)} after an @" if names else "no @ and name"
            raise PotentialFileError(
                f"{self.where}: expected {had}, since "
                f"{'it has' if names else 'there are no'} several modalities; got {selection!r}"
            )
        return names[selection.lower()]

    @property
    def parity(self) -> bool:
        return bool(self.get("is_parity", True))

    @property
    def harmonics(self) -> Irreps:
        p = -1 if self.parity else 1
        return Irreps([(1, Irrep(l, p**l)) for l in range(self._lmax("lmax_edge") + 1)])

    def _lmax(self, key: str) -> int:
        special = int(self.get(key, -1))
        return special if special > 0 else int(self.get("lmax", 1))

    def irreps(self) -> list[Irreps]:
        """Features before the first layer, and after each."""
        manual = self.get("irreps_manual", False)
        if manual is not False:
            return [Irreps(text) for text in manual]
        channels = int(self.get("channel", 32))
        out = [Irreps(f"{channels}x0e")]
        for t in range(self.n_layers):
            last = t == self.n_layers - 1
            reached = self.reached(out[t], 0 if last else self._lmax("lmax_node"), last)
            out.append(Irreps([(channels, ir) for _, ir in reached]))
        return out

    def reached(self, irreps: Irreps, lmax: int, even: bool) -> Irreps:
        """What the product with the harmonics gives, up to lmax, perhaps without odd parity."""
        every = reached(irreps, self.harmonics)
        return Irreps([(n, ir) for n, ir in every if ir.l <= lmax and (ir.p == 1 or not even)])

    def connections(self) -> tuple[str, ...]:
        names = {"nequip": "species", "linear": "shared", "none": "none"}
        kinds = self.get("self_connection_type", "nequip")
        kinds = [kinds] * self.n_layers if isinstance(kinds, str) else list(kinds)
        return tuple(names.get(str(kind), str(kind)) for kind in kinds)

    def network(self) -> NequIPConfig:
        """Settings of our network."""
        try:
            return self._network()
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise PotentialFileError(
                f"{self.where}: expected settings of a network known here, got: {error}"
            ) from error

    def _network(self) -> NequIPConfig:
        basis = dict(self.get("radial_basis", {"radial_basis_name": "bessel"}))
        cutoff_function = dict(self.get("cutoff_function", {"cutoff_function_name": "poly_cut"}))
        if basis["radial_basis_name"] != "bessel":
            raise ValueError(f"radial basis {basis['radial_basis_name']!r}")
        xplor = cutoff_function["cutoff_function_name"] == "XPLOR"
        if not xplor and cutoff_function["cutoff_function_name"] != "poly_cut":
            raise ValueError(f"cutoff function {cutoff_function['cutoff_function_name']!r}")
        p = float(cutoff_function["cutoff_on"] if xplor else cutoff_function.get("poly_cut_p_value", 6))
        if not xplor and p != int(p):
            raise ValueError(f"a polynomial cutoff of power {p}")
        scalar, gate = ({"e": "silu", "o": "tanh", **self.get(k, {})} for k in ("act_scalar", "act_gate"))
        normalised = bool(self.get("_normalize_sph", self.release >= (0, 10)))
        modal = [self.get(f"use_modal_self_inter_{k}", False) for k in ("intro", "outro")]
        return NequIPConfig(
            elements=self.elements,
            cutoff=float(self.config["cutoff"]),
            irreps=tuple(str(irreps) for irreps in self.irreps()),
            sh_lmax=self.harmonics.lmax,
            parity=self.parity,
            solid_harmonics=not normalised,
            num_bessel=int(basis.get("bessel_basis_num", 8)),
            envelope="xplor" if xplor else "polynomial",
            envelope_parameter=p,
            radial_widths=tuple(int(n) for n in self.get("weight_nn_hidden_neurons", (64, 64))),
            radial_activation=str(self.get("act_radial", "silu")),
            even_activation=scalar["e"],
            odd_activation=scalar["o"],
            gate_activation=gate["e"],
            connections=self.connections(),
            biases=bool(self.get("use_bias_in_linear", False)) or any(modal),
            readout_widths=self.readout_widths(),
            readout_activation=str(self.get("readout_fcn_activation", "relu"))
            if self.readout_widths()
            else "silu",
        )

    def readout_widths(self) -> tuple[int, ...]:
        if not self.get("readout_as_fcn", False):
            return ()
        return tuple(int(n) for n in self.get("readout_fcn_hidden_neurons", (30, 30)))


def _weights(
    settings: _Settings, config: NequIPConfig, tensors: Tensors, modality: int | None
) -> NetworkWeights:
    reader = _Reader(settings, tensors, modality)
    irreps = [Irreps(text) for text in config.irreps]
    one_hot = Irreps(f"{len(settings.elements)}x0e")
    embedding, bias = reader.linear("onehot_to_feature_x", one_hot, irreps[0], "use_modal_node_embedding")
    rows = embedding[Irrep("0e")][settings.rows]
    scale, shift = reader.rescaling("scale"), reader.rescaling("shift")
    readout, constant = reader.readout(irreps[-1], config)
    waves = "edge_embedding.basis_function.coeffs"
    if waves in tensors.named:
        wave_numbers = tensors.take(waves, config.num_bessel)
    else:  # not trained, and then not stored
        numbers = torch.arange(1, config.num_bessel + 1, dtype=torch.float64)
        wave_numbers = (numbers * (torch.pi / config.cutoff)).float().double()
    return NetworkWeights(
        embedding=rows if bias is None else rows + bias,
        wave_numbers=wave_numbers,
        layers=[reader.layer(t, irreps, config) for t in range(settings.n_layers)],
        readout=readout,
        reference_energies=shift + constant * scale,
        scale=scale,
    )


class _Reader:
    """Takes tensors out of a state dict, with one modality chosen."""

    def __init__(self, settings: _Settings, tensors: Tensors, modality: int | None) -> None:
        self.settings, self.tensors, self.modality = settings, tensors, modality

    def linear(
        self, name: str, irreps_in: Irreps, irreps_out: Irreps, modal_key: str = ""
    ) -> tuple[Matrices, Tensor | None]:
        """Matrices of a linear map, and what it adds to even scalars."""
        n_labels = 0
        if self.modality is not None and self.settings.get(modal_key, False):
            n_labels = len(self.settings.modal_map)
        matrices, labels = linear(self.tensors, f"{name}.linear", irreps_in, irreps_out, n_labels)
        bias = None if labels is None else labels[self.modality]
        if self.settings.get("use_bias_in_linear", False) and (n := irreps_out.count("0e")):
            constant = self.tensors.take(f"{name}.linear.bias", n)
            bias = constant if bias is None else bias + constant
        return matrices, bias

    def rescaling(self, kind: str) -> Tensor:
        """Shift or scale of each element, in our order."""
        name = f"rescale_atomic_energy.{kind}"
        n = len(self.settings.elements)
        if self.modality is not None and self.settings.get(f"use_modal_wise_{kind}", False):
            table = self.tensors.take(name, len(self.settings.modal_map), n)
            return table[self.modality][self.settings.rows]
        stored = self.tensors.named.get(name)
        if stored is not None and stored.numel() == 1:
            return self.tensors.take(name, 1).repeat(n)
        return self.tensors.take(name, n)[self.settings.rows]

    def readout(self, irreps: Irreps, config: NequIPConfig) -> tuple[list[Tensor], float]:
        """Weights of the readout, and a constant it adds."""
        if config.readout_widths:
            widths = (irreps.dim, *config.readout_widths, 1)
            return perceptron(self.tensors, "readout_FCN.fcn", widths, config.readout_activation), 0.0
        hidden_irreps, out = Irreps(f"{irreps.dim // 2}x0e"), Irreps("0e")
        hidden, bias = self.linear("reduce_input_to_hidden", irreps, hidden_irreps, "use_modal_output_block")
        last, constant = self.linear("reduce_hidden_to_energy", hidden_irreps, out)
        column = last[Irrep("0e")]
        added = float(constant) if constant is not None else 0.0
        if bias is not None:
            added += float(bias @ column)
        both = hidden[Irrep("0e")] @ column  # no activation lies between the two
        return [both * both.shape[0] ** 0.5], added

    def layer(self, t: int, irreps: list[Irreps], config: NequIPConfig) -> LayerWeights:
        """Weights of one layer."""
        x, n_species = irreps[t], len(self.settings.elements)
        gate_in = Gate(irreps[t + 1]).irreps_in
        last = t == self.settings.n_layers - 1
        messages = self.settings.reached(x, irreps[t + 1].lmax, last)
        before, before_bias = self.linear(f"{t}_self_interaction_1", x, x, "use_modal_self_inter_intro")
        after, after_bias = self.linear(
            f"{t}_self_interaction_2", messages, gate_in, "use_modal_self_inter_outro"
        )
        denominator = float(self.tensors.take(f"{t}_convolution.denominator", 1))
        own: Matrices = {}
        name = f"{t}_self_connection_intro"
        if config.connections[t] == "species":
            own = species_linear(self.tensors, f"{name}.fc_tensor_product", x, gate_in, n_species)
            own = {ir: w[self.settings.rows] for ir, w in own.items()}
        elif config.connections[t] == "shared":
            own = linear(self.tensors, f"{name}.linear", x, gate_in)[0]
        return LayerWeights(
            before=before,
            before_bias=before_bias,
            radial=self.radial(t, x, messages, gate_in, config),
            after={ir: w / denominator for ir, w in after.items() if ir in gate_in},
            after_bias=after_bias,
            own=own,
        )

    def radial(
        self, t: int, x: Irreps, messages: Irreps, gate_in: Irreps, config: NequIPConfig
    ) -> list[Tensor]:
        """Weights of a radial network, its outputs in our order."""
        harmonics = self.settings.harmonics
        theirs = couplings(x, harmonics, messages)
        if self.settings.release >= (0, 11) and "dev" not in self.settings.version:
            theirs = sorted(theirs, key=lambda path: path[1][2])  # stable, as theirs
        n_out = sum(mul for mul, _ in theirs)
        widths = (config.num_bessel, *config.radial_widths, n_out)
        name = f"{t}_convolution"
        layers = perceptron(self.tensors, f"{name}.weight_nn", widths, config.radial_activation)
        layers[0] = layers[0] * (2 / config.cutoff)
        signs = {}
        for _, (ir, l, out) in theirs:
            key = f"{name}.convolution._compiled_main_left_right._w3j_{ir.l}_{l}_{out.l}"
            sign = coupling_sign(self.tensors.named.get(key), ir.l, l, out.l)
            signs[ir, l, out] = sign * DIALECT.odd_sign**l
        ours = couplings(x, harmonics, gate_in)
        layers[-1] = reordered(layers[-1], theirs, ours, signs)
        return layers
