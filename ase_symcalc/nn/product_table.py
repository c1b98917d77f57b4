"""The product basis of MACE: polynomials of an atom's features that turn as an irrep does.

From A[m, k], m over all components of all irreps and k over channels, equations 10 and 11 of
Batatia et al., NeurIPS 2022 (arXiv:2206.07697), form for each output component (L, M)

    B[LM, k] = Σ_η w[z, η, k] Σ_{m1 ≤ … ≤ mν} c_η[LM; m1 … mν] A[m1, k] … A[mν, k]

with ν up to the correlation order, every channel by itself and weights w of each element z.

Their paths η are chains of couplings, many of which become the same once the product of equal
factors makes the order of coupling meaningless. Here the symmetric polynomials themselves get
an orthonormal basis, so that paths are fewer (for L = 0, ν = 3 and degrees up to 3, 8 in the
place of 23), and any other choice is a linear map of the weights away (`ProductTable.expand`).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from e3nn.o3 import Irrep, Irreps, wigner_3j
from jaxtyping import Float64
from torch import Tensor

_ZERO = 1e-10  # coefficients are of order 1, computed in float64


class Term(NamedTuple):
    """One product ``w[path] · coefficient · A[m1] … A[mν]`` of an output component."""

    path: int
    factors: tuple[int, ...]
    """rising component indices of A, one to three of them"""
    coefficient: float


class Path(NamedTuple):
    """One weight of each element and channel: a polynomial for each M of an output irrep."""

    irrep: int
    """which of the outputs"""
    degree: int
    blocks: tuple[int, ...]
    """rising indices of the input irreps that are multiplied"""


@dataclass(frozen=True, eq=False)
class ProductTable:
    """All symmetric equivariant polynomials from some irreps to others, up to a degree.

    Attributes
    ----------
    irreps_in, irreps_out : Irreps
        Without channels: each irrep once.
    correlation : int
        Highest degree, one to three.
    paths : tuple of Path
    terms : tuple of tuple of Term
        For each output component (L, M), in the order of ``irreps_out``.
    """

    irreps_in: Irreps
    irreps_out: Irreps
    correlation: int
    paths: tuple[Path, ...] = field(compare=False)  # they follow from the other fields
    terms: tuple[tuple[Term, ...], ...] = field(compare=False)

    def __deepcopy__(self, memo: dict[int, object]) -> ProductTable:
        """Let copies of a network share its tables, and so the kernels made for them."""
        return self

    @classmethod
    @functools.cache  # tables are known by their identity
    def build(cls, irreps_in: Irreps, irreps_out: Irreps, correlation: int) -> ProductTable:
        """Find the polynomials; channels of the irreps are ignored.

        Paths are sorted by output, degree and blocks. The symmetric tensors of a path have
        Frobenius norm 1 for each M.
        """
        if correlation not in (1, 2, 3):
            raise ValueError(f"expected a correlation order of 1, 2 or 3; got {correlation}")
        return _build(str(_single(irreps_in)), str(_single(irreps_out)), correlation)

    @property
    def n_paths(self) -> int:
        """Weights of each element and channel."""
        return len(self.paths)

    def expand(
        self, irrep: int, degree: int, tensors: Float64[Tensor, "n_m *factors n"]
    ) -> Float64[Tensor, "n_paths n"]:
        """Coordinates of foreign polynomials: what to multiply their weights by.

        Parameters
        ----------
        irrep : int
            Which of the outputs they belong to.
        degree : int
        tensors : (2L + 1, dim_in, …, dim_in, n) tensor
            Coefficients of A[m1] … A[mν], symmetric or not, of n polynomials.

        Returns
        -------
        (n_paths, n) tensor
            Zero in the rows of other outputs and degrees.

        Raises
        ------
        ValueError
            If a polynomial is not equivariant, so that it lies outside of this basis.
        """
        orders = list(itertools.permutations(range(1, degree + 1)))
        permuted = [tensors.permute(0, *order, degree + 1) for order in orders]
        symmetric = torch.stack(permuted).mean(0)
        start, stop = _span(self.irreps_out, irrep)
        terms = [
            (output - start, term)
            for output in range(start, stop)
            for term in self.terms[output]
            if len(term.factors) == degree
        ]
        coordinates = tensors.new_zeros(self.n_paths, tensors.shape[-1])
        for m, term in terms:
            coordinates[term.path] += term.coefficient * symmetric[m, *term.factors]
        coordinates /= stop - start
        left = symmetric.clone()
        for m, term in terms:
            part = term.coefficient * coordinates[term.path] / _arrangements(term.factors)
            for factors in set(itertools.permutations(term.factors)):
                left[m, *factors] -= part
        if left.abs().max() > 1e-5 * max(1.0, float(symmetric.abs().max())):
            raise ValueError(f"polynomials of degree {degree} that do not turn as an irrep does")
        return coordinates


# --- the basis ------------------------------------------------------------------------


@functools.cache
def _build(irreps_in: str, irreps_out: str, correlation: int) -> ProductTable:
    inputs, outputs = Irreps(irreps_in), Irreps(irreps_out)
    paths: list[Path] = []
    terms: list[list[Term]] = [[] for _ in range(outputs.dim)]
    for number, (_, target) in enumerate(outputs):
        start, _ = _span(outputs, number)
        for degree in range(1, correlation + 1):
            for chosen in itertools.combinations_with_replacement(range(len(inputs)), degree):
                for polynomial in _independent(inputs, chosen, target):
                    for (m, factors), coefficient in polynomial.items():
                        terms[start + m].append(Term(len(paths), factors, coefficient))
                    paths.append(Path(number, degree, chosen))
    return ProductTable(inputs, outputs, correlation, tuple(paths), tuple(map(tuple, terms)))


_Polynomial = dict[tuple[int, tuple[int, ...]], float]
"""Coefficient of A[m1] … A[mν] in the component M of the output, by (M, (m1, …, mν))."""


def _independent(inputs: Irreps, chosen: tuple[int, ...], target: Irrep) -> Iterator[_Polynomial]:
    """Orthonormal polynomials of one choice of factors (Gram-Schmidt over all couplings)."""
    found: list[Tensor] = []
    for tensor in _couplings([inputs[n].ir for n in chosen], target):
        monomials, roots, index = _monomials(inputs, chosen, 2 * target.l + 1)
        vector = torch.zeros(len(monomials), dtype=torch.float64)
        vector.index_add_(0, index, tensor.flatten())
        vector *= roots
        scale = vector.norm()
        for other in found * 2:  # twice, so that rounding leaves nothing
            vector = vector - (other @ vector) * other
        if vector.norm() < 1e-6 * max(1.0, float(scale)):
            continue
        vector /= vector.norm()
        found.append(vector)
        coefficients = vector / roots * (2 * target.l + 1) ** 0.5
        yield {
            monomial: float(c)
            for monomial, c in zip(monomials, coefficients, strict=True)
            if abs(c) > _ZERO
        }


def _couplings(factors: list[Irrep], target: Irrep) -> Iterator[Tensor]:
    """All chains of Wigner 3j symbols from factors to target, as (2L+1, 2l1+1, …) tensors."""
    if len(factors) == 1:
        if factors[0] == target:
            yield torch.eye(target.dim, dtype=torch.float64)
        return
    middles = list(target * factors[-1]) if len(factors) == 3 else [factors[0]]
    for middle in middles:
        if target not in middle * factors[-1]:
            continue
        last = wigner_3j(middle.l, factors[-1].l, target.l, dtype=torch.float64)
        for before in _couplings(factors[:-1], middle):
            yield torch.einsum("q...,qcm->m...c", before, last)


def _monomials(
    inputs: Irreps, chosen: tuple[int, ...], n_m: int
) -> tuple[list[tuple[int, tuple[int, ...]]], Tensor, Tensor]:
    """Products of components of the chosen irreps, for each M of the output.

    Also the root of 1 / (number of arrangements) of each, which makes the norm of its
    coefficients that of the symmetric tensor, and which of them each entry of a tensor
    belongs to.
    """
    ranges = [range(*_span(inputs, n)) for n in chosen]
    number: dict[tuple[int, tuple[int, ...]], int] = {}
    index = [
        number.setdefault((m, tuple(sorted(factors))), len(number))
        for m in range(n_m)
        for factors in itertools.product(*ranges)
    ]
    roots = [_arrangements(factors) ** -0.5 for _, factors in number]
    return list(number), torch.tensor(roots, dtype=torch.float64), torch.tensor(index)


def _arrangements(factors: tuple[int, ...]) -> int:
    """Different orders of the factors."""
    repeats = (factors.count(m) for m in set(factors))
    return math.factorial(len(factors)) // math.prod(map(math.factorial, repeats))


def _span(irreps: Irreps, number: int) -> tuple[int, int]:
    """First component of one of the irreps, and the first after it."""
    part = irreps.slices()[number]
    return part.start, part.stop


def _single(irreps: Irreps) -> Irreps:
    if len({(ir.l, ir.p) for _, ir in irreps}) != len(irreps):
        raise ValueError(f"expected each irrep once, got {irreps}")
    return Irreps([(1, ir) for _, ir in irreps])
