"""What evaluations of all families share: edges, rows, and the way back through a convolution."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ase_symcalc.inference.convolution import Convolution
from ase_symcalc.inference.edges import Edges
from ase_symcalc.inference.images import RowImages
from ase_symcalc.inference.pairs import PairTerm
from ase_symcalc.inference.plan import Later, Number, Plan, RowsAt
from ase_symcalc.inference.readout import Readout
from ase_symcalc.inference.surroundings import Surroundings
from ase_symcalc.inference.tiles import Tile, Tiling, cut
from ase_symcalc.nn.kernels.filling import clearing_kernel, taking_kernel
from ase_symcalc.nn.layout import Block

_TILE = 16
"""Fewest atoms of a tile, unless there are no more."""
_CACHE = 1 << 19
"""Bytes of the sums of a tile: what the second-level cache holds beside the weights."""


class Species:
    """Species of rows and of the ends of edges, as addresses.

    Parameters
    ----------
    plan : Plan
        Gets the calls.
    species : (n_rows,) array
    """

    def __init__(self, plan: Plan, species: np.ndarray) -> None:
        self.rows = species
        self.address = plan.keep(species)
        self.centres, self.neighbours = (plan.room(8 * plan.most_edges) for _ in range(2))
        take = taking_kernel()
        ends = ((plan.centre, self.centres), (plan.neighbour, self.neighbours))

        def task(first: Number, last: Number) -> None:
            for index, out in ends:
                plan.call(take, first, last, index, self.address, out)

        plan.each_part(task)


class MessagePassing(ABC):
    """The calls of an evaluation; families add what happens between convolutions.

    Parameters
    ----------
    plan : Plan
        Gets the calls.
    seen : Surroundings
    species : Species
    edges : Edges
    first_rows : (n_species, dim) array
        What neighbours see of an atom in the first layer.
    layers : sequence of (Convolution, tuple of Block, (n_knots, n_weights) array)
        Convolution of each layer, blocks of the rows it reads, and its radial functions.
    dtype : numpy.float32 or numpy.float64

    Attributes
    ----------
    rows : list of Number
        Address of what neighbours see, for each layer; other rows follow the centres.
    """

    def __init__(
        self,
        plan: Plan,
        seen: Surroundings,
        species: Species,
        edges: Edges,
        first_rows: np.ndarray,
        layers: Sequence[tuple[Convolution, tuple[Block, ...], np.ndarray]],
        dtype: Any,
    ) -> None:
        self.plan, self.edges, self.species = plan, edges, species
        self.n, self.n_rows = seen.n_centres, len(seen.atomic_numbers)
        self.dtype, self.itemsize = dtype, np.dtype(dtype).itemsize
        self._layers = [(conv, blocks, plan.keep(knots)) for conv, blocks, knots in layers]
        self._images, self._exchanged = RowImages.of(seen, dtype), seen.exchange is not None
        widest = max(convolution.dim_out for convolution, _, _ in layers)
        most = max(_TILE, _CACHE // (widest * self.itemsize))
        tiling = Tiling(species.rows[: self.n], cut(self.n, _TILE, most))
        self.tiles, self.order = tiling.tiles, plan.keep(tiling.order)
        self._row_bounds = cut(self.n_rows, _TILE, most)
        self.rows: list[Number] = [plan.keep(first_rows)]
        self.rows += [self.room(self.n_rows, conv.dim_x) for conv, _, _ in layers[1:]]

    @abstractmethod
    def forward(self) -> Sequence[tuple[Readout, int, Number]]:
        """Add calls up to the last features; return who reads which rows, how long and where."""

    @abstractmethod
    def backward(self, slopes: Sequence[Number]) -> None:
        """Add calls from the gradients by what is read to those by the edges."""

    def write(self, pair_term: PairTerm | None, *, derivatives: bool) -> None:
        """Add all calls to the plan."""
        plan, species = self.plan, self.species
        plan.call(clearing_kernel("double"), 0, self.n, plan.number(1), plan.energies)
        steps, slopes = [], []
        for readout, dim, features in self.forward():
            slopes.append(self.room(self.n, dim))
            places = (species.address, features, slopes[-1])
            steps.append(readout.step(plan, dim, self.dtype, *places))

        def read(tile: Tile) -> None:
            for step in steps:
                step(tile.first, tile.last)

        self.each(read)
        dr = self.edges.start_lengths()
        if pair_term is not None:
            ends = (species.centres, species.neighbours)
            pair_term.add(plan, *ends, self.edges.lengths, dr)
        if derivatives:
            self.start_back()
            self.backward(slopes)
            self.edges.finish_back(dr)

    def each(self, task: Callable[[Tile], None]) -> None:
        """Let a task add its calls for every tile."""
        self.plan.each([partial(task, tile) for tile in self.tiles])

    def expand(self, number: int) -> None:
        """Complete the rows of a layer, not the first, whose centres are known."""
        if self._images:
            self._images.fill(self.plan, self._layers[number][1], self.rows[number])
        elif self._exchanged:
            self._exchange(number, self.rows[number], back=False)

    def gather(self, tile: Tile, number: int, sums: Number) -> None:
        """Sum over the edges of a tile's centres."""
        convolution, _, t = self._layers[number]
        neighbour, rows = self._neighbour(number), self.rows[number]
        span = (tile.first, tile.last)
        convolution.forward(self.plan, self.edges, t, neighbour, rows, sums, *span)

    def start_back(self) -> None:
        """Make room for gradients by rows and sums, and clear those by edges."""
        self.edges.start_back()
        self.d_rows = self.room(self.n_rows, max(conv.dim_x for conv, _, _ in self._layers))
        self.d_sums = self.room(self.n, max(conv.dim_out for conv, _, _ in self._layers))

    def gather_back(self, number: int) -> None:
        """From the gradient by all sums of a layer to that by its edges and its rows."""
        convolution, blocks, t = self._layers[number]
        plan, edges, sums = self.plan, self.edges, self.d_sums
        neighbour, rows = self._neighbour(number), self.rows[number]
        convolution.back_to_edges(plan, edges, t, neighbour, rows, sums)
        if not number:
            return

        def back(first: int, last: int) -> None:
            convolution.back_to_rows(plan, edges, t, sums, self.d_rows, first, last)

        spans = zip(self._row_bounds, self._row_bounds[1:], strict=False)
        plan.each([partial(back, *span) for span in spans])
        if self._images:
            self._images.fold(plan, blocks, self.d_rows)
        elif self._exchanged:
            self._exchange(number, self.d_rows, back=True)

    def room(self, n_rows: int, dim: int) -> Later:
        """Address of rows that stay until the end."""
        return self.plan.room(n_rows * dim * self.itemsize)

    def scratch(self, tile: Tile, dim: int) -> Later:
        """Where row 0 would be, if only the rows of a tile have room."""
        row = dim * self.itemsize
        return self.plan.scratch((tile.last - tile.first) * row) - tile.first * row

    def _exchange(self, number: int, rows: Number, *, back: bool) -> None:
        assert isinstance(rows, Later)
        shape = (self.n_rows, self._layers[number][0].dim_x)
        self.plan.exchange(RowsAt(rows, shape, self.dtype, back))

    def _neighbour(self, number: int) -> Number:
        """Address of the row that each edge reads in a layer."""
        return self.plan.neighbour if number else self.species.neighbours
