"""Where the time of one call went, and for how much work."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

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

    def __call__(self, name: str) -> AbstractContextManager[None]:
        """Count what happens inside under the name of the function that does it."""
        # a label takes longer than some hops, so there is none unless somebody looks
        if torch.autograd._profiler_enabled():
            return self._labelled(name)
        return _Hop(self.seconds, name)

    @contextmanager
    def _labelled(self, name: str) -> Iterator[None]:
        with record_function(name), _Hop(self.seconds, name):
            yield


class _Hop(AbstractContextManager[None]):
    """One hop, timed. Written out, for `contextmanager` takes as long as a short hop."""

    def __init__(self, seconds: dict[str, float], name: str) -> None:
        self._seconds, self._name, self._start = seconds, name, time.perf_counter()

    def __exit__(self, *error: object) -> None:
        passed = time.perf_counter() - self._start
        self._seconds[self._name] = self._seconds.get(self._name, 0.0) + passed
