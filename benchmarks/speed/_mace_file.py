"""Write a MACE of the published medium size with random weights, by mace-torch's own code.

    python _mace_file.py medium.model   # in an environment with mace-torch

128 scalars and 128 vectors, harmonics up to l = 3, correlation 3, two layers, 89 elements, 6 Å.
"""

import sys

import numpy as np
import torch
from mace import modules

ELEMENTS = tuple(range(1, 90))


def main():
    from e3nn.o3 import Irreps  # the release mace-torch pins can be imported after mace only

    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    blocks = modules.interaction_classes
    model = modules.ScaleShiftMACE(
        r_max=6.0,
        num_bessel=10,
        num_polynomial_cutoff=5,
        max_ell=3,
        interaction_cls=blocks["RealAgnosticResidualInteractionBlock"],
        interaction_cls_first=blocks["RealAgnosticInteractionBlock"],
        num_interactions=2,
        num_elements=len(ELEMENTS),
        hidden_irreps=Irreps("128x0e+128x1o"),
        MLP_irreps=Irreps("16x0e"),
        atomic_energies=np.random.default_rng(0).uniform(-9, -1, len(ELEMENTS)),
        avg_num_neighbors=40.0,
        atomic_numbers=list(ELEMENTS),
        correlation=3,
        gate=torch.nn.functional.silu,
        atomic_inter_scale=50.0,  # forces of the size of real ones
        atomic_inter_shift=0.0,
    )
    liven(model)
    torch.save(model, sys.argv[1])


@torch.no_grad()
def liven(model):
    """Undo the division by the root of the number of elements; training would do it."""
    root = len(ELEMENTS) ** 0.5
    model.node_embedding.linear.weight *= root
    for interaction in model.interactions:
        interaction.skip_tp.weight *= root


if __name__ == "__main__":
    main()
