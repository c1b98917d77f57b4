"""Networks of MACE type, evaluated forwards and backwards without a tape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ase_symcalc.inference.convolution import Convolution
from ase_symcalc.inference.coordinates import RadialGrid
from ase_symcalc.inference.edges import Edges
from ase_symcalc.inference.maps import LinearMap
from ase_symcalc.inference.message_passing import MessagePassing, Species
from ase_symcalc.inference.pair_tables import PairTables
from ase_symcalc.inference.pairs import PairTerm
from ase_symcalc.inference.plan import Number, Plan
from ase_symcalc.inference.planned import PlannedNetwork
from ase_symcalc.inference.readout import Readout
from ase_symcalc.inference.surroundings import Surroundings
from ase_symcalc.inference.tiles import Tile
from ase_symcalc.nn.kernels.builder import real_name
from ase_symcalc.nn.kernels.density import (
    density_gradient_kernel,
    division_gradient_kernel,
    division_kernel,
)
from ase_symcalc.nn.kernels.filling import taking_pairs_kernel
from ase_symcalc.nn.layout import Block


@dataclass(frozen=True, eq=False)
class MACELayer:
    """One layer with its weights packed.

    Attributes
    ----------
    blocks : tuple of Block
        Of the features that come in.
    dim_factors, dim_products, dim_features : int
        Numbers in a row before the polynomials, after them, and at the end.
    before, own : LinearMap or None
        What neighbours see of a row, and what the centre keeps of itself. None in the first
        layer, where the embedding of the species decides both.
    mix, after : LinearMap
        Before the polynomials, and after them. ``mix`` holds the scale of the sums.
    weights : (n_species, n_paths, n_channels) array
        Of the polynomials.
    values, gradient : callable
        Kernels of `nn.kernels.polynomial`.
    density : int or None
        Which of the densities normalises the sums.
    """

    blocks: tuple[Block, ...]
    dim_factors: int
    dim_products: int
    dim_features: int
    before: LinearMap | None
    convolution: Convolution
    mix: LinearMap
    weights: np.ndarray
    values: Callable[..., None]
    gradient: Callable[..., None]
    after: LinearMap
    own: LinearMap | None
    density: int | None
    readout: Readout


@dataclass(frozen=True, eq=False)
class MACENetwork(PlannedNetwork):
    """A whole network of layers with symmetric contractions.

    Attributes
    ----------
    first_rows : (n_species, dim) array
        What neighbours see of an atom before the first layer.
    """

    lmax: int
    grid: RadialGrid
    tables: PairTables
    first_rows: np.ndarray
    layers: tuple[MACELayer, ...]
    pair_term: PairTerm | None

    def write(self, plan: Plan, seen: Surroundings, *, derivatives: bool) -> None:
        """Add the calls of an evaluation to a plan."""
        _Evaluation(self, plan, seen).write(self.pair_term, derivatives=derivatives)


class _Evaluation(MessagePassing):
    """The steps of one evaluation."""

    def __init__(self, network: MACENetwork, plan: Plan, seen: Surroundings) -> None:
        species = Species(plan, network.species_of.take(seen.atomic_numbers))
        if not network.tables.knows(species.rows):
            network.plans.clear()  # they keep the tables there were before
        found = network.tables.find(species.rows)
        first_row = plan.room(8 * plan.most_edges)
        ends = (species.centres, species.neighbours, plan.number(len(found.first_row)))
        table = plan.keep(found.first_row)
        plan.each_part(
            lambda first, last: plan.call(
                taking_pairs_kernel(), first, last, *ends, table, first_row
            )
        )
        n_rows = len(seen.atomic_numbers)
        edges = Edges(plan, n_rows, network.lmax, network.grid, first_row, network.dtype)
        layers = [
            (layer.convolution, layer.blocks, knots)
            for layer, knots in zip(network.layers, found.knots, strict=True)
        ]
        super().__init__(plan, seen, species, edges, network.first_rows, layers, network.dtype)
        self.network, self.real = network, real_name(network.dtype)
        self.densities = [plan.keep(density) for density in found.densities]
        self.factors = [self.room(self.n, layer.dim_factors) for layer in network.layers]
        self.features = [self.room(self.n, layer.dim_features) for layer in network.layers]
        self.weights = [plan.keep(layer.weights) for layer in network.layers]
        self.sums: dict[int, Number] = {}
        self.divisors: dict[int, Number] = {}
        self.d_divisors: dict[int, Number] = {}
        for number, layer in enumerate(network.layers):
            if layer.density is not None:
                self.sums[number] = self.room(self.n, layer.convolution.dim_out)
                self.divisors[number] = plan.room(8 * self.n)
                self.d_divisors[number] = plan.room(8 * self.n)

    def forward(self) -> list[tuple[Readout, int, Number]]:
        """Add calls up to the features after all layers, which are all read."""
        for number in range(len(self.network.layers)):
            if number:
                self.expand(number)
            self.each(partial(self.forward_tile, number=number))
        return [
            (layer.readout, layer.dim_features, features)
            for layer, features in zip(self.network.layers, self.features, strict=True)
        ]

    def forward_tile(self, tile: Tile, number: int) -> None:
        """Gather, mix, multiply; then prepare the next layer."""
        layers, plan, order = self.network.layers, self.plan, self.order
        layer, features = layers[number], self.features[number]
        sums = self.sums.get(number)
        if sums is None:
            sums = self.scratch(tile, layer.convolution.dim_out)
        self.gather(tile, number, sums)
        if layer.density is not None:
            self.divide(tile, number, layer.density)
        layer.mix.forward(plan, sums, self.factors[number], tile, order)
        products = self.scratch(tile, layer.dim_products)
        arrays = (self.species.address, self.factors[number], self.weights[number])
        plan.call(layer.values, tile.first, tile.last, *arrays, products, 0, 0)
        layer.after.forward(plan, products, features, tile, order, onto=layer.own is not None)
        if number + 1 < len(layers):
            follow = layers[number + 1]
            if follow.before:
                follow.before.forward(plan, features, self.rows[number + 1], tile, order)
            if follow.own:
                follow.own.forward(plan, features, self.features[number + 1], tile, order)

    def backward(self, slopes: Sequence[Number]) -> None:
        """Add calls to the gradients by all edges, from those by all features."""
        plan, edges = self.plan, self.edges
        for number in reversed(range(len(slopes))):
            self.each(partial(self.backward_tile, number=number, slopes=slopes))
            self.gather_back(number)
            density = self.network.layers[number].density
            if density is not None:
                kernel = density_gradient_kernel(edges.n_taps, self.real)
                indices = (plan.centre, edges.interval)
                reals = (self.d_divisors[number], self.densities[density], edges.db)
                plan.call(kernel, 0, plan.n_edges, *indices, *reals)

    def backward_tile(self, tile: Tile, number: int, slopes: Sequence[Number]) -> None:
        """From the gradient by a layer's features to that by its sums, and what its rows keep."""
        layers, plan, order = self.network.layers, self.plan, self.order
        layer, d_features = layers[number], slopes[number]
        if number + 1 < len(layers) and (before := layers[number + 1].before):
            before.backward(plan, self.d_rows, d_features, tile, order, onto=True)
        d_products = self.scratch(tile, layer.dim_products)
        layer.after.backward(plan, d_features, d_products, tile, order)
        d_factors = self.scratch(tile, layer.dim_factors)
        arrays = (self.species.address, self.factors[number], self.weights[number])
        plan.call(layer.gradient, tile.first, tile.last, *arrays, 0, d_products, d_factors)
        layer.mix.backward(plan, d_factors, self.d_sums, tile, order)
        if layer.own:
            layer.own.backward(plan, d_features, slopes[number - 1], tile, order, onto=True)
        if number in self.sums:
            kernel = division_gradient_kernel(layer.convolution.dim_out, self.real)
            places = (self.divisors[number], self.d_divisors[number])
            plan.call(kernel, tile.first, tile.last, *places, self.sums[number], self.d_sums)

    def divide(self, tile: Tile, number: int, density: int) -> None:
        """Divide the sums of a tile's centres by 1 + Σ of a density over their edges."""
        edges, dim = self.edges, self.network.layers[number].convolution.dim_out
        indices = (edges.centre_start, edges.interval)
        reals = (self.divisors[number], edges.b, self.densities[density], self.sums[number])
        self.plan.call(
            division_kernel(dim, edges.n_taps, self.real), tile.first, tile.last, *indices, *reals
        )
