"""The network of our own potentials: embed, interact, read out, scale, add what is known."""

from collections.abc import Iterable
from typing import cast

import torch
from e3nn.o3 import Irreps
from jaxtyping import Float
from torch import Tensor

from ase_symcalc.errors import InputError
from ase_symcalc.graph import Environments
from ase_symcalc.models.base import AbstractEnergyModel
from ase_symcalc.models.config import ModelConfig
from ase_symcalc.models.elements import atomic_number
from ase_symcalc.models.repulsion import Repulsion
from ase_symcalc.nn.activation import SILU_GAIN
from ase_symcalc.nn.angular import edge_harmonics
from ase_symcalc.nn.interaction import Interaction, natural_irreps
from ase_symcalc.nn.kernels.adjacency import Adjacency
from ase_symcalc.nn.radial import RadialGrid


class SymNet(AbstractEnergyModel):
    """E(3)-equivariant message passing with gates (NequIP type), parity included.

    E_i = E0[species i] + scale · readout(features i) + ½ Σ_j ZBL(r_ij)
    """

    config: ModelConfig
    species_of: Tensor

    def __init__(self, config: ModelConfig) -> None:
        if config.heads:
            raise InputError(
                f"expected the configuration of one network, got one with heads {config.heads}; "
                "build_heads makes a network for each"
            )
        super().__init__()
        self.config = config
        self.elements, self.cutoff = config.elements, config.cutoff
        self.num_layers, self.group = config.num_layers, "O3"
        numbers = tuple(atomic_number(symbol) for symbol in config.elements)
        species_of = torch.full((119,), -1)
        species_of[list(numbers)] = torch.arange(len(numbers))
        self.register_buffer("species_of", species_of, persistent=False)

        n, channels = len(numbers), config.num_channels
        self.embedding = torch.nn.Parameter(torch.randn(n, channels))
        self.grid = RadialGrid(config.cutoff, config.num_bessel, config.num_intervals)
        irreps_sh = natural_irreps(1, config.sh_lmax)
        widths = (config.num_bessel, *[config.radial_width] * config.radial_depth)
        self.layers = torch.nn.ModuleList()
        irreps = Irreps(f"{channels}x0e")
        for number in range(1, config.num_layers + 1):
            last = number == config.num_layers
            target = natural_irreps(channels, 0 if last else config.lmax)
            layer = Interaction(irreps, target, irreps_sh, widths, n, config.avg_num_neighbours)
            self.layers.append(layer)
            irreps = layer.irreps_out
        self._irreps = str(irreps)
        self.readout_hidden = torch.nn.Parameter(torch.randn(channels, channels // 2 or 1))
        self.readout_out = torch.nn.Parameter(torch.randn(channels // 2 or 1))
        self.repulsion = (
            Repulsion(numbers, config.repulsion_radii) if config.repulsion_radii else None
        )
        self.register_buffer("reference_energies", torch.zeros(n, dtype=torch.float64))
        self.register_buffer("scale", torch.ones((), dtype=torch.float64))

    @property
    def irreps(self) -> str:
        """Irreps of `node_features`."""
        return self._irreps

    def node_features(self, environments: Environments) -> Float[Tensor, "n_centres dim"]:
        """Features after the last layer."""
        vectors, n_centres = environments.edge_vectors, environments.n_centres
        species = self.species_of[environments.atomic_numbers]
        lengths = torch.linalg.vector_norm(vectors, dim=1)
        interval, edge_basis = self.grid(lengths)
        adjacency = Adjacency.build(
            environments.centre,
            environments.neighbour,
            interval,
            n_centres=n_centres,
            n_rows=species.shape[0],
            n_intervals=self.grid.n_intervals,
            n_taps=self.grid.n_taps,
        )
        edge_sh = edge_harmonics(vectors / lengths.unsqueeze(1), self.config.sh_lmax)
        knot_inputs = self.grid.inputs.to(vectors)
        features = self.embedding[species[:n_centres]]
        for number, layer in enumerate(cast(Iterable[Interaction], self.layers)):
            if number == 0:  # species are known everywhere
                rows = layer.before(self.embedding[species])
            else:
                rows = environments.expand(layer.before(features), str(layer.irreps_in))
            features = layer(
                features,
                rows,
                species[:n_centres],
                adjacency,
                edge_sh,
                edge_basis,
                knot_inputs,
            )
        return features

    def forward(self, environments: Environments) -> Float[Tensor, "n_centres"]:
        """Energies of the centres, eV."""
        features = self.node_features(environments)
        hidden = torch.nn.functional.silu(
            features @ (self.readout_hidden / self.readout_hidden.shape[0] ** 0.5)
        )
        readout = hidden @ (self.readout_out * (SILU_GAIN / self.readout_out.shape[0] ** 0.5))
        species = self.species_of[environments.atomic_numbers]
        # summed in float64: a thousand atoms of -10 eV leave float32 no digits for forces' work
        energies = readout.double() * self.scale.double()
        energies = energies + self.reference_energies[species[: environments.n_centres]].double()
        if self.repulsion is None:
            return energies
        return energies + self.repulsion(
            torch.linalg.vector_norm(environments.edge_vectors, dim=1),
            species,
            environments.centre,
            environments.neighbour,
            environments.n_centres,
        )
