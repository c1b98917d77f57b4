"""From the flat weights of e3nn's modules to the matrices they stand for."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from e3nn.math import normalize2mom
from e3nn.o3 import Irrep, Irreps, wigner_3j
from torch import Tensor

from ase_symcalc.errors import PotentialFileError
from ase_symcalc.nn.activation import ACTIVATIONS

Matrices = dict[Irrep, Tensor]


class Tensors:
    """Named tensors of a checkpoint, given out if their shapes are what they should be.

    Raises
    ------
    PotentialFileError
        From `take` and `finish`, in sentences that name the file.
    """

    def __init__(self, where: str, named: object) -> None:
        self.where = where
        if not isinstance(named, dict) or not all(
            isinstance(k, str) and isinstance(v, Tensor) for k, v in named.items()
        ):
            raise PotentialFileError(f"{where}: expected a table of named tensors, got another")
        self.named: dict[str, Tensor] = named
        self.taken: set[str] = set()

    def take(self, name: str, *shape: int) -> Tensor:
        """Tensor of this name and shape, in float64."""
        tensor = self.named.get(name)
        got = "none" if tensor is None else f"shape {tuple(tensor.shape)}"
        if tensor is None or tuple(tensor.shape) != shape:
            raise PotentialFileError(
                f"{self.where}: expected a tensor {name!r} of shape {shape}, got {got}. "
                "The weights are not those of the network that its settings describe."
            )
        if not torch.isfinite(tensor).all():
            raise PotentialFileError(f"{self.where}: expected finite numbers in {name!r}")
        self.taken.add(name)
        return tensor.double()

    def finish(self, needless: Callable[[str, Tensor], bool]) -> None:
        """Raise if a tensor that matters was not taken: then the network is another one."""
        for name in sorted(self.named.keys() - self.taken):
            if self.named[name].numel() and not needless(name, self.named[name]):
                raise PotentialFileError(
                    f"{self.where}: the tensor {name[:100]!r} belongs to a kind of network that "
                    "cannot be converted"
                )


def linear(
    tensors: Tensors, name: str, irreps_in: Irreps, irreps_out: Irreps, n_labels: int = 0
) -> tuple[Matrices, Tensor | None]:
    """Matrices of an `e3nn.o3.Linear` that stands for x → Σ x W, normalisation included.

    Parameters
    ----------
    n_labels : int
        Width of a one-hot label that is appended to the input as even scalars.

    Returns
    -------
    matrices : dict of Irrep to (mul_in, mul_out) tensor
    label_rows : (n_labels, mul_out) tensor or None
        What each label adds to the even scalars.
    """
    inputs = [(mul, ir) for mul, ir in irreps_in] + ([(n_labels, Irrep("0e"))] * bool(n_labels))
    blocks = [
        (number, mul, ir, out)
        for number, (mul, ir) in enumerate(inputs)
        for out, other in irreps_out
        if ir == other
    ]
    flat = tensors.take(f"{name}.weight", sum(mul * out for _, mul, _, out in blocks))
    fan_in = {ir: sum(mul for mul, other in inputs if other == ir) for _, ir in inputs}
    matrices: Matrices = {}
    label_rows = None
    start = 0
    for number, mul, ir, out in blocks:
        part = flat[start : start + mul * out].reshape(mul, out) / fan_in[ir] ** 0.5
        start += mul * out
        if number < len(irreps_in):
            matrices[ir] = part
        else:
            label_rows = part
    return matrices, label_rows


def species_linear(
    tensors: Tensors, name: str, irreps_in: Irreps, irreps_out: Irreps, n_species: int
) -> Matrices:
    """Matrices of a fully connected tensor product with one-hot species.

    Returns
    -------
    dict of Irrep to (n_species, mul_in, mul_out) tensor
    """
    blocks = [(mul, ir, out) for mul, ir in irreps_in for out, other in irreps_out if ir == other]
    size = sum(mul * n_species * out for mul, _, out in blocks)
    flat = tensors.take(f"{name}.weight", size)
    matrices, start = {}, 0
    for mul, ir, out in blocks:
        stop = start + mul * n_species * out
        part = flat[start:stop].reshape(mul, n_species, out).transpose(0, 1)
        matrices[ir] = part / (mul * n_species) ** 0.5
        start = stop
    return matrices


def perceptron(
    tensors: Tensors, name: str, widths: tuple[int, ...], activation: str
) -> list[Tensor]:
    """Weights of an `e3nn.nn.FullyConnectedNet`, for our `RadialNetwork`.

    Both divide by sqrt(inputs); they differ by how they know the mean square of activations.
    """
    ratio = gain_ratio(activation)
    return [
        tensors.take(f"{name}.layer{n}.weight", a, b) * (ratio if n else 1.0)
        for n, (a, b) in enumerate(itertools.pairwise(widths))
    ]


@cache
def gain_ratio(activation: str) -> float:
    """E3nn's factor that brings an activation to unit variance, over ours.

    e3nn draws a million random numbers to find it and keeps the digits it gets.
    """
    function, gain = ACTIVATIONS[activation]
    theirs = normalize2mom(function, device="cpu")
    return (1.0 if theirs._is_id else theirs.cst) / gain


def coupling_sign(stored: Tensor | None, l1: int, l2: int, l3: int) -> int:
    """Sign of stored coupling coefficients relative to those of the e3nn installed here.

    Raises
    ------
    ValueError
        If they differ by more than a sign.
    """
    if stored is None:
        return 1
    ours = wigner_3j(l1, l2, l3, dtype=torch.float64)
    overlap = float((stored * ours).sum()) if stored.shape == ours.shape else 0.0
    if abs(abs(overlap) - 1) > 1e-3:
        raise ValueError(f"other coefficients than those of the coupling {l1} x {l2} -> {l3}")
    return 1 if overlap > 0 else -1


def word(value: Any) -> str:
    """Text, and nothing else that a file may have put in its place."""
    if type(value) is not str or len(value) > 1000:
        raise TypeError(f"a {type(value).__name__} where a word should be")
    return value
