"""How alike environments and structures are, and which structures of a set are the same."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from jaxtyping import Float64, Int64
from scipy.optimize import linear_sum_assignment, linprog
from scipy.sparse import eye_array, kron, vstack

from ase_symcalc.analysis.descriptors import Descriptor
from ase_symcalc.errors import InputError

LEAST_WEIGHT = 1e-14


def environment_kernel(
    first: Float64[np.ndarray, "n n_features"],
    second: Float64[np.ndarray, "m n_features"],
    numbers: tuple[Int64[np.ndarray, "n"], Int64[np.ndarray, "m"]] | None = None,
    *,
    zeta: float = 1.0,
) -> Float64[np.ndarray, "n m"]:
    """Likeness (x · y / |x||y|)^ζ of every environment of one set with every one of another.

    Bartók, Kondor and Csányi, Phys. Rev. B 87, 184115 (2013), equation 36. For power spectra it
    lies between 0 and 1.

    Parameters
    ----------
    first, second : (n, n_features) and (m, n_features) arrays
        Invariant rows of a descriptor.
    numbers : pair of int arrays, optional
        Elements of the atoms in the middle: atoms of different elements are unlike, 0.
    zeta : float
        Above 1 sharpens differences.

    Raises
    ------
    InputError
        If ``zeta`` is not above 0.
    """
    if not 0 < zeta < np.inf:
        raise InputError(f"expected an exponent above 0, got zeta={zeta}")
    products = _unit(first) @ _unit(second).T
    kernel = products if zeta == 1 else np.sign(products) * np.abs(products) ** zeta
    return kernel if numbers is None else kernel * (numbers[0][:, None] == numbers[1])


def environment_distance(
    first: Float64[np.ndarray, "n n_features"],
    second: Float64[np.ndarray, "m n_features"],
    numbers: tuple[Int64[np.ndarray, "n"], Int64[np.ndarray, "m"]] | None = None,
) -> Float64[np.ndarray, "n m"]:
    """Distances (2 - 2k)^½ that belong to `environment_kernel` with ζ = 1, 0 to 2^½ or 2.

    Computed as |x/|x| - y/|y||, for the root of a difference would keep only half the digits.
    """
    x, y = _unit(first), _unit(second)
    squares = np.empty((len(x), len(y)))
    for i, row in enumerate(x):
        squares[i] = ((row - y) ** 2).sum(axis=1)
    if numbers is not None:
        squares[numbers[0][:, None] != numbers[1]] = 2
    return np.sqrt(squares)


def structure_distance(
    first: Atoms, second: Atoms, descriptor: Descriptor, *, method: str = "match"
) -> float:
    """Distance of two structures: the same for every rotation, order, cell and supercell.

    Parameters
    ----------
    first, second : Atoms
    descriptor : Descriptor
        Invariant.
    method : "match" or "average"
        "match" pairs environments so that the root of their mean square distance is least;
        "average" compares mean environments, element by element, which is faster, never
        larger, and may call different structures alike.

    Raises
    ------
    InputError
        If the method is unknown, or as the descriptor.

    Notes
    -----
    De, Bartók, Csányi and Ceriotti, Phys. Chem. Chem. Phys. 18, 13754 (2016), equations 4 and
    9. Structures of different size are compared as supercells of equally many atoms: environments
    of weight 1/n are carried onto those of weight 1/m. That is a problem of optimal transport,
    whose solution is an assignment of the supercells (Birkhoff's theorem).
    """
    rows = descriptor([first, second])
    return rows_distance(rows, (_numbers(first), _numbers(second)), method)


def rows_distance(
    rows: Sequence[Float64[np.ndarray, "_ n_features"]],
    numbers: tuple[Int64[np.ndarray, "n"], Int64[np.ndarray, "m"]],
    method: str = "match",
) -> float:
    """Distance of two structures, of which the descriptors are known; see `structure_distance`.

    Raises
    ------
    InputError
        If the method is unknown.
    """
    if method not in ("match", "average"):
        raise InputError(f"expected the method to be 'match' or 'average', got {method!r}")
    if method == "average":
        means = [_means(x, z, numbers) for x, z in zip(rows, numbers, strict=True)]
        return float(np.linalg.norm(means[0] - means[1]))
    squares = environment_distance(rows[0], rows[1], numbers) ** 2
    return float(np.sqrt(max(_transport(squares), 0)))


def structure_kernel(
    first: Atoms, second: Atoms, descriptor: Descriptor, *, method: str = "match"
) -> float:
    """Likeness of two structures, 1 for the same one.

    With "average" it is the product of mean environments over their lengths; with "match"
    the mean kernel of environments that are paired, 1 - d²/2 with d of `structure_distance`.
    Where no atom has neighbours the mean is zero and so is "average".

    Raises
    ------
    InputError
        As `structure_distance`.
    """
    rows = descriptor([first, second])
    numbers = _numbers(first), _numbers(second)
    if method == "average":
        x, y = (_means(r, z, numbers) for r, z in zip(rows, numbers, strict=True))
        lengths = np.linalg.norm(x) * np.linalg.norm(y)
        return float(x.ravel() @ y.ravel() / lengths) if lengths else 0.0
    return 1 - rows_distance(rows, numbers, method) ** 2 / 2


def deduplicate(
    structures: Sequence[Atoms], descriptor: Descriptor, *, tolerance: float = 1e-3
) -> Int64[np.ndarray, "n_structures"]:
    """Find which structures are the same but for rotation, order, origin, cell or supercell.

    Parameters
    ----------
    structures : sequence of Atoms
    descriptor : Descriptor
        Invariant. A power spectrum cannot tell a structure from its mirror image, a
        `Bispectrum` can.
    tolerance : float
        Largest distance (`structure_distance`, "match") of structures that are the same.

    Returns
    -------
    (n_structures,) array
        For each the first one that it is the same as; ``np.unique`` of it is the set without
        duplicates.

    Raises
    ------
    InputError
        If the tolerance is negative, or as the descriptor.
    """
    if not tolerance >= 0:
        raise InputError(f"expected a tolerance of 0 or more, got {tolerance}")
    rows = descriptor(structures)
    numbers = [_numbers(atoms) for atoms in structures]
    firsts: list[int] = []
    same_as = np.arange(len(structures))
    for i in range(len(structures)):
        for j in firsts:
            pair, z = (rows[i], rows[j]), (numbers[i], numbers[j])
            # the average never exceeds the match, and costs less
            if all(rows_distance(pair, z, how) <= tolerance for how in ("average", "match")):
                same_as[i] = j
                break
        else:
            firsts.append(i)
    return same_as


def _transport(squares: np.ndarray) -> float:
    """Least mean square distance at which one set is carried onto the other."""
    n, m = squares.shape
    if n == m:
        return float(squares[linear_sum_assignment(squares)].mean())
    # each row gives 1/n, each column takes 1/m
    ends = vstack([kron(eye_array(n), np.ones((1, m))), kron(np.ones((1, n)), eye_array(m))])
    shares = np.concatenate([np.full(n, 1 / n), np.full(m, 1 / m)])
    plan = linprog(squares.ravel(), A_eq=ends.tocsr(), b_eq=shares).x
    plan[plan < LEAST_WEIGHT] = 0
    return float(plan @ squares.ravel())


def _means(
    rows: np.ndarray, numbers: np.ndarray, every: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Sum of each element's environments over the number of all atoms: (n_elements, n_features)."""
    mine = np.unique(np.concatenate(every))[:, None] == numbers
    return mine @ _unit(rows) / len(rows)


def _unit(rows: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(lengths > 0, lengths, 1)


def _numbers(atoms: Atoms) -> np.ndarray:
    return np.array(atoms.numbers, dtype=np.int64)
