"""Weights of modules as arrays, in the order kernels read them."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from ase_symcalc.inference.maps import LinearMap
from ase_symcalc.nn.linear import Linear, SpeciesLinear


def linear_map(
    module: Linear | SpeciesLinear, dtype: Any, scale: float = 1.0, bias: np.ndarray | None = None
) -> LinearMap:
    """Pack a linear map, multiplied by ``scale``."""
    form = module.form
    weights = [as_array(w) for w in module.weights]
    if isinstance(module, Linear):
        weights = [w[None] for w in weights]
    weights = [w * (scale / w.shape[1] ** 0.5) for w in weights]
    return LinearMap(form.pairs, form.dim_in, form.dim_out, weights, dtype, bias)


def as_array(tensor: Tensor) -> np.ndarray:
    """Numbers of a tensor on the CPU, not copied."""
    return tensor.detach().numpy()
