"""What MACE makes of the length of an edge: radial weights, densities, repulsion."""

from __future__ import annotations

import copy

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from ase_symcalc.models.mace_config import MACEConfig
from ase_symcalc.nn.radial import RadialNetwork, polynomial_cutoff
from ase_symcalc.nn.spline import SplineInterpolation
from ase_symcalc.nn.tabulated import EdgeWeights, TabulatedFunctions


def agnesi(
    lengths: Float[Tensor, "n"], scale: Float[Tensor, "n"], constants: Float[Tensor, "3"]
) -> Float[Tensor, "n"]:
    """1 / (1 + a x^q / (1 + x^(q-p))), x = r / scale: from 1 at contact towards 0 far away.

    Witt et al., J. Chem. Phys. 159, 164101 (2023); constants a, q, p.
    """
    a, q, p = constants
    x = lengths / scale
    return 1 / (1 + a * x**q / (1 + x ** (q - p)))


def soft(
    lengths: Float[Tensor, "n"], scale: Float[Tensor, "n"], constants: Float[Tensor, "1"]
) -> Float[Tensor, "n"]:
    """Lengths that stop shrinking, at 3/4 of the scale, through a tanh that is midway at 25/24."""
    near, far = 0.75 * scale, 4 / 3 * scale
    step = torch.tanh(constants[0] / (far - near) * (lengths - (near + far) / 2))
    return near + (lengths - near) * (1 + step) / 2


TRANSFORMS = {"agnesi": (agnesi, (1.0805, 0.9183, 4.5791), 0.5), "soft": (soft, (4.0,), 1.0)}
"""Function, usual constants, and which part of the sum of covalent radii is its scale."""


class RadialFunctions(torch.nn.Module):
    """Radial weights of every layer, then densities of the layers that have one.

    A perceptron for each layer over Bessel functions of the transformed length times an
    envelope of the length itself.
    """

    constants: Tensor

    def __init__(self, config: MACEConfig, n_weights: list[int]) -> None:
        super().__init__()
        self.config = config
        n = config.num_bessel
        self.wave_numbers = torch.nn.Parameter(torch.arange(1, n + 1) * (torch.pi / config.cutoff))
        self.amplitude = torch.nn.Parameter(torch.tensor((2 / config.cutoff) ** 0.5))
        _, constants, _ = TRANSFORMS.get(config.distance_transform, (None, (), None))
        self.register_buffer("constants", torch.tensor(constants, dtype=torch.float64))
        widths = (n, *config.radial_widths)
        self.networks = torch.nn.ModuleList(RadialNetwork((*widths, m)) for m in n_weights)
        self.densities = torch.nn.ModuleList(
            RadialNetwork((n, 1)) for needed in config.density if needed
        )

    def forward(
        self, lengths: Float[Tensor, "n"], radii: Float[Tensor, "n"]
    ) -> list[Float[Tensor, "n _"]]:
        """Functions of lengths, and of the sums of covalent radii of the two ends, in Å."""
        transformed = lengths
        if self.config.distance_transform != "none":
            function, _, part = TRANSFORMS[self.config.distance_transform]
            transformed = function(lengths, part * radii, self.constants)
        k = self.wave_numbers
        waves = k * torch.sinc(transformed.unsqueeze(1) * (k / torch.pi))  # finite at 0
        envelope = polynomial_cutoff(lengths, self.config.cutoff, self.config.envelope_power)
        inputs = self.amplitude * waves * envelope.unsqueeze(1)
        weights = [network(inputs) for network in self.networks]
        return weights + [torch.tanh(network(inputs) ** 2) for network in self.densities]


class PairTabulated(TabulatedFunctions):
    """Radial functions of each pair of elements: exact in float64, splines in float32.

    Splines are kept until a weight or the pairs change. If a small structure has more kinds of
    pairs than edges to use them, they would cost more than they save, and the functions
    themselves are used, unless ``exact`` is empty.
    """

    functions: RadialFunctions
    radii: Tensor

    def __init__(self, config: MACEConfig, n_weights: list[int]) -> None:
        functions = RadialFunctions(config, n_weights)
        super().__init__(
            functions, (0.0, config.cutoff), config.num_intervals, config.num_fine_intervals
        )
        differ = config.distance_transform != "none"
        radii = config.covalent_radii if differ else (0.5,) * len(config.elements)
        self.register_buffer("radii", torch.tensor(radii, dtype=torch.float64), persistent=False)

    def forward(  # type: ignore[override]
        self,
        lengths: Float[Tensor, "n_edges"],
        first: Int64[Tensor, "n_edges"],
        second: Int64[Tensor, "n_edges"],
    ) -> EdgeWeights:
        """Weights of edges of these lengths, Å, between these species."""
        both = self.radii[first] + self.radii[second]
        spline = None if lengths.dtype in self.exact else self.spline_for(lengths.dtype)
        if spline is not None:
            kinds, kind = torch.unique(both, return_inverse=True)
            n_knots = len(spline.points)
            n_rows = len(kinds) * n_knots
            worthwhile = len(kinds) == 1 or n_rows <= len(lengths) or not self.exact
            if worthwhile and len(kinds):
                # float32 would place an edge within its short interval to four digits only
                interval, basis = spline(lengths.double())
                interval, basis = interval + kind * n_knots, basis.to(lengths.dtype)
                n_intervals = n_rows - spline.degree
                return EdgeWeights(interval, basis, n_intervals, self.tables(spline, kinds))
        every = torch.arange(len(lengths), device=lengths.device)
        ones = torch.ones_like(lengths).unsqueeze(1)
        return EdgeWeights(every, ones, len(lengths), self.functions(lengths, both))

    def coefficients(
        self, spline: SplineInterpolation, kinds: Float64[Tensor, "n_kinds"]
    ) -> list[Tensor]:
        """Spline coefficients for each sum of radii, in float64, one after the other."""
        return _coefficients(copy.deepcopy(self.functions).double(), spline, kinds)

    def tables(self, spline: SplineInterpolation, kinds: Tensor) -> list[Tensor]:
        """Coefficients for each kind of pair in turn, given its sum of radii, in its dtype."""
        weights = [*self.functions.parameters(), self.functions.constants]
        trained = any(weight.requires_grad for weight in weights)
        state: list[object] = [kinds.tolist(), kinds.dtype, kinds.device]
        state += [(weight.data_ptr(), weight._version) for weight in weights]
        if trained or self._made[0] != state:
            functions = self.functions if trained else copy.deepcopy(self.functions).double()
            tables = [table.to(kinds.dtype) for table in _coefficients(functions, spline, kinds)]
            if trained:
                return tables
            self._made = (state, tables)
        return self._made[1]


def _coefficients(
    functions: RadialFunctions, spline: SplineInterpolation, kinds: Tensor
) -> list[Float64[Tensor, "n_rows _"]]:
    """Coefficients of every function, for one kind of pair after the other."""
    dtype = next(functions.parameters()).dtype
    points = spline.points.to(kinds.device, dtype).repeat(len(kinds))
    values = functions(points, kinds.to(dtype).repeat_interleave(len(spline.points)))
    return [_interpolate(spline, value, len(kinds)) for value in values]


def _interpolate(spline: SplineInterpolation, values: Tensor, n_kinds: int) -> Tensor:
    """Spline coefficients of functions (n_kinds * n_knots, n), which are solved for together."""
    side_by_side = values.double().unflatten(0, (n_kinds, -1)).transpose(0, 1)
    solved = spline.coefficients(side_by_side.flatten(1))
    return solved.unflatten(1, (n_kinds, -1)).transpose(0, 1).flatten(0, 1)


def edge_values(weights: EdgeWeights, table: Tensor) -> Float[Tensor, "n_edges"]:
    """Value at each edge of a function that is one column of a table."""
    taps = torch.arange(weights.basis.shape[1], device=table.device)
    return (weights.basis * table[weights.interval.unsqueeze(1) + taps, 0]).sum(1)


class PairRepulsion(torch.nn.Module):
    """Screened Coulomb repulsion of Ziegler, Biersack and Littmark (1985), in MACE's digits.

    V(r) = Z_i Z_j e²/(4πε0 r) φ(r/a), a = b · 0.529 Å / (Z_i^s + Z_j^s), with the universal φ of
    four exponentials, taken to zero at the sum of the covalent radii.

    Attributes
    ----------
    constants : (6,) tensor
        Four weights of φ, then b and s.
    """

    constants: Tensor
    exponents: Tensor
    radii: Tensor
    numbers: Tensor

    def __init__(
        self, atomic_numbers: tuple[int, ...], radii: tuple[float, ...], envelope_power: int
    ) -> None:
        super().__init__()
        self.envelope_power = envelope_power
        constants = (0.1818, 0.5099, 0.2802, 0.02817, 0.4543, 0.3)
        self.register_buffer("constants", torch.tensor(constants, dtype=torch.float64))
        fixed = {
            "exponents": (3.2, 0.9423, 0.4028, 0.2016),
            "radii": radii,
            "numbers": atomic_numbers,
        }
        for name, values in fixed.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.float64), persistent=False)

    def forward(
        self,
        lengths: Float[Tensor, "n_edges"],
        first: Int64[Tensor, "n_edges"],
        second: Int64[Tensor, "n_edges"],
    ) -> Float[Tensor, "n_edges"]:
        """Half the repulsion of each edge between these species, eV."""
        reach, inverse_length, strength = self.pair_tables()
        near = (lengths < reach[first, second]).nonzero().squeeze(1)
        r, s_i, s_j = lengths[near], first[near], second[near]
        x = r * inverse_length[s_i, s_j]
        screening = torch.exp(-x.unsqueeze(1) * self.exponents) @ self.constants[:4]
        envelope = polynomial_cutoff(r, reach[s_i, s_j], self.envelope_power)
        energy = strength[s_i, s_j] / r * screening * envelope / 2
        return torch.zeros_like(lengths).index_add(0, near, energy)

    def pair_tables(self) -> tuple[Tensor, Tensor, Tensor]:
        """Reach (Å), 1/a (1/Å) and Z_i Z_j e²/(4πε0) (eV Å) of each pair of species."""
        z = self.numbers
        prefactor, power = self.constants[4], self.constants[5]
        powers = z**power
        inverse_length = (powers[:, None] + powers) / (prefactor * 0.529)
        return self.radii[:, None] + self.radii, inverse_length, 14.3996 * z[:, None] * z
