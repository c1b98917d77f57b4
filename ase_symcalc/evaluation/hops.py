"""Where the time of one call went."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch


class Hops:
    """Seconds per hop from atoms to results, each also a label in torch's profiler."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Count what happens inside under the name of the function that does it."""
        start = time.perf_counter()
        with torch.profiler.record_function(name):
            yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
