"""Networks of NequIP type, evaluated forwards and backwards without a tape."""

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
from ase_symcalc.inference.pairs import PairTerm
from ase_symcalc.inference.plan import Number, Plan
from ase_symcalc.inference.planned import PlannedNetwork
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
class GatedNetwork(PlannedNetwork):
    """A whole network of layers with gates.

    Attributes
    ----------
    first_rows : (n_species, dim) array
        What neighbours see of an atom before the first layer.
    dim_features : int
        Numbers in a row after the last gate.
    """

    lmax: int
    grid: RadialGrid
    first_rows: np.ndarray
    layers: tuple[GatedLayer, ...]
    dim_features: int
    readout: Readout
    pair_term: PairTerm | None

    def write(self, plan: Plan, seen: Surroundings, *, derivatives: bool) -> None:
        """Add the calls of an evaluation to a plan."""
        _Evaluation(self, plan, seen).write(self.pair_term, derivatives=derivatives)


class _Evaluation(MessagePassing):
    """The steps of one evaluation."""

    def __init__(self, network: GatedNetwork, plan: Plan, seen: Surroundings) -> None:
        species = Species(plan, network.species_of.take(seen.atomic_numbers))
        n_rows = len(seen.atomic_numbers)
        edges = Edges(plan, n_rows, network.lmax, network.grid, None, network.dtype)
        layers = [(layer.convolution, layer.blocks, layer.knots) for layer in network.layers]
        super().__init__(plan, seen, species, edges, network.first_rows, layers, network.dtype)
        self.network = network
        self.mixed = [self.room(self.n, layer.dim_mixed) for layer in network.layers]

    def forward(self) -> list[tuple[Readout, int, Number]]:
        """Add calls up to the features after the last layer."""
        network, last = self.network, len(self.network.layers) - 1
        features = self.room(self.n, network.dim_features)
        for number in range(last + 1):
            if number:
                self.expand(number)
            out = features if number == last else None
            self.each(partial(self.forward_tile, number=number, features=out))
        return [(network.readout, network.dim_features, features)]

    def forward_tile(self, tile: Tile, number: int, features: Number | None) -> None:
        """Gather, mix and gate; then prepare the next layer, or write the features."""
        layers, plan, order = self.network.layers, self.plan, self.order
        layer, mixed = layers[number], self.mixed[number]
        sums = self.scratch(tile, layer.convolution.dim_out)
        self.gather(tile, number, sums)
        layer.after.forward(plan, sums, mixed, tile, order, onto=layer.own is not None)
        if features is not None:
            plan.call(layer.gate, tile.first, tile.last, mixed, 0, features)
            return
        follow = layers[number + 1]
        features = self.scratch(tile, follow.convolution.dim_x)
        plan.call(layer.gate, tile.first, tile.last, mixed, 0, features)
        if follow.before:
            follow.before.forward(plan, features, self.rows[number + 1], tile, order)
        if follow.own:
            follow.own.forward(plan, features, self.mixed[number + 1], tile, order)

    def backward(self, slopes: Sequence[Number]) -> None:
        """Add calls to the gradients by all edges, from that by the features."""
        layers = self.network.layers
        (d_features,) = slopes
        for number in reversed(range(len(layers))):
            d_next = self.room(self.n, layers[number].convolution.dim_x) if number else None
            task = partial(self.backward_tile, number=number, d_features=d_features, d_next=d_next)
            self.each(task)
            self.gather_back(number)
            if d_next is not None:
                d_features = d_next

    def backward_tile(
        self, tile: Tile, number: int, d_features: Number, d_next: Number | None
    ) -> None:
        """From the gradient by a layer's features to that by its sums, and what its rows keep."""
        layers, plan, order = self.network.layers, self.plan, self.order
        layer = layers[number]
        if number < len(layers) - 1:
            follow = layers[number + 1]
            if follow.before:
                onto = follow.own is not None
                follow.before.backward(plan, self.d_rows, d_features, tile, order, onto=onto)
        d_mixed = self.scratch(tile, layer.dim_mixed)
        span = (tile.first, tile.last)
        plan.call(layer.gate_back, *span, self.mixed[number], d_features, d_mixed)
        layer.after.backward(plan, d_mixed, self.d_sums, tile, order)
        if d_next is not None and layer.own:
            layer.own.backward(plan, d_mixed, d_next, tile, order)
