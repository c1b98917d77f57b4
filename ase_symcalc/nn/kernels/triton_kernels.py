"""The convolution's kernels for a path table on a GPU, compiled by Triton."""

import functools
import hashlib
import importlib.util
import linecache
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ase_symcalc.nn.kernels import reference
from ase_symcalc.nn.kernels.adjacency import Adjacency
from ase_symcalc.nn.kernels.paths import PathTable
from ase_symcalc.nn.kernels.triton_source import ARGUMENTS, Real, write
from ase_symcalc.nn.multilinear import Arguments

_REAL: dict[torch.dtype, Real] = {torch.float32: "float32", torch.float64: "float64"}
_CHUNK = 64
"""Edges of an interval that one program takes."""


def contract(
    table: PathTable, adjacency: Adjacency, wanted: tuple[str, ...], args: Arguments
) -> dict[str, Tensor]:
    """Do what `reference.contract` does, by Triton if it is installed."""
    if not table.paths or not _installed():
        return reference.contract(table, adjacency, wanted, args)
    some = next(a for a in args.values() if a is not None)
    given = {n: a.contiguous() for n, a in args.items() if a is not None}
    with torch.cuda.device_of(some):
        return _Run(table, adjacency, given, some).contract(wanted)


@dataclass(frozen=True, slots=True)
class _Run:
    """Kernels of a table over the edges of a graph."""

    table: PathTable
    adjacency: Adjacency
    given: dict[str, Tensor]
    some: Tensor
    """of the dtype and on the device of all"""

    def contract(self, wanted: tuple[str, ...]) -> dict[str, Tensor]:
        table, adjacency, out = self.table, self.adjacency, {}
        if "g" in wanted:
            out["g"] = self.some.new_empty(adjacency.n_centres, table.irreps_out.dim)
            self.launch("g", start=adjacency.centre_start, out=out["g"])
        if "x" in wanted:
            # a block of which no path begins stays zero
            out["x"] = self.some.new_zeros(adjacency.n_rows, table.irreps_x.dim)
            order = adjacency.by_neighbour
            self.launch("x", start=adjacency.neighbour_start, order=order, out=out["x"])
        shapes = {"y": table.n_sh, "b": adjacency.n_taps}
        by_edge = {
            n: self.some.new_empty(adjacency.n_edges, shapes[n]) for n in wanted if n in shapes
        }
        if by_edge:
            kernel = "yb" if len(by_edge) == 2 else next(iter(by_edge))
            self.launch(kernel, **{f"d{name}": value for name, value in by_edge.items()})
        if "t" in wanted:
            out["t"] = self._knots()
        return out | by_edge

    def _knots(self) -> Tensor:
        """Sum over chunks of each interval's edges, then over the chunks of each knot."""
        adjacency, n_taps = self.adjacency, self.adjacency.n_taps
        begin = adjacency.interval_start
        n_chunks = (begin.diff() + (_CHUNK - 1)) // _CHUNK
        first = torch.nn.functional.pad(n_chunks.cumsum(0), (1, 0))
        # at most so many: their number is known to the device only
        most = adjacency.n_edges // _CHUNK + min(adjacency.n_intervals, adjacency.n_edges)
        chunk = torch.arange(most, device=begin.device)
        interval = torch.searchsorted(first, chunk, right=True) - 1
        interval = interval.clamp(max=adjacency.n_intervals - 1)
        start = begin[interval] + (chunk - first[interval]) * _CHUNK
        stop = torch.minimum(start + _CHUNK, begin[interval + 1])
        n_weights = self.table.n_weights
        parts = self.some.new_empty(most, n_taps, n_weights)
        self.launch("t", start=start, stop=stop, order=adjacency.by_interval, out=parts)
        around = torch.arange(1 - n_taps, adjacency.n_intervals + n_taps, device=begin.device)
        first = first[around.clamp(0, adjacency.n_intervals)]
        out = self.some.new_empty(adjacency.n_knots, n_weights)
        self.launch("knots", start=first, parts=parts, out=out)
        return out

    def launch(self, kernel: str, **more: Tensor) -> None:
        """Run a kernel for every row of what it writes."""
        tensors = {
            "centre": self.adjacency.centre,
            "neighbour": self.adjacency.neighbour,
            "interval": self.adjacency.interval,
            **self.given,
            **more,
        }
        pointers = [tensors[name] for name in ARGUMENTS[kernel]]
        n_rows = pointers[-1].shape[0]
        if not n_rows:
            return
        real = _REAL[self.some.dtype]
        function, n_parts = _kernel(self.table, self.adjacency.n_taps, kernel, real)
        function[n_rows, n_parts](*pointers, num_warps=1)


@functools.cache
def _installed() -> bool:
    return importlib.util.find_spec("triton") is not None


@functools.cache
def _kernel(table: PathTable, n_taps: int, kernel: str, real: Real) -> tuple[Any, int]:
    source = write(table, n_taps, kernel, real)
    return _module(source.text)["kernel"], source.n_parts


def _module(text: str) -> dict[str, Any]:
    """Execute the text of a module; `inspect`, by which Triton reads kernels, will find it."""
    name = f"<{__name__} {hashlib.sha256(text.encode()).hexdigest()[:16]}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    contents: dict[str, Any] = {"__name__": __name__}
    exec(compile(text, name, "exec"), contents)
    return contents
