"""Networks of NequIP type, evaluated forwards and backwards without a tape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float64

from ase_symcalc.inference.convolution import Convolution
from ase_symcalc.inference.coordinates import RadialCoordinate
from ase_symcalc.inference.edges import Edges
from ase_symcalc.inference.maps import LinearMap
from ase_symcalc.inference.memory import pile
from ase_symcalc.inference.message_passing import MessagePassing
from ase_symcalc.inference.pairs import PairTerm
from ase_symcalc.inference.readout import Readout
from ase_symcalc.inference.surroundings import Surroundings
from ase_symcalc.inference.tiles import Tile
from ase_symcalc.nn.layout import Block


@dataclass(frozen=True, eq=False)
class GatedLayer:
    """One layer with its weights packed.

    Attributes
    ----------
    blocks : tuple of Block
        Of the features that come in.
    dim_mixed : int
        Numbers in a row before the gate.
    before, own : LinearMap or None
        What neighbours see of a row, and what the centre keeps of itself. None in the first
        layer, where the embedding of the species decides both.
    after : LinearMap
        Of the sums over neighbours; holds the scale of the sums.
    knots : (n_knots, n_weights) array
        Spline coefficients of the radial functions.
    gate, gate_back : callable
        Kernels of `nn.kernels.gates`.
    """

    blocks: tuple[Block, ...]
    dim_mixed: int
    before: LinearMap | None
    convolution: Convolution
    knots: np.ndarray
    after: LinearMap
    own: LinearMap | None
    gate: Callable[..., None]
    gate_back: Callable[..., None]


@dataclass(frozen=True, eq=False)
class GatedNetwork:
    """A whole network; call it with `Surroundings`.

    Attributes
    ----------
    species_of : (119,) array
        Species by atomic number.
    first_rows : (n_species, dim) array
        What neighbours see of an atom before the first layer.
    dim_features : int
        Numbers in a row after the last gate.
    """

    dtype: Any
    species_of: np.ndarray
    lmax: int
    coordinate: RadialCoordinate
    first_rows: np.ndarray
    layers: tuple[GatedLayer, ...]
    dim_features: int
    readout: Readout
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

    def __init__(self, network: GatedNetwork, seen: Surroundings) -> None:
        species = network.species_of.take(seen.atomic_numbers)
        edges = Edges(seen, network.lmax, network.coordinate, network.dtype)
        layers = [
            (layer.convolution, layer.blocks, layer.knots.ctypes.data) for layer in network.layers
        ]
        self.network = network
        self.passing = MessagePassing(
            seen, edges, species, network.first_rows, layers, network.dtype
        )
        room = self.passing.room
        self.mixed = [room(self.passing.n, layer.dim_mixed) for layer in network.layers]

    def results(
        self, weights: np.ndarray | None, derivatives: bool
    ) -> tuple[np.ndarray, np.ndarray | None]:
        network, passing = self.network, self.passing
        energies, slope = network.readout(self.forward(), passing.species)
        weights = np.ones(passing.n) if weights is None else weights
        dr = None
        if network.pair_term is not None:
            species, others = passing.species, passing.other_species
            dr = network.pair_term.add(energies, passing.edges, species, others, weights)
        if not derivatives:
            return energies, None
        slope *= weights[:, None]
        return energies, passing.edges.gradient(*self.backward(slope), dr)

    def forward(self) -> np.ndarray:
        """Features after the last layer."""
        passing, last = self.passing, len(self.network.layers) - 1
        shape = (passing.n, self.network.dim_features)
        features, address = pile().array(shape, self.network.dtype)
        for number in range(last + 1):
            if number:
                passing.fill_images(number)
            out = address if number == last else 0
            passing.tiling.each(partial(self.forward_tile, number=number, features=out))
        return features

    def forward_tile(self, tile: Tile, number: int, features: int) -> None:
        """Gather, mix and gate; then prepare the next layer, or write the features."""
        layers, passing, order = self.network.layers, self.passing, self.passing.tiling.order
        layer, mixed = layers[number], self.mixed[number]
        with pile().borrowed():
            sums = passing.scratch(tile, layer.convolution.dim_out)
            passing.gather(tile, number, sums)
            layer.after.forward(sums, mixed, tile.runs, order, onto=layer.own is not None)
            if features:
                layer.gate(tile.first, tile.last, mixed, 0, features)
                return
            follow = layers[number + 1]
            features = passing.scratch(tile, follow.convolution.dim_x)
            layer.gate(tile.first, tile.last, mixed, 0, features)
            if follow.before:
                follow.before.forward(features, passing.rows[number + 1], tile.runs, order)
            if follow.own:
                follow.own.forward(features, self.mixed[number + 1], tile.runs, order)

    def backward(self, slope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Gradients by harmonics and splines of all edges, from that by the features."""
        layers, passing = self.network.layers, self.passing
        by_edges = passing.start_back()
        slope = passing.typed(slope)
        d_features = slope.ctypes.data
        for number in reversed(range(len(layers))):
            d_next = passing.room(passing.n, layers[number].convolution.dim_x) if number else 0
            task = partial(self.backward_tile, number=number, d_features=d_features, d_next=d_next)
            passing.tiling.each(task)
            passing.gather_back(number)
            d_features = d_next
        return by_edges

    def backward_tile(self, tile: Tile, number: int, d_features: int, d_next: int) -> None:
        """From the gradient by a layer's features to that by its sums, and what its rows keep."""
        layers, passing, order = self.network.layers, self.passing, self.passing.tiling.order
        layer = layers[number]
        if number < len(layers) - 1:
            follow = layers[number + 1]
            if follow.before:
                onto = follow.own is not None
                follow.before.backward(passing.d_rows, d_features, tile.runs, order, onto=onto)
        with pile().borrowed():
            d_mixed = passing.scratch(tile, layer.dim_mixed)
            layer.gate_back(tile.first, tile.last, self.mixed[number], d_features, d_mixed)
            layer.after.backward(d_mixed, passing.d_sums, tile.runs, order)
            if d_next and layer.own:
                layer.own.backward(d_mixed, d_next, tile.runs, order)
