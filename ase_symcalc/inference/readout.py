"""From scalar features to energies, and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ase_symcalc.inference.plan import Number, Plan
from ase_symcalc.nn.kernels.builder import real_name
from ase_symcalc.nn.kernels.readout import readout_kernel


@dataclass(frozen=True, eq=False)
class Readout:
    """E_i = reference + scale · perceptron(scalars i), in float64.

    Attributes
    ----------
    columns : slice
        Of the scalars in a row of features.
    maps : sequence of (n_in, n_out) arrays
        Norms of the activations folded in; the last has one column.
    references, scales : (n_species,) arrays, eV
    function : str
        Between the maps; one of `nn.activation.ACTIVATIONS`.
    """

    columns: slice
    maps: Sequence[np.ndarray]
    references: np.ndarray
    scales: np.ndarray
    function: str = "silu"

    def step(
        self,
        plan: Plan,
        dim: int,
        dtype: Any,
        species: Number,
        features: Number,
        slope: Number,
    ) -> Callable[[int, int], None]:
        """Return what adds the call for atoms first..last-1 to a plan.

        It adds to their energies, and fills the slope of the weighted sum by their features.

        Parameters
        ----------
        plan : Plan
        dim : int
            Length of a row of features.
        dtype : numpy.float32 or numpy.float64
            Of features and slope.
        species, features, slope : Number
            Addresses.
        """
        sizes = tuple(len(weights) for weights in self.maps)
        columns = (self.columns.start, dim)
        kernel = readout_kernel(sizes, columns, self.function, real_name(dtype))
        maps = np.concatenate([np.ravel(weights) for weights in self.maps])
        fixed = [
            plan.keep(np.ascontiguousarray(array, dtype=np.float64))
            for array in (maps, self.references, self.scales)
        ]
        given = (species, features, *fixed, plan.weights, plan.energies, slope)
        return lambda first, last: plan.call(kernel, first, last, *given)
