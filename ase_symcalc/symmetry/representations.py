"""How vectors, tensors and features answer to rotations and mirrors, as an algebra of types."""

from __future__ import annotations

import abc
import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from e3nn import o3
from jaxtyping import Float64, Int64
from scipy import sparse

from ase_symcalc.errors import InputError
from ase_symcalc.symmetry.expand import wigner_matrices

Matrix = Float64[np.ndarray, "3 3"]


class Representation(abc.ABC):
    """Orthogonal matrices that multiply as the elements of O(3) do.

    Built from irreducible ones by ``a + b`` (direct sum), ``3 * a`` (copies), ``a @ b``
    (tensor product, the last index running fastest), ``a**2`` (tensor power) and squares.
    Immutable, comparable, and printed as what would build it:

    >>> 2 * V + V @ V + V**2
    2 * V + 2 * V**2
    """

    __slots__ = ()

    @property
    @abc.abstractmethod
    def dim(self) -> int:
        """Number of components."""

    @abc.abstractmethod
    def matrix(self, element: Matrix) -> sparse.csr_array:
        """Sparse (dim, dim) orthogonal matrix that stands for an orthogonal Cartesian one."""

    @abc.abstractmethod
    def generator(self, rate: Matrix) -> sparse.csr_array:
        """Sparse (dim, dim) derivative of ``matrix(exp(t * rate))`` by t at 0.

        ``rate`` is antisymmetric, and so is the derivative.
        """

    def blocks(self) -> Iterator[tuple[Int64[np.ndarray, "dim_of_block"], Representation]]:
        """Parts that never mix: where their components stand, and how they transform."""
        yield np.arange(self.dim), self

    @property
    def symmetric_square(self) -> Representation:
        """Symmetric tensors: strain and stress are ``V.symmetric_square``.

        Components: the diagonal, then √2 times those above it from last to first. For V that
        is the order of Voigt, xx yy zz yz xz xy, with the factors of Mandel.
        """
        return _Square(self, 1)

    @property
    def antisymmetric_square(self) -> Representation:
        """Antisymmetric tensors: √2 times the components above the diagonal, last to first."""
        return _Square(self, -1)

    def __add__(self, other: Representation) -> Representation:
        if not isinstance(other, Representation):
            return NotImplemented
        parts = itertools.groupby([*_parts(self), *_parts(other)], key=lambda part: part[1])
        merged = tuple((sum(n for n, _ in equal), rep) for rep, equal in parts)
        return merged[0][1] if merged[0][0] == len(merged) == 1 else _Sum(merged)

    def __rmul__(self, copies: int) -> Representation:
        if not isinstance(copies, int):
            return NotImplemented
        if copies < 1:
            raise InputError(f"expected at least one copy of {self}, got {copies}")
        parts = _parts(self)
        inner, rep = parts[0] if len(parts) == 1 else (1, self)
        return rep if copies * inner == 1 else _Sum(((copies * inner, rep),))

    def __matmul__(self, other: Representation) -> Representation:
        if not isinstance(other, Representation):
            return NotImplemented
        factors = [rep for rep in (*_factors(self), *_factors(other)) if rep != Scalar]
        return _Product(tuple(factors)) if len(factors) > 1 else [*factors, Scalar][0]

    def __pow__(self, exponent: int) -> Representation:
        if exponent < 0:
            raise InputError(f"expected a power of at least 0 of {self}, got {exponent}")
        return functools.reduce(Representation.__matmul__, [self] * exponent, Scalar)


@dataclass(frozen=True, slots=True, repr=False)
class _Irreducible(Representation):
    """The (2l+1) real components of degree l, in e3nn's basis: x, y, z for l = 1."""

    l: int
    parity: int

    @property
    def dim(self) -> int:
        return 2 * self.l + 1

    def matrix(self, element: Matrix) -> sparse.csr_array:
        (matrix,) = wigner_matrices(torch.tensor(element)[None], self.l, self.parity).numpy()
        return _sparse(matrix)

    def generator(self, rate: Matrix) -> sparse.csr_array:
        return _sparse(_wigner_rate(self.l, rate))

    def __repr__(self) -> str:
        names = {(0, 1): "Scalar", (1, -1): "V"}
        text = f'irrep("{self.l}{"e" if self.parity == 1 else "o"}")'
        return names.get((self.l, self.parity), text)


@dataclass(frozen=True, slots=True, repr=False)
class _Sum(Representation):
    parts: tuple[tuple[int, Representation], ...]

    @property
    def dim(self) -> int:
        return sum(copies * rep.dim for copies, rep in self.parts)

    def matrix(self, element: Matrix) -> sparse.csr_array:
        return self._diagonal([rep.matrix(element) for _, rep in self.parts])

    def generator(self, rate: Matrix) -> sparse.csr_array:
        return self._diagonal([rep.generator(rate) for _, rep in self.parts])

    def blocks(self) -> Iterator[tuple[np.ndarray, Representation]]:
        start = 0
        for copies, rep in self.parts:
            inner = list(rep.blocks())
            for _ in range(copies):
                yield from ((start + indices, block) for indices, block in inner)
                start += rep.dim

    def _diagonal(self, matrices: list[sparse.csr_array]) -> sparse.csr_array:
        repeated = (
            sparse.kron(sparse.eye_array(copies), matrix)
            for (copies, _), matrix in zip(self.parts, matrices, strict=True)
        )
        return sparse.block_diag(list(repeated), format="csr")

    def __repr__(self) -> str:
        return " + ".join(
            _term(rep) if copies == 1 else f"{copies} * {_term(rep)}" for copies, rep in self.parts
        )


@dataclass(frozen=True, slots=True, repr=False)
class _Product(Representation):
    factors: tuple[Representation, ...]

    @property
    def dim(self) -> int:
        return int(np.prod([rep.dim for rep in self.factors]))

    def matrix(self, element: Matrix) -> sparse.csr_array:
        return functools.reduce(_kron, [rep.matrix(element) for rep in self.factors])

    def generator(self, rate: Matrix) -> sparse.csr_array:
        total = sparse.csr_array((1, 1))
        for rep in self.factors:  # Leibniz: one factor changes at a time
            total = _kron(total, sparse.eye_array(rep.dim)) + _kron(
                sparse.eye_array(total.shape[0]), rep.generator(rate)
            )
        return total

    def blocks(self) -> Iterator[tuple[np.ndarray, Representation]]:
        for parts in itertools.product(*(list(rep.blocks()) for rep in self.factors)):
            indices = np.zeros(1, dtype=np.int64)
            for rep, (inner, _) in zip(self.factors, parts, strict=True):
                indices = (indices[:, None] * rep.dim + inner).ravel()
            yield indices, functools.reduce(Representation.__matmul__, [rep for _, rep in parts])

    def __repr__(self) -> str:
        equal = ((_term(rep), len(list(same))) for rep, same in itertools.groupby(self.factors))
        return " @ ".join(text if times == 1 else f"{text}**{times}" for text, times in equal)


@dataclass(frozen=True, slots=True, repr=False)
class _Square(Representation):
    base: Representation
    sign: int

    @property
    def dim(self) -> int:
        return self.base.dim * (self.base.dim + self.sign) // 2

    def matrix(self, element: Matrix) -> sparse.csr_array:
        return self._restricted((self.base @ self.base).matrix(element))

    def generator(self, rate: Matrix) -> sparse.csr_array:
        return self._restricted((self.base @ self.base).generator(rate))

    def _restricted(self, matrix: sparse.csr_array) -> sparse.csr_array:
        tensors = _tensors(self.base.dim, self.sign)
        return (tensors @ matrix @ tensors.T).tocsr()

    def __repr__(self) -> str:
        return f"{_term(self.base)}.{'' if self.sign == 1 else 'anti'}symmetric_square"


Scalar: Representation = _Irreducible(0, 1)
"""Unchanged by everything: an energy."""
V: Representation = _Irreducible(1, -1)
"""A Cartesian vector x, y, z: a force."""


def irrep(name: str) -> Representation:
    """One of e3nn's irreducible representations, in e3nn's basis.

    Parameters
    ----------
    name : str
        Degree and parity: ``"0o"`` is a pseudoscalar, ``"1e"`` an axial vector.

    Raises
    ------
    InputError
        If e3nn does not know the name.
    """
    try:
        known = o3.Irrep(name)
    except ValueError as error:
        raise InputError(f'expected degree and parity such as "2e", got {name!r}') from error
    return _Irreducible(known.l, known.p)


def _wigner_rate(l: int, rate: np.ndarray) -> np.ndarray:
    """Differentiate `wigner_matrices` along a turn: (2l+1, 2l+1), built upwards likewise."""
    matrix = rate if l else np.zeros((1, 1))
    for degree in range(1, l):
        coupling = o3.wigner_3j(degree, 1, degree + 1, dtype=torch.float64).numpy()
        up = coupling.reshape(-1, 2 * degree + 3) * np.sqrt(2 * degree + 3)  # orthonormal columns
        both = np.kron(matrix, np.eye(3)) + np.kron(np.eye(2 * degree + 1), rate)
        matrix = up.T @ both @ up
    return matrix


@functools.cache
def _tensors(dim: int, sign: int) -> sparse.csr_array:
    """Orthonormal rows that span the (anti)symmetric tensors of two indices."""
    pairs = [(i, i) for i in range(dim) if sign == 1]
    pairs += list(itertools.combinations(range(dim), 2))[::-1]
    rows = sparse.lil_array((len(pairs), dim**2))
    for row, (i, j) in enumerate(pairs):
        rows[row, j * dim + i] = sign * np.sqrt(0.5)
        rows[row, i * dim + j] = 1 if i == j else np.sqrt(0.5)
    return rows.tocsr()


def _parts(rep: Representation) -> tuple[tuple[int, Representation], ...]:
    return rep.parts if isinstance(rep, _Sum) else ((1, rep),)


def _factors(rep: Representation) -> tuple[Representation, ...]:
    return rep.factors if isinstance(rep, _Product) else (rep,)


def _term(rep: Representation) -> str:
    """Text that stays whole beside ``*`` and ``@``."""
    whole = not isinstance(rep, _Sum | _Product) or len(set(_factors(rep))) == 1
    return str(rep) if whole and not isinstance(rep, _Sum) else f"({rep})"


def _kron(a: sparse.sparray, b: sparse.sparray) -> sparse.csr_array:
    return sparse.kron(a, b, format="csr")


def _sparse(matrix: np.ndarray) -> sparse.csr_array:
    return sparse.csr_array(np.where(abs(matrix) < 1e-14, 0, matrix))
