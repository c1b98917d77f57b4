"""Real spherical harmonics of edge vectors, of any degree."""

import functools

import torch
from e3nn.o3 import wigner_3j
from jaxtyping import Float
from torch import Tensor


def edge_harmonics(
    directions: Float[Tensor, "n_edges 3"], lmax: int
) -> Float[Tensor, "n_edges n_sh"]:
    """Y_0..Y_lmax of unit vectors, in e3nn's basis, of mean square 1 per component.

    Built upwards: Y_{l+1} is the part of degree l+1 of Y_l ⊗ Y_1, one small matrix product
    for each degree. Equal to `e3nn.o3.spherical_harmonics(..., "component")`.
    """
    harmonics = [torch.ones_like(directions[:, :1])]
    if lmax:
        harmonics.append(directions * 3**0.5)
    for l in range(1, lmax):
        product = (harmonics[-1].unsqueeze(2) * directions.unsqueeze(1)).flatten(1)
        harmonics.append(product @ raising(l).to(product))
    return torch.cat(harmonics, dim=1)


@functools.cache
@torch.inference_mode(False)  # the matrix outlives whatever mode the caller is in
def raising(l: int) -> Tensor:
    """Matrix (3(2l+1), 2l+3) from Y_l ⊗ n to Y_{l+1}.

    Scaled at the pole, e3nn's y axis, where Y_l is (2l+1)^½ for m = 0 and zero elsewhere.
    """
    matrix = wigner_3j(l, 1, l + 1, dtype=torch.float64).clone()
    scale = ((2 * l + 3) / (2 * l + 1)) ** 0.5 / matrix[l, 1, l + 1]
    return (matrix * scale).flatten(0, 1)
