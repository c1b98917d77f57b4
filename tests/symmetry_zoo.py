"""A small crystal for each of the 230 space groups, and structures that go beyond them."""

import functools
import itertools

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.spacegroup import Spacegroup

ROOM = 13.0  # Å³ for each atom
APART = 0.55  # nearest distance over the edge of the cube an atom has for itself
SYMBOLS = ("Si", "Ni", "Li")
SYSTEMS = {
    "triclinic": range(1, 3),
    "monoclinic": range(3, 16),
    "orthorhombic": range(16, 75),
    "tetragonal": range(75, 143),
    "trigonal": range(143, 168),
    "hexagonal": range(168, 195),
    "cubic": range(195, 231),
}
_SHAPES = {
    "triclinic": [[1, 0, 0], [-0.29, 1.1, 0], [0.16, 0.17, 1.3]],
    "monoclinic": [[1, 0, 0], [0, 1.13, 0], [-0.25, 0, 1.29]],
    "orthorhombic": [[1, 0, 0], [0, 1.13, 0], [0, 0, 1.31]],
    "tetragonal": [[1, 0, 0], [0, 1, 0], [0, 0, 1.31]],
    "trigonal": [[1, 0, 0], [-0.5, 0.75**0.5, 0], [0, 0, 1.31]],
    "hexagonal": [[1, 0, 0], [-0.5, 0.75**0.5, 0], [0, 0, 1.31]],
    "cubic": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
}


def system(number: int) -> str:
    return next(name for name, numbers in SYSTEMS.items() if number in numbers)


def orbit(number: int, place: np.ndarray) -> np.ndarray:
    """Fractional coordinates of all images of a place."""
    rotations, translations = _operations(number)
    images = (rotations @ place + translations) % 1
    _, first = np.unique(np.round(images, 6) % 1, axis=0, return_index=True)
    return images[np.sort(first)]


def of_places(number: int, places: list[np.ndarray], room: float = ROOM) -> Atoms:
    """Crystal of a space group with the orbits of these places filled, an element for each."""
    orbits = [orbit(number, place) for place in places]
    symbols = [s for s, points in zip(SYMBOLS, orbits, strict=False) for _ in points]
    cell = np.array(_SHAPES[system(number)])
    cell = cell * (room * len(symbols) / np.linalg.det(cell)) ** (1 / 3)
    return Atoms(symbols, scaled_positions=np.concatenate(orbits), cell=cell, pbc=True)


def spacing(atoms: Atoms) -> float:
    """Nearest distance over the edge of the cube an atom has for itself."""
    images = np.array(list(itertools.product((-1, 0, 1), repeat=3))) @ atoms.cell.array
    apart = atoms.positions[:, None, None] - atoms.positions[None, :, None] + images
    distances = np.linalg.norm(apart, axis=-1)
    np.fill_diagonal(distances[:, :, len(images) // 2], np.inf)
    return distances.min() / (atoms.get_volume() / len(atoms)) ** (1 / 3)


def candidates(number: int, seed: int = 0) -> list[np.ndarray]:
    """Places with many and few images, in an order drawn from ``seed``."""
    rng = np.random.default_rng([seed, number])
    found = []
    for x, y, z in rng.uniform(0.03, 0.97, (20, 3)):
        found += [
            (x, y, z),
            (x, x, z),
            (x, 0, z),
            (x, y, 0),
            (x, x, x),
            (x, 0, 0),
            (x, 0.25, 0.125),
        ]
    found += list(itertools.product((0, 0.5), (0, 0.25), (0, 0.125, 0.25)))
    return [np.array(found[n], dtype=float) for n in rng.permutation(len(found))]


@functools.cache
def _of_group(number: int) -> Atoms:
    places: list[np.ndarray] = []
    n_atoms, most = 0, 32
    for place in candidates(number):
        n_images = len(orbit(number, place))
        if len(places) == len(SYMBOLS) or n_atoms + n_images > most:
            continue
        if spacing(of_places(number, [*places, place])) > APART:
            places.append(place)
            n_atoms += n_images
    return of_places(number, places)


def of_group(number: int) -> Atoms:
    """One to three orbits, up to 24 atoms."""
    return _of_group(number).copy()


@functools.cache
def _operations(number: int) -> tuple[np.ndarray, np.ndarray]:
    return Spacegroup(number).get_op()


def variants() -> dict[str, Atoms]:
    """Fresh copies of structures whose symmetry is not just that of a crystal, by name."""
    silicon, quartz = bulk("Si", cubic=True), of_group(152)
    return {
        # translations of all directions, and of one
        "si_supercell": silicon * (2, 2, 2),
        "si_long_supercell": silicon * (1, 1, 3),
        "chiral_supercell": quartz * (2, 2, 1),
        # a supercell that keeps the mirror planes of the lattice and loses its threefold axes
        "si_skew_supercell": _made_of(bulk("Si"), [[2, 1, 0], [0, 1, 0], [1, 0, 2]]),
        # the lattice of a cubic crystal, told by long vectors, left-handed
        "si_skewed_description": _described_by(silicon, [[0, 1, 0], [1, 4, 0], [-3, 5, 1]]),
        # strains that keep some operations, and one that keeps inversion only
        "rocksalt_stretched": _strained(_rocksalt(), [[1.02, 0, 0], [0, 1, 0], [0, 0, 1]]),
        "rocksalt_sheared": _strained(_rocksalt(), [[1, 0.03, 0], [0.03, 1, 0], [0, 0, 1]]),
        "rocksalt_strained": _strained(
            _rocksalt(), [[1.02, 0.03, 0.01], [0.03, 0.98, 0.02], [0.01, 0.02, 1.01]]
        ),
        # one atom moved along an axis of three, of two, of a plane
        "si_moved_111": _moved(silicon * (2, 2, 2), (0.05, 0.05, 0.05)),
        "si_moved_100": _moved(silicon * (2, 2, 2), (0.05, 0, 0)),
        "si_moved_110": _moved(silicon * (2, 2, 2), (0.04, 0.04, 0.01)),
        # anywhere in space
        "si_outside_the_cell": _outside(silicon),
        # two, one and no periodic directions
        "ni_slab": fcc111("Ni", (2, 2, 3), a=3.52, vacuum=7.0),
        "ni_slab_without_third_vector": _without_third_vector(),
        "wire": _wire(),
        "wire_in_line": Atoms("CuNiCuNi", [(0, 0, z) for z in (0, 2.1, 5, 7.1)], **_ALONG_Z),
        "methane": _molecule("CH4", "SiLi4"),
        "benzene": _molecule("C6H6", "Si6Li6"),
        "carbon_dioxide": _molecule("CO2", "NiSi2"),
        "icosahedron": _icosahedron(),
    }


_ALONG_Z = {"cell": [(0, 0, 0), (0, 0, 0), (0, 0, 10)], "pbc": (False, False, True)}


def _rocksalt() -> Atoms:
    return bulk("NiSi", "rocksalt", a=5.0, cubic=True)


def _described_by(atoms: Atoms, integers: list[list[int]]) -> Atoms:
    """Other cell vectors of the same crystal."""
    atoms = atoms.copy()
    atoms.set_cell(np.array(integers) @ atoms.cell.array)
    return atoms


def _made_of(atoms: Atoms, integers: list[list[int]]) -> Atoms:
    """Supercell that is no box of cells."""
    big = atoms * (4, 4, 4)
    big.set_cell(np.array(integers) @ atoms.cell.array)
    places = np.round(big.get_scaled_positions(), 9) % 1
    _, first = np.unique(places, axis=0, return_index=True)
    return big[first]


def _strained(atoms: Atoms, deformation: list[list[float]]) -> Atoms:
    atoms.set_cell(atoms.cell.array @ np.array(deformation), scale_atoms=True)
    return atoms


def _moved(atoms: Atoms, by: tuple[float, float, float]) -> Atoms:
    atoms.positions[3] += by
    return atoms


def _outside(atoms: Atoms) -> Atoms:
    atoms = atoms.copy()
    cells = np.random.default_rng(3).integers(-9, 10, atoms.positions.shape)
    atoms.positions += cells @ atoms.cell.array + (0.1, 0.2, 0.3)
    return atoms


def _without_third_vector() -> Atoms:
    atoms = fcc111("Ni", (1, 2, 3), a=3.52)
    cell = atoms.cell.array.copy()
    cell[2] = 0
    atoms.set_cell(cell)
    return atoms


def _wire() -> Atoms:
    """Rings of five around a chain, every second one turned: a tenfold screw axis."""
    angles = np.deg2rad(72 * np.arange(5))
    rings = [
        (2 * np.cos(a + turn), 2 * np.sin(a + turn), z)
        for z, turn in ((0.4, 0), (5.4, np.pi / 5))
        for a in angles
    ]
    return Atoms("Cu10Ni2", [*rings, (0, 0, 2.9), (0, 0, 7.9)], **_ALONG_Z)


def _molecule(name: str, formula: str) -> Atoms:
    """Exact shape of a molecule of ASE's, in other elements."""
    atoms = molecule(name)
    if name == "C6H6":
        angles = np.arange(6) * np.pi / 3
        ring = np.stack([np.cos(angles), np.sin(angles), 0 * angles], axis=1)
        return Atoms(formula, np.concatenate([2.0 * ring, 3.9 * ring]))
    return Atoms(formula, atoms.positions * 1.6)


def _icosahedron() -> Atoms:
    """Twelve corners, five-fold axes that no lattice has."""
    golden = (1 + 5**0.5) / 2
    corners = [(0, a, b * golden) for a in (-1, 1) for b in (-1, 1)]
    turned = [np.roll(corner, n) for corner in corners for n in range(3)]
    return Atoms("Cu12", 1.3 * np.array(turned))


VARIANTS = tuple(variants())
