"""One message-passing layer."""

import torch
from e3nn.o3 import Irrep, Irreps
from jaxtyping import Float, Int64
from torch import Tensor

from ase_symcalc.nn.activation import Gate
from ase_symcalc.nn.kernels.adjacency import Adjacency
from ase_symcalc.nn.kernels.contraction import convolve
from ase_symcalc.nn.kernels.paths import PathTable
from ase_symcalc.nn.linear import Linear, SpeciesLinear
from ase_symcalc.nn.radial import RadialNetwork


class Interaction(torch.nn.Module):
    """Convolve with the neighbours, add a map of the centre's own features, gate.

    The layer of Batzner et al., Nat. Commun. 13, 2453 (2022), in channel-last layout.
    """

    def __init__(
        self,
        irreps_in: Irreps,
        irreps_out: Irreps,
        irreps_sh: Irreps,
        radial_widths: tuple[int, ...],
        n_species: int,
        avg_num_neighbours: float,
    ) -> None:
        super().__init__()
        reachable = Irreps(
            [
                (mul, ir)
                for mul, ir in irreps_out
                if ir.l == 0 or any(ir in a * b for _, a in irreps_in for _, b in irreps_sh)
            ]
        )
        self.gate = Gate(reachable)
        self.irreps_in, self.irreps_out = irreps_in, self.gate.irreps_out
        self.table = PathTable.build(irreps_in, irreps_sh, self.gate.irreps_in)
        self.before = Linear(irreps_in, irreps_in)
        self.radial = RadialNetwork((*radial_widths, self.table.n_weights))
        self.after = Linear(self.table.irreps_out, self.gate.irreps_in)
        self.own = SpeciesLinear(irreps_in, self.gate.irreps_in, n_species)
        self.neighbour_scale = avg_num_neighbours**-0.5

    def forward(
        self,
        features: Float[Tensor, "n_centres dim_in"],
        rows: Float[Tensor, "n_rows dim_in"],
        species: Int64[Tensor, "n_centres"],
        adjacency: Adjacency,
        edge_sh: Float[Tensor, "n_edges n_sh"],
        edge_basis: Float[Tensor, "n_edges n_taps"],
        knot_inputs: Float[Tensor, "n_knots num_bessel"],
    ) -> Float[Tensor, "n_centres dim_out"]:
        """Return new features of the centres; ``rows`` are `before` of all they may touch."""
        knots = self.radial(knot_inputs)
        messages = convolve(self.table, adjacency, rows, edge_sh, edge_basis, knots)
        mixed = self.after(messages * self.neighbour_scale) + self.own(features, species)
        return self.gate(mixed)


def natural_irreps(num_channels: int, lmax: int) -> Irreps:
    """Give every degree up to ``lmax`` the parity of its spherical harmonics."""
    return Irreps([(num_channels, Irrep(l, (-1) ** l)) for l in range(lmax + 1)])
