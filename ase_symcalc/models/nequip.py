"""Networks of NequIP type as other packages train them."""

from collections.abc import Iterable
from typing import cast

import torch
from e3nn.o3 import Irrep, Irreps
from jaxtyping import Float, Int64
from torch import Tensor

from ase_symcalc.graph import Environments
from ase_symcalc.models.base import AbstractEnergyModel
from ase_symcalc.models.elements import atomic_number
from ase_symcalc.models.nequip_config import NequIPConfig
from ase_symcalc.nn.activation import Gate
from ase_symcalc.nn.angular import edge_harmonics
from ase_symcalc.nn.kernels.adjacency import Adjacency
from ase_symcalc.nn.kernels.contraction import convolve
from ase_symcalc.nn.kernels.paths import PathTable
from ase_symcalc.nn.layout import blocks
from ase_symcalc.nn.linear import Linear, SpeciesLinear
from ase_symcalc.nn.radial import RadialNetwork, polynomial_cutoff, xplor_cutoff
from ase_symcalc.nn.tabulated import TabulatedFunctions


class NequIP(AbstractEnergyModel):
    """Message passing of Batzner et al., Nat. Commun. 13, 2453 (2022), in all its variants.

    E_i = shift[species i] + scale[species i] · readout(even scalars i)
    """

    config: NequIPConfig
    species_of: Tensor

    def __init__(self, config: NequIPConfig) -> None:
        super().__init__()
        self.config = config
        self.elements, self.cutoff = config.elements, config.cutoff
        self.num_layers = len(config.connections)
        self.group = "O3" if config.keeps_mirror_images else "SO3"
        species_of = torch.full((119,), -1)
        species_of[[atomic_number(symbol) for symbol in config.elements]] = torch.arange(
            len(config.elements)
        )
        self.register_buffer("species_of", species_of, persistent=False)
        n = len(config.elements)
        self.embedding = torch.nn.Parameter(torch.randn(n, Irreps(config.irreps[0]).dim))
        self.layers = torch.nn.ModuleList(Layer(config, t) for t in range(self.num_layers))
        onset = (config.envelope_parameter,) if config.envelope == "xplor" else ()
        self.radial = TabulatedFunctions(
            RadialFunctions(config, [layer.table for layer in self._layers]),
            (0.0, *onset, config.cutoff),
            config.num_intervals,
            config.num_fine_intervals,
        )
        n_scalars = Irreps(config.irreps[-1]).count("0e")
        self.readout = RadialNetwork(
            (n_scalars, *config.readout_widths, 1), config.readout_activation
        )
        self.register_buffer("reference_energies", torch.zeros(n, dtype=torch.float64))
        self.register_buffer("scale", torch.ones(n, dtype=torch.float64))

    @property
    def irreps(self) -> str:
        """Irreps of `node_features`."""
        return self.config.irreps[-1]

    @property
    def _layers(self) -> Iterable["Layer"]:
        return cast(Iterable[Layer], self.layers)

    def node_features(self, environments: Environments) -> Float[Tensor, "n_centres dim"]:
        """Features after the last layer."""
        vectors, n_centres = environments.edge_vectors, environments.n_centres
        species = self.species_of[environments.atomic_numbers]
        lengths = torch.linalg.vector_norm(vectors, dim=1)
        weights = self.radial(lengths)
        adjacency = Adjacency.build(
            environments.centre,
            environments.neighbour,
            weights.interval,
            n_centres=n_centres,
            n_rows=species.shape[0],
            n_intervals=weights.n_intervals,
            n_taps=weights.basis.shape[1],
        )
        edge_sh = edge_harmonics(vectors / lengths.unsqueeze(1), self.config.sh_lmax)
        own_species = species[:n_centres]
        features = self.embedding[own_species]
        for number, layer in enumerate(self._layers):
            if number == 0:  # species are known everywhere
                rows = layer.messages_from(self.embedding)[species]
            else:
                rows = layer.messages_from(features)
                rows = environments.expand(rows, str(layer.irreps_in))
            table = weights.tables[number]
            sums = convolve(layer.table, adjacency, rows, edge_sh, weights.basis, table)
            features = layer(features, sums, own_species)
        return features

    def forward(self, environments: Environments) -> Float[Tensor, "n_centres"]:
        """Energies of the centres, eV."""
        features = self.node_features(environments)
        readout = self.readout(_even_scalars(features, self.irreps)).squeeze(1)
        species = self.species_of[environments.atomic_numbers[: environments.n_centres]]
        # summed in float64: a thousand atoms of -10 eV leave float32 no digits for forces' work
        energies = readout.double() * self.scale[species].double()
        return energies + self.reference_energies[species].double()


class Layer(torch.nn.Module):
    """Everything in one message-passing step but the convolution itself.

    Attributes
    ----------
    irreps_in : Irreps
    table : PathTable
        Of the convolution.
    """

    def __init__(self, config: NequIPConfig, number: int) -> None:
        super().__init__()
        self.irreps_in = Irreps(config.irreps[number])
        self.gate = Gate(
            Irreps(config.irreps[number + 1]),
            config.even_activation,
            config.odd_activation,
            config.gate_activation,
        )
        mixed = self.gate.irreps_in
        self.table = PathTable.build(self.irreps_in, harmonic_irreps(config), mixed)
        self.before = Linear(self.irreps_in, self.irreps_in)
        self.after = Linear(self.table.irreps_out, mixed)
        self.own: torch.nn.Module | None = None
        if config.connections[number] == "species":
            self.own = SpeciesLinear(self.irreps_in, mixed, len(config.elements))
        elif config.connections[number] == "shared":
            self.own = Linear(self.irreps_in, mixed)
        self.before_bias = _bias(self.irreps_in) if config.biases else None
        self.after_bias = _bias(mixed) if config.biases else None

    def messages_from(self, features: Float[Tensor, "n dim_in"]) -> Float[Tensor, "n dim_in"]:
        """Give what neighbours see of a row."""
        return _plus(self.before(features), self.before_bias, self.irreps_in)

    def forward(
        self,
        features: Float[Tensor, "n_centres dim_in"],
        sums: Float[Tensor, "n_centres dim_sum"],
        species: Int64[Tensor, "n_centres"],
    ) -> Float[Tensor, "n_centres dim_out"]:
        """Return new features of the centres, from their own and their neighbours' sums."""
        mixed = _plus(self.after(sums), self.after_bias, self.gate.irreps_in)
        if isinstance(self.own, SpeciesLinear):
            mixed = mixed + self.own(features, species)
        elif self.own is not None:
            mixed = mixed + self.own(features)
        return self.gate(mixed)


class RadialFunctions(torch.nn.Module):
    """Radial weights of all layers as functions of the edge length.

    A perceptron for each layer over sin(k r)/r times the envelope.
    """

    def __init__(self, config: NequIPConfig, tables: list[PathTable]) -> None:
        super().__init__()
        self.config = config
        numbers = torch.arange(1, config.num_bessel + 1) * (torch.pi / config.cutoff)
        self.wave_numbers = torch.nn.Parameter(numbers)
        self.networks = torch.nn.ModuleList(
            RadialNetwork(
                (config.num_bessel, *config.radial_widths, table.n_weights),
                config.radial_activation,
            )
            for table in tables
        )
        self._degrees = [
            torch.tensor([path.l2 for path in table.paths for _ in range(path.x.mul)])
            for table in tables
        ]

    def forward(self, lengths: Float[Tensor, "n"]) -> list[Tensor]:
        """Weights (n, n_weights) of each layer at lengths in Å."""
        parameter, cutoff = self.config.envelope_parameter, self.config.cutoff
        if self.config.envelope == "xplor":
            envelope = xplor_cutoff(lengths, cutoff, parameter)
        else:
            envelope = polynomial_cutoff(lengths, cutoff, int(parameter))
        k = self.wave_numbers
        waves = k * torch.sinc(lengths.unsqueeze(1) * (k / torch.pi))  # finite at 0
        inputs = waves * envelope.unsqueeze(1)
        weights = [network(inputs) for network in self.networks]
        if not self.config.solid_harmonics:
            return weights
        growth = torch.stack([lengths**l for l in range(self.config.sh_lmax + 1)], dim=1)
        return [
            w * growth[:, degrees.to(w.device)]
            for w, degrees in zip(weights, self._degrees, strict=True)
        ]


def harmonic_irreps(config: NequIPConfig) -> Irreps:
    """Irreps of the spherical harmonics."""
    p = -1 if config.parity else 1
    return Irreps([(1, Irrep(l, p**l)) for l in range(config.sh_lmax + 1)])


def _even_scalars(features: Tensor, irreps: str) -> Tensor:
    block = next(b for b in blocks(Irreps(irreps)) if (b.l, b.p) == (0, 1))
    return features[:, block.offset : block.end]


def _bias(irreps: Irreps) -> torch.nn.Parameter:
    return torch.nn.Parameter(torch.zeros(irreps.count("0e")))


def _plus(features: Tensor, bias: Tensor | None, irreps: Irreps) -> Tensor:
    """Add a bias to the even scalars."""
    if bias is None:
        return features
    block = next(b for b in blocks(irreps) if (b.l, b.p) == (0, 1))
    return features + torch.nn.functional.pad(bias, (block.offset, irreps.dim - block.end))
