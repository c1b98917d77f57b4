"""Elastic constants that a crystal's symmetry leaves free."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from ase_symcalc.symmetry.bases import invariant_basis
from ase_symcalc.symmetry.groups import Group
from ase_symcalc.symmetry.representations import V


def elastic_basis(group: Group) -> Float64[np.ndarray, "n_constants 6 6"]:
    """Elastic tensors of which every one that a point group allows is a combination.

    Three for cubic crystals; 5 for hexagonal, 6 or 7 for tetragonal and trigonal, 9 for
    orthorhombic, 13 for monoclinic, 21 for triclinic ones; 2 for SO(3) and O(3).

    Parameters
    ----------
    group : Group
        In the orientation of the crystal, such as `point_group` or `site_group` give.

    Returns
    -------
    (n_constants, 6, 6) array
        C_ij in the order of Voigt, xx yy zz yz xz xy, symmetric. As tensors of fourth rank
        they are orthonormal: with factors f = (1, 1, 1, √2, √2, √2) the sum of
        ``(f_i f_j C_ij)²`` is 1.

    Raises
    ------
    NumericalError
        As `invariant_basis`.

    Examples
    --------
    >>> len(elastic_basis(point_group("m-3m")))
    3
    """
    columns = invariant_basis(V.symmetric_square.symmetric_square, group)
    rows, others = np.triu_indices(6, 1)
    upper = columns[6:][::-1].T / np.sqrt(2)
    mandel = np.zeros((columns.shape[1], 6, 6))
    mandel[:, np.arange(6), np.arange(6)] = columns[:6].T
    mandel[:, rows, others] = mandel[:, others, rows] = upper
    factors = np.repeat([1, np.sqrt(2)], 3)
    return mandel / np.outer(factors, factors)
