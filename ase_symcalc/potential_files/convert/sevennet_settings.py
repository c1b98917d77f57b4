"""Settings of a SevenNet training, as far as they describe the network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from e3nn.o3 import Irrep, Irreps

from ase_symcalc.errors import PotentialFileError
from ase_symcalc.models.elements import SYMBOLS
from ase_symcalc.models.nequip_config import LARGEST_L, NequIPConfig
from ase_symcalc.potential_files.convert.e3nn_weights import word
from ase_symcalc.potential_files.convert.nequip_weights import reached

MOST_LAYERS = 32


class SevenNetSettings:
    """What a checkpoint calls its config; absent settings have SevenNet's defaults.

    Attributes
    ----------
    version : str
        Of the package that wrote it.
    elements : tuple of str
        By atomic number.
    rows : (n_elements,) tensor
        Where each stands in SevenNet's order.
    modalities : dict
        Their numbers by name; empty if there is but one.
    """

    def __init__(self, config: Any, where: str) -> None:
        self.where = where
        try:
            self._config: dict[str, Any] = dict(config)
            self.version = word(config["version"])
            type_map = {int(z): int(n) for z, n in config["_type_map"].items()}
            modalities = {str(k): int(v) for k, v in self.get("_modal_map", {}).items()}
            self.n_layers = int(config["num_convolution_layer"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise PotentialFileError(
                f"{where}: expected the settings of a SevenNet training, got a table without "
                f"or with a strange {str(error)[:200]}"
            ) from error
        self._release = tuple(int(n) for n in re.findall(r"\d+", self.version)[:3])
        numbers = sorted(type_map)
        if sorted(type_map.values()) != list(range(len(numbers))) or not (
            numbers and numbers[0] > 0 and numbers[-1] < len(SYMBOLS)
        ):
            raise PotentialFileError(f"{where}: expected a table of elements, got another")
        if not 0 < self.n_layers <= MOST_LAYERS:
            raise PotentialFileError(
                f"{where}: expected 1 to {MOST_LAYERS} layers, got {self.n_layers}"
            )
        self.elements = tuple(SYMBOLS[z] for z in numbers)
        self.rows = torch.tensor([type_map[z] for z in numbers])
        self.modalities = modalities if self.get("use_modality", False) else {}

    def get(self, key: str, default: Any) -> Any:
        """Value of a setting; one that is absent or None has its default."""
        value = self._config.get(key)
        return default if value is None else value

    def modality(self, selection: str | None) -> int | None:
        """Give the number of the chosen modality, None if there is but one.

        Raises
        ------
        PotentialFileError
            If none was chosen and there are several, or there is none of this name.
        """
        numbers = {name.lower(): number for name, number in self.modalities.items()}
        if not numbers and selection is None:
            return None
        if not numbers:
            raise PotentialFileError(
                f"{self.where}: expected no @ and name, since it has one modality only; "
                f"got {selection!r}"
            )
        if selection is None or selection.lower() not in numbers:
            names = ", ".join(self.modalities)
            raise PotentialFileError(
                f"{self.where}: expected one of its modalities ({names}), got "
                f"{'none' if selection is None else repr(selection)}. Choose one after an @: "
                f"{Path(self.where).name}@{next(iter(self.modalities))}"
            )
        return numbers[selection.lower()]

    @property
    def harmonics(self) -> Irreps:
        """Irreps of the spherical harmonics."""
        p = -1 if self.get("is_parity", True) else 1
        return Irreps([(1, Irrep(l, p**l)) for l in range(self._lmax("lmax_edge") + 1)])

    @property
    def sorts_paths(self) -> bool:
        """Whether radial weights are in the order of what the couplings give.

        They are since version 0.11; before, they are in the order of the couplings.
        """
        return self._release >= (0, 11) and self.version != "0.11.0.dev0"

    def messages(self, irreps: Irreps, lmax: int, t: int) -> Irreps:
        """Give what layer t makes of these features, up to lmax, before it is mixed."""
        even = t == self.n_layers - 1
        every = reached(irreps, self.harmonics)
        return Irreps([(n, ir) for n, ir in every if ir.l <= lmax and (ir.p == 1 or not even)])

    def network(self) -> NequIPConfig:
        """Give settings of our network.

        Raises
        ------
        InputError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError
            If they have no meaning.
        """
        if (kind := word(self.get("interaction_type", "nequip"))) != "nequip":
            raise ValueError(f"the interaction type {kind!r}")
        basis = dict(self.get("radial_basis", {}))
        if (kind := word(basis.get("radial_basis_name", "bessel"))) != "bessel":
            raise ValueError(f"the radial basis {kind!r}")
        envelope, parameter = self._envelope()
        even, odd, gate = self._activations()
        readout = self.get("readout_as_fcn", False)
        modal = [self.get(f"use_modal_self_inter_{kind}", False) for kind in ("intro", "outro")]
        return NequIPConfig(
            elements=self.elements,
            cutoff=float(self._config["cutoff"]),
            irreps=tuple(str(irreps) for irreps in self._irreps()),
            sh_lmax=self.harmonics.lmax,
            parity=bool(self.get("is_parity", True)),
            solid_harmonics=not self.get("_normalize_sph", self._release >= (0, 10)),
            num_bessel=int(basis.get("bessel_basis_num", 8)),
            envelope=envelope,
            envelope_parameter=parameter,
            radial_widths=tuple(int(n) for n in self.get("weight_nn_hidden_neurons", (64, 64))),
            radial_activation=word(self.get("act_radial", "silu")),
            even_activation=even,
            odd_activation=odd,
            gate_activation=gate,
            connections=self._connections(),
            biases=bool(self.get("use_bias_in_linear", False))
            or bool(self.modalities and any(modal)),
            readout_widths=tuple(int(n) for n in self.get("readout_fcn_hidden_neurons", (30, 30)))
            if readout
            else (),
            readout_activation=word(self.get("readout_fcn_activation", "relu"))
            if readout
            else "silu",
        )

    def _lmax(self, key: str) -> int:
        special = int(self.get(key, -1))
        lmax = special if special > 0 else int(self.get("lmax", 1))
        if not 0 <= lmax <= LARGEST_L:
            raise ValueError(f"degrees up to {lmax}, where {LARGEST_L} is the highest")
        return lmax

    def _irreps(self) -> list[Irreps]:
        """Features before the first layer, and after each."""
        manual = self.get("irreps_manual", False)
        if manual is not False:
            return [Irreps(word(text)) for text in manual]
        channels = int(self.get("channel", 32))
        out = [Irreps(f"{channels}x0e")]
        for t in range(self.n_layers):
            lmax = 0 if t == self.n_layers - 1 else self._lmax("lmax_node")
            out.append(Irreps([(channels, ir) for _, ir in self.messages(out[t], lmax, t)]))
        return out

    def _connections(self) -> tuple[str, ...]:
        names = {"nequip": "species", "linear": "shared", "none": "none"}
        kinds = self.get("self_connection_type", "nequip")
        kinds = [kinds] * self.n_layers if isinstance(kinds, str) else kinds
        return tuple(names[word(kind)] for kind in kinds)

    def _envelope(self) -> tuple[Any, float]:
        settings = dict(self.get("cutoff_function", {}))
        kind = settings.get("cutoff_function_name", "poly_cut")
        if kind == "XPLOR":
            return "xplor", float(settings["cutoff_on"])
        p = float(settings.get("poly_cut_p_value", 6))
        if kind != "poly_cut" or p != int(p) or p < 2:
            raise ValueError(f"the cutoff function {word(kind)!r} with power {p}")
        return "polynomial", p

    def _activations(self) -> tuple[str, str, str]:
        scalars = {"e": "silu", "o": "tanh", **self.get("act_scalar", {})}
        gates = {"e": "silu", "o": "tanh", **self.get("act_gate", {})}
        return word(scalars["e"]), word(scalars["o"]), word(gates["e"])
