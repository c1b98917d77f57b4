"""Networks whose evaluation is planned once for structures that are alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64

from ase_symcalc.inference.plan import Plan
from ase_symcalc.inference.surroundings import Surroundings
from ase_symcalc.inference.tiles import cut
from ase_symcalc.nn.kernels.forks import lock_for_forks
from ase_symcalc.symmetry.expand import RotatedImages

_KEPT = 8
"""Plans of a network; the one used last goes last."""
_KEPT_ROWS = 1 << 20
"""Rows of these plans together, centres and images; each takes some 150 bytes."""
_PART = (512, 4096)
"""Fewest and most edges that a thread takes at a time."""
_SPARE = 64
"""Edges that there may be more, beside an eighth of them, before a plan must be made anew."""

_lock = lock_for_forks()

_Key = tuple[bytes, int, RotatedImages | None, bool, bool, int]


class Plans:
    """The plans of one network."""

    def __init__(self) -> None:
        self._known: OrderedDict[_Key, tuple[Plan, np.ndarray]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: _Key, n_edges: int) -> tuple[Plan, np.ndarray] | None:
        """Return a plan that there is for so many edges, and 1 for each centre."""
        with _lock:
            found = self._known.get(key)
            if found is None or found[0].most_edges < n_edges:
                return None
            self._known.move_to_end(key)
            return found

    def clear(self) -> None:
        """Forget them all, and what they keep in memory."""
        with _lock:
            self._known.clear()

    def put(self, key: _Key, plan: Plan) -> tuple[Plan, np.ndarray]:
        """Add a plan, in the place of the one used longest ago if there are many."""
        found = plan, np.ones(plan.n_centres)
        with _lock:
            self._known[key] = found
            self._known.move_to_end(key)
            while self._too_many():
                self._known.popitem(last=False)
        return found

    def _too_many(self) -> bool:
        rows = sum(len(species) // 8 for species, *_ in self._known)  # of int64
        return len(self._known) > _KEPT or (len(self._known) > 1 and rows > _KEPT_ROWS)


@dataclass(frozen=True, eq=False)
class PlannedNetwork(ABC):
    """A whole network with its weights packed; call it with `Surroundings`.

    Attributes
    ----------
    dtype : numpy.float32 or numpy.float64
    species_of : (119,) array
        Species by atomic number.
    """

    dtype: Any
    species_of: np.ndarray
    plans: Plans = field(default_factory=Plans, init=False, repr=False)

    @abstractmethod
    def write(self, plan: Plan, seen: Surroundings, *, derivatives: bool) -> None:
        """Add the calls of an evaluation to a plan; of the edges only their number may count."""

    def __call__(
        self,
        seen: Surroundings,
        weights: Float64[np.ndarray, "n_centres"] | None = None,
        *,
        derivatives: bool = True,
    ) -> tuple[Float64[np.ndarray, "n_centres"], Float64[np.ndarray, "n_edges 3"] | None]:
        """As `Network`."""
        plan, ones = self._plan(seen, derivatives)
        return plan.run(seen, ones if weights is None else weights, derivatives=derivatives)

    def _plan(self, seen: Surroundings, derivatives: bool) -> tuple[Plan, np.ndarray]:
        species, threads = seen.atomic_numbers.tobytes(), torch.get_num_threads()
        exchanged = seen.exchange is not None  # with whom may differ from call to call
        key = (species, seen.n_centres, seen.images, exchanged, derivatives, threads)
        n_edges = len(seen.centre)
        if found := self.plans.get(key, n_edges):
            return found
        most = n_edges + n_edges // 8 + _SPARE
        plan = Plan(seen.n_centres, most, max(1, len(cut(most, *_PART)) - 1))
        with torch.inference_mode(False), torch.device("cpu"):  # matrices of rotations are torch's
            self.write(plan, seen, derivatives=derivatives)
        plan.finish()
        return self.plans.put(key, plan)
