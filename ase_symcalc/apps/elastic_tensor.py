"""What follows from a crystal's elastic constants: moduli, stability, other orientations.

Constants are (6, 6) arrays in GPa, in the order of Voigt: xx, yy, zz, yz, xz, xy, shear strains
counted twice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

MANDEL = np.repeat([1, np.sqrt(2)], 3)
"""Factors of a stress in the order of Voigt that make its square that of the tensor."""

_INDEX = np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])


@dataclass(frozen=True, slots=True)
class Moduli:
    """Of a body of many crystallites without preferred orientation.

    Voigt's mean over stiffnesses is an upper bound, Reuss's over compliances a lower one, and
    Hill's is the mean of both (R. Hill, Proc. Phys. Soc. A 65, 349 (1952)).
    """

    bulk_voigt: float
    """GPa, as all up to `young`"""
    bulk_reuss: float
    bulk: float
    """Hill"""
    shear_voigt: float
    shear_reuss: float
    shear: float
    """Hill"""
    young: float
    """9KG/(3K + G) of Hill's K and G"""
    poisson: float
    """(3K - 2G)/(6K + 2G)"""
    universal_anisotropy: float
    """5 G_V/G_R + K_V/K_R - 6, zero for an isotropic crystal (S. I. Ranganathan and M.
    Ostoja-Starzewski, Phys. Rev. Lett. 101, 055504 (2008))"""


def moduli(constants: Float64[np.ndarray, "6 6"]) -> Moduli:
    """Mean moduli of a stable crystal.

    Parameters
    ----------
    constants : (6, 6) array, GPa
        Positive definite; the compliances of others mean nothing.
    """
    c, s = constants, np.linalg.inv(constants)
    bulk_voigt = c[:3, :3].sum() / 9
    bulk_reuss = 1 / s[:3, :3].sum()
    diagonal, others, shear = _parts(c)
    shear_voigt = (diagonal - others + 3 * shear) / 15
    diagonal, others, shear = _parts(s)
    shear_reuss = 15 / (4 * diagonal - 4 * others + 3 * shear)
    bulk, g = (bulk_voigt + bulk_reuss) / 2, (shear_voigt + shear_reuss) / 2
    values = (
        bulk_voigt,
        bulk_reuss,
        bulk,
        shear_voigt,
        shear_reuss,
        g,
        9 * bulk * g / (3 * bulk + g),
        (3 * bulk - 2 * g) / (6 * bulk + 2 * g),
        5 * shear_voigt / shear_reuss + bulk_voigt / bulk_reuss - 6,
    )
    return Moduli(*(float(value) for value in values))


def eigenvalues(constants: Float64[np.ndarray, "6 6"]) -> Float64[np.ndarray, "6"]:
    """Stiffnesses against the six strains that each cause a stress along themselves, GPa.

    The same in every orientation; rising. A crystal is stable if all are positive, which
    holds Born's conditions of every crystal class (F. Mouhat and F.-X. Coudert, Phys. Rev. B
    90, 224104 (2014)).
    """
    return np.linalg.eigvalsh(constants * np.outer(MANDEL, MANDEL))


def turned(
    constants: Float64[np.ndarray, "6 6"], rotation: Float64[np.ndarray, "3 3"]
) -> Float64[np.ndarray, "6 6"]:
    """Constants after the crystal was turned, or in a frame whose axes are the rows.

    C'_ijkl = R_ip R_jq R_kr R_ls C_pqrs.
    """
    r = rotation
    full = constants[_INDEX[:, :, None, None], _INDEX]
    full = np.einsum("ip,jq,kr,ls,pqrs->ijkl", r, r, r, r, full, optimize=True)
    rows, columns = np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1])
    return full[rows[:, None], columns[:, None], rows, columns]


def young_along(
    constants: Float64[np.ndarray, "6 6"], directions: Float64[np.ndarray, "n 3"]
) -> Float64[np.ndarray, "n"]:
    """Young's modulus (GPa) of the single crystal along unit vectors."""
    x, y, z = directions.T
    load = np.stack([x * x, y * y, z * z, y * z, x * z, x * y], axis=1)
    strain = load @ np.linalg.inv(constants)  # shear strains counted twice
    return 1 / (strain * load).sum(axis=1)


def _parts(tensor: np.ndarray) -> tuple[float, float, float]:
    """Return the sums of 11, 22, 33, of 12, 13, 23, and of 44, 55, 66."""
    ends = np.diag(tensor)
    return ends[:3].sum(), tensor[0, 1] + tensor[0, 2] + tensor[1, 2], ends[3:].sum()
