"""Where the time of one call went, and for how much work."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch.profiler import record_function


class Hops:
    """Seconds per hop from atoms to results, each also a label in torch's profiler.

    Attributes
    ----------
    seconds : dict
        By the name of the hop.
    n_edges, n_edges_full : int
        Edges that were evaluated, and those that all atoms have.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.n_edges = self.n_edges_full = 0

    def count(self, n_edges: int, n_edges_full: int) -> None:
        """Add edges to what was evaluated."""
        self.n_edges += n_edges
        self.n_edges_full += n_edges_full

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count what happens inside under the name of the function that does it."""
        start = time.perf_counter()
        # a label takes longer than some hops, so there is none unless somebody looks
        with record_function(name) if torch.autograd._profiler_enabled() else nullcontext():
            yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
