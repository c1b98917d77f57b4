"""Networks of MACE type, evaluated forwards and backwards without a tape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float64

from ase_symcalc.inference.convolution import Convolution
from ase_symcalc.inference.edges import Edges
from ase_symcalc.inference.maps import LinearMap
from ase_symcalc.inference.memory import pile
from ase_symcalc.inference.message_passing import MessagePassing
from ase_symcalc.inference.pair_tables import PairTables
from ase_symcalc.inference.pairs import PairTerm
from ase_symcalc.inference.readout import Readout
from ase_symcalc.inference.surroundings import Surroundings
from ase_symcalc.inference.tiles import Tile
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
class MACENetwork:
    """A whole network; call it with `Surroundings`."""

    dtype: Any
    species_of: np.ndarray
    lmax: int
    tables: PairTables
    first_rows: np.ndarray
    layers: tuple[MACELayer, ...]
    pair_term: PairTerm | None

    def __call__(
        self,
        seen: Surroundings,
        weights: Float64[np.ndarray, "n_centres"] | None = None,
        *,
        derivatives: bool = True,
    ) -> tuple[Float64[np.ndarray, "n_centres"], Float64[np.ndarray, "n_edges 3"] | None]:
        """Energies E_i of the centres, eV, and the gradient of Σ_i w_i E_i by edge vectors.

        Parameters
        ----------
        seen : Surroundings
        weights : (n_centres,) array, optional
            1 for each if left out.
        derivatives : bool
            Without it there is no gradient.
        """
        with pile().borrowed():
            return _Evaluation(self, seen).results(weights, derivatives)


class _Evaluation:
    """The steps of one evaluation."""

    def __init__(self, network: MACENetwork, seen: Surroundings) -> None:
        species = network.species_of.take(seen.atomic_numbers)
        located = network.tables.locate(species.take(seen.centre), species.take(seen.neighbour))
        self.knots, self.densities = located.knots, located.densities
        edges = Edges(seen, network.lmax, located, network.dtype)
        layers = [
            (layer.convolution, layer.blocks, knots.ctypes.data)
            for layer, knots in zip(network.layers, self.knots, strict=True)
        ]
        self.network, self.edges = network, edges
        self.passing = passing = MessagePassing(
            seen, edges, species, network.first_rows, layers, network.dtype
        )
        self.factors = [passing.room(passing.n, layer.dim_factors) for layer in network.layers]
        self.divisors = {
            number: self.divisor(layer.density)
            for number, layer in enumerate(network.layers)
            if layer.density is not None
        }
        self.sums: dict[int, tuple[np.ndarray, int]] = {}
        self.features = [
            pile().array((passing.n, layer.dim_features), network.dtype) for layer in network.layers
        ]

    def results(
        self, weights: np.ndarray | None, derivatives: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        network, passing = self.network, self.passing
        for number in range(len(network.layers)):
            if number:
                passing.fill_images(number)
            if number in self.divisors:
                shape = (passing.n, network.layers[number].convolution.dim_out)
                self.sums[number] = pile().array(shape, network.dtype)
            passing.tiling.each(partial(self.forward_tile, number=number))
        read = [
            layer.readout(features, passing.species)
            for layer, (features, _) in zip(network.layers, self.features, strict=True)
        ]
        energies = np.sum([part for part, _ in read], axis=0)
        weights = np.ones(passing.n) if weights is None else weights
        dr = None
        if network.pair_term is not None:
            species, others = passing.species, passing.other_species
            dr = network.pair_term.add(energies, self.edges, species, others, weights)
        if not derivatives:
            return energies, None
        slopes = [passing.typed(slope * weights[:, None]) for _, slope in read]
        return energies, self.edges.gradient(*self.backward(slopes), dr)

    def forward_tile(self, tile: Tile, number: int) -> None:
        """Gather, mix, multiply; then prepare the next layer."""
        layers, passing, order = self.network.layers, self.passing, self.passing.tiling.order
        layer, (_, at) = layers[number], self.features[number]
        with pile().borrowed():
            if number in self.sums:
                whole, sums = self.sums[number]
                passing.gather(tile, number, sums)
                whole[tile.first : tile.last] /= self.divisors[number][tile.first : tile.last, None]
            else:
                sums = passing.scratch(tile, layer.convolution.dim_out)
                passing.gather(tile, number, sums)
            layer.mix.forward(sums, self.factors[number], tile.runs, order)
            products = passing.scratch(tile, layer.dim_products)
            arrays = (passing.species.ctypes.data, self.factors[number], layer.weights.ctypes.data)
            layer.values(tile.first, tile.last, *arrays, products, 0, 0)
            layer.after.forward(products, at, tile.runs, order, onto=layer.own is not None)
        if number + 1 < len(layers):
            follow = layers[number + 1]
            if follow.before:
                follow.before.forward(at, passing.rows[number + 1], tile.runs, order)
            if follow.own:
                follow.own.forward(at, self.features[number + 1][1], tile.runs, order)

    def backward(self, slopes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Gradients by harmonics and splines of all edges, from those by all features."""
        dy, db = self.passing.start_back()
        self.d_features = [slope.ctypes.data for slope in slopes]
        self.d_divisors = {number: np.empty(len(d)) for number, d in self.divisors.items()}
        for number in reversed(range(len(slopes))):
            self.passing.tiling.each(partial(self.backward_tile, number=number))
            self.passing.gather_back(number)
            density = self.network.layers[number].density
            if density is not None:
                edge_values = self.d_divisors[number].take(self.edges.centre)[:, None]
                db += edge_values * self.taps(density)
        return dy, db

    def backward_tile(self, tile: Tile, number: int) -> None:
        """From the gradient by a layer's features to that by its sums, and what its rows keep."""
        layers, passing, order = self.network.layers, self.passing, self.passing.tiling.order
        layer, d_features = layers[number], self.d_features[number]
        if number + 1 < len(layers) and (before := layers[number + 1].before):
            before.backward(passing.d_rows, d_features, tile.runs, order, onto=True)
        with pile().borrowed():
            d_products = passing.scratch(tile, layer.dim_products)
            layer.after.backward(d_features, d_products, tile.runs, order)
            d_factors = passing.scratch(tile, layer.dim_factors)
            arrays = (passing.species.ctypes.data, self.factors[number], layer.weights.ctypes.data)
            layer.gradient(tile.first, tile.last, *arrays, 0, d_products, d_factors)
            layer.mix.backward(d_factors, passing.d_sums, tile.runs, order)
        if layer.own:
            below = self.d_features[number - 1]
            layer.own.backward(d_features, below, tile.runs, order, onto=True)
        if number in self.sums:
            self.divide_back(tile, number)

    def divide_back(self, tile: Tile, number: int) -> None:
        """From the gradient by normalised sums to that by the sums and their divisor."""
        rows = slice(tile.first, tile.last)
        divisor, normalised = self.divisors[number][rows], self.sums[number][0][rows]
        d_sums = self.passing.sums_gradient(number)[rows]
        d_sums /= divisor[:, None].astype(d_sums.dtype)
        self.d_divisors[number][rows] = -np.einsum("nk,nk->n", d_sums, normalised, dtype=float)

    def divisor(self, density: int) -> np.ndarray:
        """1 + Σ of a density over the edges of each centre."""
        shares = np.einsum("eq,eq->e", self.edges.b, self.taps(density))
        return 1 + np.bincount(self.edges.centre, shares, self.passing.n)

    def taps(self, density: int) -> np.ndarray:
        """Spline coefficients of a density that each edge uses."""
        places = self.edges.interval[:, None] + np.arange(self.edges.n_taps)
        return self.densities[density].take(places)
