"""What evaluations of all families share: edges, rows, and the way back through a convolution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from ase_symcalc.inference.convolution import Convolution
from ase_symcalc.inference.edges import Edges
from ase_symcalc.inference.images import RowImages
from ase_symcalc.inference.memory import pile
from ase_symcalc.inference.surroundings import Surroundings
from ase_symcalc.inference.tiles import Tile, Tiling, cut, each_part
from ase_symcalc.nn.layout import Block

_TILE = 16
"""Fewest atoms of a tile, unless there are no more."""
_CACHE = 1 << 19
"""Bytes of the sums of a tile: what the second-level cache holds beside the weights."""


class MessagePassing:
    """One evaluation, between its steps. Memory is of the `pile`, borrowed by the caller.

    Parameters
    ----------
    seen : Surroundings
    edges : Edges
    species : (n_rows,) array
    first_rows : (n_species, dim) array
        What neighbours see of an atom in the first layer.
    layers : sequence of (Convolution, tuple of Block, int)
        Convolution of each layer, blocks of the rows it reads, address of its radial functions.
    dtype : numpy.float32 or numpy.float64

    Attributes
    ----------
    rows : list of int
        Address of what neighbours see, for each layer; images follow the centres.
    """

    def __init__(
        self,
        seen: Surroundings,
        edges: Edges,
        species: np.ndarray,
        first_rows: np.ndarray,
        layers: Sequence[tuple[Convolution, tuple[Block, ...], int]],
        dtype: Any,
    ) -> None:
        self.n, self.n_rows = seen.n_centres, len(seen.atomic_numbers)
        self.edges, self.layers = edges, layers
        self.dtype, self.itemsize = dtype, np.dtype(dtype).itemsize
        self.species = species[: self.n]
        self.images = RowImages.of(seen, dtype)
        widest = max(convolution.dim_out for convolution, _, _ in layers)
        most = max(_TILE, _CACHE // (widest * self.itemsize))
        self.tiling = Tiling(self.species, cut(self.n, _TILE, most))
        self._row_bounds = cut(self.n_rows, _TILE, most)
        # in the first layer an edge reads the row of its neighbour's species
        self.other_species = species.take(edges.neighbour)
        self.rows = [first_rows.ctypes.data]
        self.rows += [self.room(self.n_rows, conv.dim_x) for conv, _, _ in layers[1:]]

    def fill_images(self, number: int) -> None:
        """Complete the rows of a layer whose centres are known."""
        if self.images:
            self.images.fill(self.layers[number][1], self.rows[number])

    def gather(self, tile: Tile, number: int, sums: int) -> None:
        """Sum over the edges of a tile's centres."""
        convolution, _, t = self.layers[number]
        neighbour, rows = self._neighbour(number), self.rows[number]
        convolution.forward(self.edges, t, neighbour, rows, sums, tile.first, tile.last)

    def start_back(self) -> tuple[np.ndarray, np.ndarray]:
        """Make room for gradients; return those by harmonics and splines, 0 so far."""
        self.edges.sort_by_neighbour()
        edges = self.edges
        dy, self._dy = pile().array((edges.n, edges.n_sh), self.dtype)
        db, self._db = pile().array((edges.n, edges.n_taps), self.dtype)
        dy[:], db[:] = 0, 0
        self.d_rows = self.room(self.n_rows, max(conv.dim_x for conv, _, _ in self.layers))
        size = self.n * max(conv.dim_out for conv, _, _ in self.layers)
        self._d_sums, self.d_sums = pile().array((size,), self.dtype)
        return dy, db

    def sums_gradient(self, number: int) -> np.ndarray:
        """View the gradient by the sums of a layer as rows."""
        dim = self.layers[number][0].dim_out
        return self._d_sums[: self.n * dim].reshape(self.n, dim)

    def gather_back(self, number: int) -> None:
        """From the gradient by all sums of a layer to that by its edges and its rows."""
        convolution, blocks, t = self.layers[number]
        edges, sums, rows = self.edges, self.d_sums, self.rows[number]
        neighbour, gradients = self._neighbour(number), (self._dy, self._db)
        each_part(
            lambda a, b: convolution.back_to_edges(
                edges, t, neighbour, rows, sums, gradients, a, b
            ),
            edges.bounds,
        )
        if number:
            each_part(
                lambda a, b: convolution.back_to_rows(edges, t, sums, self.d_rows, a, b),
                self._row_bounds,
            )
            if self.images:
                self.images.fold(blocks, self.d_rows)

    def room(self, n_rows: int, dim: int) -> int:
        """Address of rows that stay until the end."""
        return pile().take(n_rows * dim * self.itemsize)

    def scratch(self, tile: Tile, dim: int) -> int:
        """Where row 0 would be, if only the rows of a tile have room."""
        row = dim * self.itemsize
        return pile().take((tile.last - tile.first) * row) - tile.first * row

    def typed(self, values: Float[np.ndarray, "..."]) -> np.ndarray:
        """Return numbers in the network's dtype."""
        return np.ascontiguousarray(values, dtype=self.dtype)

    def _neighbour(self, number: int) -> int:
        """Address of the row that each edge reads in a layer."""
        return self.edges.at["neighbour"] if number else self.other_species.ctypes.data
