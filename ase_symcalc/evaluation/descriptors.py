"""What the network sees of each atom, as numbers."""

from __future__ import annotations

import numpy as np
import torch
from e3nn.o3 import Irrep, Irreps
from jaxtyping import Float64

from ase_symcalc.graph import AtomicGraph, Environments
from ase_symcalc.models import AbstractEnergyModel


def descriptors(
    model: AbstractEnergyModel, graph: AtomicGraph, invariant: bool
) -> Float64[np.ndarray, "n_atoms n_features"]:
    """Features after the last layer; without those that rotations or mirrors change, if wished."""
    with torch.no_grad():
        rows = model.node_features(Environments.of(graph)).cpu().double().numpy()
    if not invariant:
        return rows
    irreps = Irreps(model.irreps)
    parts = zip(irreps, irreps.slices(), strict=True)
    return np.hstack([rows[:, part] for (_, irrep), part in parts if irrep == Irrep("0e")])
