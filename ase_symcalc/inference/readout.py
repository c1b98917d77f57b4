"""From scalar features to energies, and back: small, so in NumPy and float64.

Matrix products are torch's, whose threads are those the caller allows; NumPy's would take all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from scipy.special import expit


@dataclass(frozen=True, eq=False)
class Readout:
    """E_i = reference + scale · perceptron(scalars i), silu between its maps.

    Attributes
    ----------
    columns : slice
        Of the scalars in a row of features.
    maps : sequence of (n_in, n_out) arrays
        Norms of the activations folded in; the last has one column.
    references, scales : (n_species,) arrays, eV
    """

    columns: slice
    maps: Sequence[np.ndarray]
    references: np.ndarray
    scales: np.ndarray

    def __call__(
        self, features: Float[np.ndarray, "n dim"], species: Int64[np.ndarray, "n"]
    ) -> tuple[Float64[np.ndarray, "n"], Float64[np.ndarray, "n dim"]]:
        """Energies, and their derivatives by the features."""
        x = features[:, self.columns].astype(np.float64)
        hidden = []
        for weights in self.maps[:-1]:
            hidden.append(_product(x, weights))
            x = hidden[-1] * expit(hidden[-1])
        scale = self.scales[species]
        energies = self.references[species] + scale * _product(x, self.maps[-1])[:, 0]
        slope = scale[:, None] * self.maps[-1].T
        for weights, h in zip(self.maps[-2::-1], hidden[::-1], strict=True):
            s = expit(h)
            slope = _product(slope * (s + h * s * (1 - s)), weights.T)
        by_features = np.zeros(features.shape)
        by_features[:, self.columns] = slope
        return energies, by_features


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return torch.mm(torch.from_numpy(a), torch.from_numpy(b)).numpy()
