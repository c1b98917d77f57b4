"""MACE: higher-order equivariant message passing."""

from collections.abc import Iterable
from typing import cast

import torch
from e3nn.o3 import Irreps
from jaxtyping import Float, Int64
from torch import Tensor

from ase_symcalc.graph import Environments
from ase_symcalc.models.base import AbstractEnergyModel
from ase_symcalc.models.elements import atomic_number
from ase_symcalc.models.mace_config import MACEConfig
from ase_symcalc.models.mace_radial import PairRepulsion, PairTabulated, edge_values
from ase_symcalc.nn.angular import edge_harmonics
from ase_symcalc.nn.interaction import natural_irreps
from ase_symcalc.nn.kernels.adjacency import Adjacency
from ase_symcalc.nn.kernels.contraction import convolve
from ase_symcalc.nn.kernels.paths import PathTable
from ase_symcalc.nn.linear import Linear, SpeciesLinear
from ase_symcalc.nn.product import contract
from ase_symcalc.nn.product_table import ProductTable
from ase_symcalc.nn.radial import RadialNetwork


class MACE(AbstractEnergyModel):
    """Message passing of Batatia et al., NeurIPS 2022 (arXiv:2206.07697).

    E_i = E0[species i] + scale · (Σ_t readout_t(scalars i after layer t) + ½ Σ_j ZBL(r_ij))
    """

    config: MACEConfig
    species_of: Tensor

    def __init__(self, config: MACEConfig) -> None:
        super().__init__()
        self.config = config
        self.elements, self.cutoff = config.elements, config.cutoff
        self.num_layers, self.group = len(config.correlation), "O3"
        numbers = tuple(atomic_number(symbol) for symbol in config.elements)
        species_of = torch.full((119,), -1)
        species_of[list(numbers)] = torch.arange(len(numbers))
        self.register_buffer("species_of", species_of, persistent=False)
        n = len(numbers)
        self.embedding = torch.nn.Parameter(torch.randn(n, config.num_channels))
        self.layers = torch.nn.ModuleList(Layer(config, t) for t in range(self.num_layers))
        self.radial = PairTabulated(config, [layer.table.n_weights for layer in self._layers])
        self.repulsion = (
            PairRepulsion(numbers, config.covalent_radii, config.envelope_power)
            if config.repulsion
            else None
        )
        # what float32 can hold, and the rest: all-electron energies are tens of thousands of eV
        self.register_buffer("reference_energies", torch.zeros(2, n, dtype=torch.float64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    @property
    def irreps(self) -> str:
        """Irreps of `node_features`."""
        return f"{self.config.num_channels}x0e"

    @property
    def _layers(self) -> Iterable["Layer"]:
        return cast(Iterable[Layer], self.layers)

    def node_features(self, environments: Environments) -> Float[Tensor, "n_centres dim"]:
        """Features after the last layer."""
        return self._features(environments)[-1]

    def forward(self, environments: Environments) -> Float[Tensor, "n_centres"]:
        """Energies of the centres, eV."""
        n_channels = self.config.num_channels
        energies = sum(
            layer.readout(features[:, :n_channels]).squeeze(1)
            for layer, features in zip(self._layers, self._features(environments), strict=True)
        )
        species = self.species_of[environments.atomic_numbers]
        centre, neighbour = environments.centre, environments.neighbour
        if self.repulsion is not None:
            lengths = torch.linalg.vector_norm(environments.edge_vectors, dim=1)
            pairs = self.repulsion(lengths, species[centre], species[neighbour])
            energies = energies.index_add(0, centre, pairs)
        # summed in float64: a thousand atoms of -10 eV leave float32 no digits for forces' work
        references = self.reference_energies.double().sum(0)[species[: environments.n_centres]]
        return references + self.scale.double() * energies.double()

    def _features(self, environments: Environments) -> list[Tensor]:
        """Features after each layer."""
        vectors, n_centres = environments.edge_vectors, environments.n_centres
        centre, neighbour = environments.centre, environments.neighbour
        species = self.species_of[environments.atomic_numbers]
        lengths = torch.linalg.vector_norm(vectors, dim=1)
        weights = self.radial(lengths, species[centre], species[neighbour])
        adjacency = Adjacency.build(
            centre,
            neighbour,
            weights.interval,
            n_centres=n_centres,
            n_rows=species.shape[0],
            n_intervals=weights.n_intervals,
            n_taps=weights.basis.shape[1],
        )
        edge_sh = edge_harmonics(vectors / lengths.unsqueeze(1), self.config.sh_lmax)
        own_species = species[:n_centres]
        features = self.embedding[own_species]
        densities = iter(weights.tables[self.num_layers :])
        after: list[Tensor] = []
        for number, layer in enumerate(self._layers):
            if number == 0:  # species are known everywhere
                rows = layer.before(self.embedding)[species]
            else:
                rows = environments.expand(layer.before(features), str(layer.irreps_in))
            table = weights.tables[number]
            sums = convolve(layer.table, adjacency, rows, edge_sh, weights.basis, table)
            divisor: Tensor | float = self.config.avg_num_neighbours
            if self.config.density[number]:
                shares = edge_values(weights, next(densities))
                divisor = 1 + lengths.new_zeros(n_centres, 1).index_add(
                    0, centre, shares.unsqueeze(1)
                )
            features = layer(features, sums / divisor, own_species)
            after.append(features)
        return after


class Layer(torch.nn.Module):
    """Everything in one message-passing step but the convolution itself.

    Attributes
    ----------
    irreps_in, irreps_out : Irreps
    table : PathTable
        Of the convolution.
    basis : ProductTable
        Of the polynomials.
    """

    def __init__(self, config: MACEConfig, number: int) -> None:
        super().__init__()
        n_channels, n_elements = config.num_channels, len(config.elements)
        hidden, scalars = Irreps(config.hidden_irreps), Irreps(f"{n_channels}x0e")
        last = number == len(config.correlation) - 1
        self.irreps_in = hidden if number else scalars
        self.irreps_out = scalars if last else hidden
        factors = natural_irreps(n_channels, config.sh_lmax)
        self.table = PathTable.build(self.irreps_in, natural_irreps(1, config.sh_lmax), factors)
        self.before = Linear(self.irreps_in, self.irreps_in)
        self.mix: Linear | SpeciesLinear
        self.own: SpeciesLinear | None = None
        if config.residual[number]:
            self.mix = Linear(self.table.irreps_out, factors)
            self.own = SpeciesLinear(self.irreps_in, self.irreps_out, n_elements)
        else:
            self.mix = SpeciesLinear(self.table.irreps_out, factors, n_elements)
        self.basis = ProductTable.build(factors, self.irreps_out, config.correlation[number])
        n_paths = self.basis.n_paths
        self.product = torch.nn.Parameter(torch.randn(n_elements, n_paths, n_channels))
        self.after = Linear(self.irreps_out, self.irreps_out)
        width = config.readouts[number]
        self.readout = RadialNetwork((n_channels, width, 1) if width else (n_channels, 1))

    def forward(
        self,
        features: Float[Tensor, "n_centres dim_in"],
        sums: Float[Tensor, "n_centres dim_sum"],
        species: Int64[Tensor, "n_centres"],
    ) -> Float[Tensor, "n_centres dim_out"]:
        """Combine the centres' own features with the scaled sums of their neighbours'."""
        mixed = self.mix(sums) if isinstance(self.mix, Linear) else self.mix(sums, species)
        out = self.after(contract(self.basis, mixed, self.polynomial_weights(), species))
        return out if self.own is None else out + self.own(features, species)

    def polynomial_weights(self) -> Float[Tensor, "n_elements n_paths n_channels"]:
        """Weights of the polynomials; those stored are of order one, as optimisers like it."""
        return self.product / self.basis.n_paths**0.5
