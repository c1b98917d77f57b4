"""Groups of rotations and mirrors, each by the few matrices that generate it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms
from jaxtyping import Float64
from scipy.spatial.transform import Rotation

from ase_symcalc.errors import InputError
from ase_symcalc.symmetry.setting import operations_of, standard_setting


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A closed subgroup of O(3).

    Raises
    ------
    InputError
        If a continuous generator is not antisymmetric, or a discrete one not orthogonal.
    """

    name: str
    continuous: Float64[np.ndarray, "n_continuous 3 3"]
    """antisymmetric A, for the rotations exp(tA)"""
    discrete: Float64[np.ndarray, "n_discrete 3 3"]
    """orthogonal matrices, Cartesian"""

    def __post_init__(self) -> None:
        turned = self.continuous.transpose(0, 2, 1)
        if not np.allclose(self.continuous, -turned, rtol=0, atol=1e-10):
            raise InputError(
                "expected antisymmetric matrices as continuous generators, got "
                f"{self.continuous.tolist()}"
            )
        squares = self.discrete @ self.discrete.transpose(0, 2, 1)
        if not np.allclose(squares, np.eye(3), rtol=0, atol=1e-10):
            raise InputError(
                "expected orthogonal Cartesian matrices as discrete generators, got "
                f"{self.discrete.tolist()}; fractional ones need cell.T @ W @ inv(cell.T)"
            )

    def __repr__(self) -> str:
        return f"<group {self.name}>"


_TURNS = np.zeros((3, 3, 3))  # d/dt of turns about x, y and z
for _axis in range(3):
    _TURNS[_axis, _axis - 1, _axis - 2] = 1
    _TURNS[_axis, _axis - 2, _axis - 1] = -1

SO3 = Group("SO(3)", _TURNS, np.empty((0, 3, 3)))
O3 = Group("O(3)", _TURNS, -np.eye(3)[None])

_POINT_GROUPS = {
    # Hermann-Mauguin: Schoenflies, generators: order and axis, with a minus for rotoinversions
    "1": ("C1", ""),
    "-1": ("Ci", "-1z"),
    "2": ("C2", "2y"),
    "m": ("Cs", "-2y"),
    "2/m": ("C2h", "2y -1z"),
    "222": ("D2", "2z 2x"),
    "mm2": ("C2v", "2z -2x"),
    "mmm": ("D2h", "2z 2x -1z"),
    "4": ("C4", "4z"),
    "-4": ("S4", "-4z"),
    "4/m": ("C4h", "4z -1z"),
    "422": ("D4", "4z 2x"),
    "4mm": ("C4v", "4z -2x"),
    "-42m": ("D2d", "-4z 2x"),
    "4/mmm": ("D4h", "4z 2x -1z"),
    "3": ("C3", "3z"),
    "-3": ("S6", "-3z"),
    "32": ("D3", "3z 2x"),
    "3m": ("C3v", "3z -2x"),
    "-3m": ("D3d", "-3z 2x"),
    "6": ("C6", "6z"),
    "-6": ("C3h", "-6z"),
    "6/m": ("C6h", "6z -1z"),
    "622": ("D6", "6z 2x"),
    "6mm": ("C6v", "6z -2x"),
    "-6m2": ("D3h", "-6z -2x"),
    "6/mmm": ("D6h", "6z 2x -1z"),
    "23": ("T", "2z 3d"),
    "m-3": ("Th", "2z -3d"),
    "432": ("O", "4z 3d"),
    "-43m": ("Td", "-4z 3d"),
    "m-3m": ("Oh", "4z -3d"),
}
POINT_GROUPS = tuple(_POINT_GROUPS)
"""Hermann-Mauguin symbols of the 32 crystallographic point groups."""

_AXES = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1), "d": (1, 1, 1)}


def point_group(name: str) -> Group:
    """One of the 32 crystallographic point groups.

    Parameters
    ----------
    name : str
        Hermann-Mauguin or Schoenflies symbol: ``"-43m"`` or ``"Td"``.

    Returns
    -------
    Group
        Oriented as in International Tables A: the main axis along z, in monoclinic groups
        along y; a twofold axis or a mirror's normal along x; cubic diagonals along (1, 1, 1).

    Raises
    ------
    InputError
        If there is no such group.
    """
    for symbol, (schoenflies, generators) in _POINT_GROUPS.items():
        if name in (symbol, schoenflies):
            matrices = [_turn(token) for token in generators.split()]
            return Group(symbol, np.empty((0, 3, 3)), np.array(matrices).reshape(-1, 3, 3))
    known = ", ".join(f"{symbol} ({other})" for symbol, (other, _) in _POINT_GROUPS.items())
    raise InputError(f"expected a crystallographic point group, got {name!r}; known are {known}")


def crystal_class(atoms: Atoms, tolerance: float = 1e-5) -> Group:
    """Rotations and mirrors of a crystal's space group, without the translations.

    Of the infinite crystal, in its orientation: it does not matter how much of it the cell
    holds. Every operation but the identity is among the generators.

    Parameters
    ----------
    atoms : ase.Atoms
        Periodic along all three directions.
    tolerance : float, Å
        How far atoms may be from their images.

    Raises
    ------
    InputError
        If the structure is not a crystal, or no space group is found.
    """
    setting = standard_setting(atoms, tolerance)
    rotations = np.unique(operations_of(setting.hall_number)[0], axis=0)
    columns = setting.cell.T
    turns = _orthogonal(columns @ rotations @ np.linalg.inv(columns))
    others = (rotations != np.eye(3)).any(axis=(1, 2))
    return Group(setting.symbol, np.empty((0, 3, 3)), turns[others])


def by_few_generators(group: Group) -> Group:
    """Describe a finite group by few of its elements: what is solved for each takes less time.

    Parameters
    ----------
    group : Group
        Every operation but the identity among its generators, as `crystal_class` gives.
    """
    every = np.concatenate([np.eye(3)[None], group.discrete])
    products = (every[:, None] @ every).reshape(len(every), len(every), 9)
    table = np.argmax(products @ every.reshape(-1, 9).T, axis=2)
    chosen: list[int] = []
    reached = {0}
    for new in range(1, len(every)):
        if new in reached:
            continue
        chosen.append(new)
        walk, reached = [0], {0}
        for element in walk:
            for product in table[element, chosen].tolist():
                if product not in reached:
                    reached.add(product)
                    walk.append(product)
    return Group(group.name, group.continuous, every[chosen])


def site_group(atoms: Atoms, index: int, tolerance: float = 1e-5) -> Group:
    """Rotations and mirrors about an atom that leave the crystal as it is.

    The site symmetry of the infinite crystal: it does not matter how much of it the cell
    holds. Every operation but the identity is among the generators.

    Parameters
    ----------
    atoms : ase.Atoms
        Periodic along all three directions.
    index : int
        Of the atom.
    tolerance : float, Å
        How far atoms may be from their images.

    Raises
    ------
    InputError
        If there is no such atom, or no space group is found.
    """
    if not -len(atoms) <= index < len(atoms):
        raise InputError(f"expected the index of one of {len(atoms)} atoms, got {index}")
    setting = standard_setting(atoms, tolerance)
    rotations, translations = operations_of(setting.hall_number)
    position = setting.positions[index]
    moves = rotations @ position + translations - position
    moves = (moves - np.round(moves)) @ setting.cell
    stabiliser = rotations[np.linalg.norm(moves, axis=1) < 10 * tolerance]
    columns = setting.cell.T
    turns = _orthogonal(columns @ stabiliser @ np.linalg.inv(columns))
    others = (stabiliser != np.eye(3)).any(axis=(1, 2))
    return Group(setting.site_symmetries[index], np.empty((0, 3, 3)), turns[others])


def _turn(token: str) -> np.ndarray:
    order, axis = int(token[:-1]), np.array(_AXES[token[-1]], dtype=np.float64)
    turn = Rotation.from_rotvec(axis / np.linalg.norm(axis) * 2 * np.pi / abs(order)).as_matrix()
    return np.sign(order) * np.where(abs(turn) < 1e-12, 0, turn)


def _orthogonal(group: np.ndarray) -> np.ndarray:
    """Matrices of a finite group in the coordinates that make all of them orthogonal.

    With H = mean of gᵀg over the group, √H g √H⁻¹ is orthogonal for each g. A cell that is
    off its symmetry by a little gives an H that is off the unit matrix by a little.
    """
    values, vectors = np.linalg.eigh(np.mean(group.transpose(0, 2, 1) @ group, axis=0))
    root = vectors * np.sqrt(values) @ vectors.T
    return root @ group @ np.linalg.inv(root)
