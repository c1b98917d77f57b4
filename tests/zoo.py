"""Small structures, each with the reason it is here. Elements of the shipped potential only."""

import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111


def zoo() -> dict[str, Atoms]:
    """Fresh copies of every structure, by name."""
    return {
        # cell shorter than the cutoff: the one atom's neighbours are its own images
        "cu_fcc_one_atom": bulk("Cu", "fcc", a=3.62),
        "mo_bcc_one_atom": bulk("Mo", "bcc", a=3.16),
        # a conventional cell as people draw it
        "li_bcc_cubic": bulk("Li", "bcc", a=3.44, cubic=True),
        # two atoms on sites without inversion: odd features do not vanish
        "si_diamond_primitive": bulk("Si", "diamond", a=5.47),
        # no symmetry left: no force is zero by accident
        "ge_rattled_supercell": _rattled(bulk("Ge", "diamond", a=5.78, cubic=True) * (2, 1, 1)),
        # two elements, unequal under exchange
        "nimo_rocksalt": _rattled(bulk("NiMo", "rocksalt", a=5.0, cubic=True)),
        # handed: its mirror image is another structure
        "ge_chiral": _screw("Ge", a=3.95, c=5.25, u=0.27),
        # repeats along two directions, and has a volume of the user's choosing
        "ni_slab": _rattled(fcc111("Ni", (2, 2, 3), a=3.52, vacuum=7.0)),
        # repeats along two directions, and has no volume at all
        "ni_slab_without_third_vector": _without_third_vector(),
        # repeats along one direction, the others have no vector
        "cu_wire": _wire(),
        # no cell
        "si_cluster": _cluster(),
        # coordinates cost digits here, and a box around the origin would be huge
        "si_cluster_far_from_origin": _translated(_cluster(), (1e4, -2e4, 3e4)),
        # no neighbour: the reference energy alone
        "mo_isolated": Atoms("Mo", [(0.3, 0.2, 0.1)]),
        # no neighbour, though it repeats
        "cu_lonely_in_a_box": Atoms("Cu", [(1.0, 2.0, 3.0)], cell=(15, 16, 17), pbc=True),
        # two far fragments, nothing between them
        "cu_two_fragments": Atoms("Cu4", [(0, 0, 0), (2.5, 0, 0), (400, 0, 0), (400, 2.3, 0)]),
        # acute and obtuse angles, strained
        "li_sheared": _sheared(),
        # the lattice of a cubic crystal, told by long vectors
        "si_skewed_description": _described_by(
            bulk("Si", "diamond", a=5.47, cubic=True), [[1, 0, 0], [4, 1, 0], [-3, 5, 1]]
        ),
        # det(cell) < 0
        "mo_left_handed": _described_by(
            _rattled(bulk("Mo", "bcc", a=3.16, cubic=True)), [[0, 1, 0], [1, 0, 0], [0, 0, 1]]
        ),
        # unwrapped, as MD leaves them
        "si_outside_the_cell": _outside(),
    }


def _rattled(atoms: Atoms, stdev: float = 0.08) -> Atoms:
    atoms.positions += np.random.default_rng(7).normal(0, stdev, atoms.positions.shape)
    return atoms


def _translated(atoms: Atoms, vector: tuple[float, float, float]) -> Atoms:
    atoms.translate(vector)
    return atoms


def _described_by(atoms: Atoms, integers: list[list[int]]) -> Atoms:
    """Other cell vectors of the same crystal."""
    atoms.set_cell(np.array(integers) @ atoms.cell.array)
    return atoms


def _screw(symbol: str, a: float, c: float, u: float) -> Atoms:
    """Chains along a threefold screw axis, as in trigonal tellurium (P3₁21)."""
    cell = [(a, 0, 0), (-a / 2, a * np.sqrt(3) / 2, 0), (0, 0, c)]
    places = [(u, 0, 0), (0, u, 1 / 3), (-u, -u, 2 / 3)]
    return Atoms([symbol] * 3, scaled_positions=places, cell=cell, pbc=True)


def _without_third_vector() -> Atoms:
    atoms = _rattled(fcc111("Ni", (1, 2, 3), a=3.52))
    cell = atoms.cell.array.copy()
    cell[2] = 0
    atoms.set_cell(cell)
    return atoms


def _wire() -> Atoms:
    places = [(0, 0, 0.1), (1.4, 0, 1.9), (0, 1.5, 3.6)]
    return Atoms("Cu3", places, cell=[(0, 0, 0), (0, 0, 0), (0, 0, 5.1)], pbc=(False, False, True))


def _cluster() -> Atoms:
    atoms = _rattled(bulk("Si", "diamond", a=5.47, cubic=True))
    return Atoms(atoms.symbols, atoms.positions)


def _sheared() -> Atoms:
    atoms = _rattled(bulk("Li", "bcc", a=3.44, cubic=True) * (1, 1, 2))
    shear = np.array([[1.02, 0.25, 0.0], [0.05, 0.97, -0.35], [0.0, 0.15, 1.04]])
    atoms.set_cell(atoms.cell.array @ shear, scale_atoms=True)
    return atoms


def _outside() -> Atoms:
    atoms = _rattled(bulk("Si", "diamond", a=5.47, cubic=True))
    cells = np.random.default_rng(3).integers(-9, 10, atoms.positions.shape)
    atoms.positions += cells @ atoms.cell.array
    return atoms


NAMES = tuple(zoo())
