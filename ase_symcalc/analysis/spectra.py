"""Invariants of a density: products of its coefficients coupled to degree zero."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from itertools import combinations_with_replacement

import torch
from e3nn.o3 import wigner_3j
from jaxtyping import Float, Int64
from torch import Tensor

from ase_symcalc.analysis.memory import check_memory


def power_spectrum(
    density: Sequence[Float[Tensor, "n_atoms n_channels _"]], n_elements: int = 1
) -> Float[Tensor, "n_atoms n_features"]:
    """Second-order invariants p_abl = Σ_m c_alm c_blm / (2l + 1)^½, one row for each atom.

    Wigner's 3j symbol (l l 0) is δ_mm' / (2l + 1)^½, so these are the pairs coupled to degree
    zero. Bartók, Kondor and Csányi, Phys. Rev. B 87, 184115 (2013), equation 31.

    Parameters
    ----------
    density : sequence of (n_atoms, n_channels, 2l + 1) tensors, l = 0, 1, ...
        As `project` returns them; a channel is an element and a radial function.
    n_elements : int
        Into how many elements the channels divide.

    Returns
    -------
    (n_atoms, n_features) tensor
        Ordered by pairs of elements (first, second ≥ first), then degree, then pairs of
        radial functions: all for two elements, each once (n' ≥ n) for one.
    """
    n_max = density[0].shape[1] // n_elements
    upper = torch.triu_indices(n_max, n_max)
    split = [c.unflatten(1, (n_elements, n_max)) for c in density]
    parts = []
    for first, second in combinations_with_replacement(range(n_elements), 2):
        for c in split:
            products = c[:, first] @ c[:, second].mT / c.shape[3] ** 0.5
            same = first == second
            parts.append(products[:, upper[0], upper[1]] if same else products.flatten(1))
    return torch.cat(parts, dim=1)


def bispectrum(
    density: Sequence[Float[Tensor, "n_atoms n_channels _"]],
) -> tuple[Float[Tensor, "n_atoms n_even"], Float[Tensor, "n_atoms n_odd"]]:
    """Third-order invariants Σ w3j(l1 l2 l3; m1 m2 m3) c_a,l1,m1 c_b,l2,m2 c_c,l3,m3.

    A mirror multiplies c_lm of degree l by (-1)^l, apart from a rotation. So products with
    l1 + l2 + l3 even are scalars, which a mirror leaves alone, and those with an odd sum are
    pseudoscalars, whose sign it changes: they tell a structure from its mirror image. Each
    product comes once; those that vanish by the symmetry of the symbol are left out.

    Bartók, Kondor and Csányi, Phys. Rev. B 87, 184115 (2013), equation 29, whose symbols are
    Clebsch-Gordan coefficients; the parts are told apart as in Nigam, Pozdnyakov and Ceriotti,
    J. Chem. Phys. 153, 121101 (2020).

    Parameters
    ----------
    density : sequence of (n_atoms, n_channels, 2l + 1) tensors, l = 0, 1, ...
        As `project` returns them.

    Returns
    -------
    (n_atoms, n_even) and (n_atoms, n_odd) tensors

    Raises
    ------
    InputError
        If the result needs more than 4 GB.
    """
    n_atoms, n_channels = density[0].shape[:2]
    lmax = len(density) - 1
    n_features = sum(bispectrum_size(n_channels, lmax))
    check_memory(
        2 * n_features * n_atoms * density[0].element_size(),  # parts, and joined
        f"a bispectrum of {n_features} numbers for {n_atoms} atoms (lmax={lmax}, {n_channels} "
        "channels)",
    )
    parts: tuple[list[Tensor], list[Tensor]] = ([], [])
    for l1, l2, l3 in triangles(lmax):
        a, b, c = (t.to(density[0].device) for t in _channels(n_channels, l1, l2, l3))
        if len(a) == 0:
            continue
        symbol = _symbol(l1, l2, l3).to(density[0])
        pairs = torch.einsum("xyz,iax,iby->iabz", symbol, density[l1], density[l2])
        products = torch.einsum("iabz,icz->iabc", pairs, density[l3])
        parts[(l1 + l2 + l3) % 2].append(products[:, a, b, c])
    even, odd = (torch.cat(p, dim=1) if p else density[0].new_zeros(n_atoms, 0) for p in parts)
    return even, odd


def bispectrum_size(n_channels: int, lmax: int) -> tuple[int, int]:
    """Return the numbers of even and of odd invariants that `bispectrum` gives."""
    sizes = [0, 0]
    for l1, l2, l3 in triangles(lmax):
        odd = (l1 + l2 + l3) % 2
        equal = 1 + (l1 == l2) + (l2 == l3)
        n = n_channels
        sizes[odd] += {
            1: n**3,
            2: n * n * (n - 1 if odd else n + 1) // 2,
            3: n * (n - 1) * (n - 2) // 6 if odd else n * (n + 1) * (n + 2) // 6,
        }[equal]
    return sizes[0], sizes[1]


def triangles(lmax: int) -> Iterator[tuple[int, int, int]]:
    """Degrees l1 ≤ l2 ≤ l3 that couple to zero."""
    for l1, l2 in combinations_with_replacement(range(lmax + 1), 2):
        for l3 in range(l2, min(l1 + l2, lmax) + 1):
            yield l1, l2, l3


def _channels(n: int, l1: int, l2: int, l3: int) -> Int64[Tensor, "3 n_products"]:
    """Channels a, b, c of every product; under equal degrees each set once."""
    a, b, c = torch.cartesian_prod(*[torch.arange(n)] * 3).T
    least = (l1 + l2 + l3) % 2  # the symbol of an odd sum changes sign when two are exchanged
    keep = torch.ones_like(a, dtype=torch.bool)
    if l1 == l2:
        keep &= b - a >= least
    if l2 == l3:
        keep &= c - b >= least
    return torch.stack([a, b, c])[:, keep]


@functools.lru_cache(maxsize=512)
@torch.inference_mode(False)  # the symbol outlives whatever mode the caller is in
def _symbol(l1: int, l2: int, l3: int) -> Tensor:
    return wigner_3j(l1, l2, l3, dtype=torch.float64).clone()
