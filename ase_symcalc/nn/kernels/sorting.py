"""Edges sorted by an index, in time that grows with their number only."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from jaxtyping import Int64

from ase_symcalc.nn.kernels.builder import KernelBuilder
from ase_symcalc.nn.kernels.machine import compile_kernel


def row_starts(index: Int64[np.ndarray, "n"], size: int) -> Int64[np.ndarray, "size_plus_1"]:
    """Where each row starts, if entries are sorted by row."""
    starts = np.zeros(size + 1, dtype=np.int64)
    np.cumsum(np.bincount(index, minlength=size), out=starts[1:])
    return starts


def sorted_by(
    index: Int64[np.ndarray, "n"], starts: Int64[np.ndarray, "size_plus_1"]
) -> Int64[np.ndarray, "n"]:
    """Return the stable order that sorts ``index``, given where its rows start."""
    order = np.empty_like(index)
    places = starts.copy()
    _kernel()(0, len(index), index.ctypes.data, places.ctypes.data, order.ctypes.data)
    return order


@functools.cache
def _kernel() -> Callable[..., None]:
    builder = KernelBuilder("double", ("index", "places", "order"), ())
    with builder.loop(builder.arg["first"], builder.arg["last"]) as n:
        row = builder.b.load(builder.at(builder.arg["index"], n))
        place = builder.at(builder.arg["places"], row)
        where = builder.b.load(place)
        builder.b.store(n, builder.at(builder.arg["order"], where))
        builder.b.store(builder.b.add(where, builder.index(1)), place)
    return compile_kernel(builder.finish(), 3)
