"""What keeps nuclei apart where no data can teach it."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ase_symcalc.nn.radial import polynomial_cutoff

_COULOMB = 14.399645478425668  # e²/(4πε0), eV Å
_BOHR = 0.529177210903  # Å


class Repulsion(torch.nn.Module):
    """Screened Coulomb repulsion of Ziegler, Biersack and Littmark (1985).

    V(r) = Z_i Z_j e²/(4πε0 r) φ(r/a), a = 0.8854 a0 / (Z_i^0.23 + Z_j^0.23), and the universal
    φ(x) of four exponentials; taken smoothly to zero at the sum of the two radii.
    """

    coefficients: Tensor
    exponents: Tensor
    radii: Tensor
    numbers: Tensor

    def __init__(self, atomic_numbers: tuple[int, ...], radii: tuple[float, ...]) -> None:
        super().__init__()
        buffers = {
            "coefficients": (0.18175, 0.50986, 0.28022, 0.02817),
            "exponents": (3.19980, 0.94229, 0.40290, 0.20162),
            "radii": radii,
            "numbers": atomic_numbers,
        }
        for name, values in buffers.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64), persistent=False)

    def forward(
        self,
        lengths: Float[Tensor, "n_edges"],
        species: Int64[Tensor, "n_rows"],
        centre: Int64[Tensor, "n_edges"],
        neighbour: Int64[Tensor, "n_edges"],
        n_centres: int,
    ) -> Float[Tensor, "n_centres"]:
        """Half the repulsion of each centre's edges, eV."""
        reach, inverse_length, strength = self.pair_tables()
        s_i, s_j = species[centre], species[neighbour]
        near = (lengths < reach[s_i, s_j]).nonzero().squeeze(1)
        r, s_i, s_j = lengths[near], s_i[near], s_j[near]
        x = r * inverse_length[s_i, s_j]
        screening = (self.coefficients * torch.exp(-x.unsqueeze(1) * self.exponents)).sum(1)
        envelope = polynomial_cutoff(r, reach[s_i, s_j], 6)
        energy = strength[s_i, s_j] / r * screening * envelope
        return lengths.new_zeros(n_centres).index_add(0, centre[near], energy / 2)

    def pair_tables(self) -> tuple[Tensor, Tensor, Tensor]:
        """Reach (Å), 1/a (1/Å) and Z_i Z_j e²/(4πε0) (eV Å) of each pair of species."""
        z = self.numbers
        powers = z**0.23
        inverse_length = (powers[:, None] + powers) / (0.8854 * _BOHR)
        return self.radii[:, None] + self.radii, inverse_length, _COULOMB * z[:, None] * z
