"""The convolution's kernels for a path table, run over the rows of a graph."""

import ctypes

import torch
from torch import Tensor

from ase_symcalc.nn.kernels.adjacency import Adjacency
from ase_symcalc.nn.kernels.emit import INDICES, REALS, emit
from ase_symcalc.nn.kernels.machine import compiled
from ase_symcalc.nn.kernels.paths import PathTable
from ase_symcalc.nn.kernels.threads import run_in_parts
from ase_symcalc.nn.multilinear import Arguments

_REAL = {torch.float32: "float", torch.float64: "double"}
_SUMS = {"g": ("g",), "x": ("x",), "yb": ("dy", "db"), "t": ("dt",)}
"""What each kernel adds to; its rows are those the kernel runs over."""


def contract(
    table: PathTable, adjacency: Adjacency, wanted: tuple[str, ...], args: Arguments
) -> dict[str, Tensor]:
    """Do what `reference.contract` does, by compiled code on the CPU."""
    some = next(a for a in args.values() if a is not None)
    given = {n: a.contiguous() for n, a in args.items() if a is not None}
    out = {}
    if "g" in wanted:
        out["g"] = some.new_empty(adjacency.n_centres, table.irreps_out.dim)
        _run(table, adjacency, "g", given | {"g": out["g"]})
    if "x" in wanted:
        out["x"] = some.new_empty(adjacency.n_rows, table.irreps_x.dim)
        _run(table, adjacency, "x", given | {"x": out["x"]})
    if "y" in wanted or "b" in wanted:
        out["y"] = some.new_empty(adjacency.n_edges, table.n_sh)
        out["b"] = some.new_empty(adjacency.n_edges, adjacency.n_taps)
        # the kernel forms both; the one that is not wanted may read its sibling's place
        _run(table, adjacency, "yb", out | given | {"dy": out["y"], "db": out["b"]})
    if "t" in wanted:
        parts = some.new_empty(adjacency.n_intervals, adjacency.n_taps, table.n_weights)
        _run(table, adjacency, "t", given | {"dt": parts})
        out["t"] = some.new_zeros(adjacency.n_knots, table.n_weights)
        for q in range(adjacency.n_taps):
            out["t"][q : q + adjacency.n_intervals] += parts[:, q]
    return {n: out[n] for n in wanted}


def _run(table: PathTable, adjacency: Adjacency, kernel: str, tensors: dict[str, Tensor]) -> None:
    real = _REAL[next(iter(tensors.values())).dtype]
    function = convolution_kernel(table, adjacency.n_taps, kernel, real)
    start, order = {
        "g": (adjacency.centre_start, None),
        "x": (adjacency.neighbour_start, adjacency.by_neighbour),
        "yb": (None, None),
        "t": (adjacency.interval_start, adjacency.by_interval),
    }[kernel]
    indices = (start, order, adjacency.centre, adjacency.neighbour, adjacency.interval)
    reals = (tensors.get(n) for n in REALS)
    pointers = [0 if a is None else a.data_ptr() for a in (*indices, *reals)]
    written = [tensors[name] for name in _SUMS[kernel]]
    sums = [(a.data_ptr(), a.stride(0) * a.element_size()) for a in written]

    def part(first: int, last: int) -> None:
        # not by torch, whose threads would go on spinning beside ours
        for address, row in sums:
            ctypes.memset(address + first * row, 0, (last - first) * row)
        function(first, last, *pointers)

    run_in_parts(part, start, adjacency.n_edges)


@compiled(len(INDICES) + len(REALS))
def convolution_kernel(table: PathTable, n_taps: int, kernel: str, real: str) -> str:
    """``kernel(first, last, *INDICES, *REALS)`` on addresses, as in `emit`."""
    return emit(table, n_taps, kernel, real)
