"""Every linear map that commutes with a group, found by solving for it."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from scipy import sparse

from ase_symcalc.errors import NumericalError
from ase_symcalc.symmetry.groups import Group
from ase_symcalc.symmetry.representations import Representation

RESIDUAL = 1e-10
FIRST_GAP = 0.5  # below what any point group or SO(3) has between 0 and the next eigenvalue
LAST_GAP = 1e-6
PASSES = 1e-17  # what the filter leaves of an unwanted eigenvector


def equivariant_basis(
    rep_in: Representation, rep_out: Representation, group: Group
) -> Float64[np.ndarray, "dim_out_times_dim_in n_maps"]:
    """Basis of the linear maps W with ρ_out(g) W = W ρ_in(g) for every g of the group.

    Parameters
    ----------
    rep_in, rep_out : Representation
        How what goes in and what comes out transform.
    group : Group

    Returns
    -------
    (dim_out * dim_in, n_maps) array
        Orthonormal columns; each is ``W.ravel()`` of a matrix W of shape (dim_out, dim_in).

    Raises
    ------
    NumericalError
        As `invariant_basis`.

    Notes
    -----
    The idea is of Finzi, Welling and Wilson, ICML 2021 (arXiv:2104.09459): equivariant maps
    are the null space of the constraints that the group's generators set, and a direct sum
    splits it into small independent blocks.

    Examples
    --------
    No linear map makes a scalar of two vectors, but tensors can be made of them:

    >>> equivariant_basis(2 * V, Scalar, SO3).shape
    (6, 0)
    >>> equivariant_basis(2 * V, 30 * Scalar + 10 * V + 3 * V**2 + V**3, SO3).shape
    (684, 32)
    """
    return invariant_basis(rep_out @ rep_in, group)


def equivariant_projector(
    rep_in: Representation, rep_out: Representation, group: Group
) -> sparse.csr_array:
    """Orthogonal projector onto the maps that `equivariant_basis` spans.

    Returns
    -------
    (dim_out * dim_in, dim_out * dim_in) sparse array
        Applied to ``W.ravel()`` it gives the nearest equivariant map, which is the average of
        ρ_out(g) W ρ_in(g)ᵀ over the group.

    Raises
    ------
    NumericalError
        As `invariant_basis`.
    """
    basis = _assembled(rep_out @ rep_in, group)
    return (basis @ basis.T).tocsr()


def invariant_basis(rep: Representation, group: Group) -> Float64[np.ndarray, "dim n_invariants"]:
    """Basis of the vectors that every element of a group leaves as they are.

    For a site's group and ``V``, the forces an atom may feel there; for a crystal's point group
    and ``V.symmetric_square.symmetric_square``, its elastic constants.

    Returns
    -------
    (dim, n_invariants) array
        Orthonormal columns. Nothing in them is random: they depend on the space they span.

    Raises
    ------
    NumericalError
        If the generators are so close to generating another group that the two cannot be told
        apart, as by rotations of less than about 0.001.
    """
    return _assembled(rep, group).toarray()


def _assembled(rep: Representation, group: Group) -> sparse.csr_array:
    """Solve each block once, however often it occurs, and put the solutions in their places."""
    solutions: dict[Representation, np.ndarray] = {}
    columns, rows, values, n_columns = [], [], [], 0
    for indices, block in rep.blocks():
        if block not in solutions:
            solutions[block] = _solved(block, group)
        basis = solutions[block]
        row, column = np.nonzero(basis)
        rows.append(indices[row])
        columns.append(n_columns + column)
        values.append(basis[row, column])
        n_columns += basis.shape[1]
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    return sparse.csr_array(entries, shape=(rep.dim, n_columns))


def _solved(rep: Representation, group: Group) -> np.ndarray:
    """Null space of the constraints C: generators, and matrices less the identity."""
    unit = sparse.eye_array(rep.dim, format="csr")
    constraints = sparse.vstack(
        [sparse.csr_array((0, rep.dim))]
        + [rep.generator(rate) for rate in group.continuous]
        + [rep.matrix(element) - unit for element in group.discrete],
        format="csr",
    )
    gap = FIRST_GAP
    while gap > LAST_GAP:
        basis = _null_space((constraints.T @ constraints).tocsr(), gap)
        if abs(constraints @ basis).max(initial=0) < RESIDUAL:
            return _readable(basis)
        gap /= 4
    raise NumericalError(
        f"no invariants of {rep} under {group.name} were found to {RESIDUAL:g}: some element "
        f"nearly leaves them alone. Make the generators of {group.name} exact, or leave out "
        "rotations by tiny angles"
    )


def _null_space(square: sparse.csr_array, gap: float) -> np.ndarray:
    """Vectors with eigenvalue 0 of a positive matrix that has no other below ``gap``.

    Random vectors, filtered, span it as soon as there are more of them than it has dimensions
    (Halko, Martinsson and Tropp, SIAM Review 53, 217 (2011)). The seed is fixed.
    """
    dim = square.shape[0]
    rng = np.random.default_rng(0)
    n_vectors = 16
    while True:
        n_vectors = min(n_vectors, dim)
        start = np.eye(dim) if n_vectors == dim else rng.normal(size=(dim, n_vectors))
        left, sizes, _ = np.linalg.svd(_filtered(square, start, gap), full_matrices=False)
        rank = np.count_nonzero(sizes > 1e-6)
        if rank < n_vectors or n_vectors == dim:
            return _filtered(square, left[:, :rank], gap)
        n_vectors *= 4


def _filtered(square: sparse.csr_array, vectors: np.ndarray, gap: float) -> np.ndarray:
    """Keep eigenvalue 0, remove everything from ``gap`` up.

    The Chebyshev polynomial of least size on [gap, largest], scaled to 1 at 0. With T its values
    at 0, ratio = T_(k-1) / T_k stays finite where they do not.
    """
    largest = max(abs(square).sum(axis=1).max(), 2 * gap)
    middle, half = (largest + gap) / 2, (largest - gap) / 2
    origin = -middle / half
    degree = int(np.ceil(np.arccosh(2 / PASSES) / np.arccosh(-origin)))
    before, ratio = vectors, 1 / origin
    now = ratio / half * (square @ vectors - middle * vectors)
    for _ in range(degree - 1):
        following = 1 / (2 * origin - ratio)
        step = 2 * following / half * (square @ now - middle * now)
        before, now = now, step - following * ratio * before
        ratio = following
    return now


def _readable(basis: np.ndarray) -> np.ndarray:
    """Another basis of the same space, with many zeros and without a trace of the random start.

    Cholesky decomposition of the projector, pivoted: each vector is the projection of a unit
    vector, freed of the earlier ones, so the first component that can differ from zero does.
    """
    remaining = basis.copy()
    vectors = np.empty_like(basis)
    for column in range(basis.shape[1]):
        sizes = np.einsum("ij,ij->i", remaining, remaining)
        pivot = np.argmax(sizes > sizes.max() / np.e)  # the first large one: ties cannot matter
        direction = remaining[pivot] / np.sqrt(sizes[pivot])
        vectors[:, column] = basis @ direction
        remaining -= np.outer(remaining @ direction, direction)
    return np.where(abs(vectors) < 1e-14, 0, vectors)
