"""The smallest supercell in which an atom is far from its images."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from ase.geometry import minkowski_reduce

pytest.importorskip("phonopy", reason="phonopy finds primitive cells; it is in the extra phonons")

from phonopy.structure.atoms import PhonopyAtoms
from phonopy.structure.cells import guess_primitive_matrix

from ase_symcalc.apps.force_constants import symmetry_of
from ase_symcalc.apps.supercell import choose_supercell, determinant, keeps_symmetry
from ase_symcalc.errors import InputError

CRYSTALS = {
    "fcc": bulk("Cu"),
    "fcc, cubic cell": bulk("Cu", cubic=True),
    "bcc": bulk("Mo"),
    "diamond, cubic cell": bulk("Si", cubic=True),
    "hexagonal": bulk("Mg"),
    "tetragonal": bulk("Cu", "bct", a=3.0, c=4.1),
    "orthorhombic, face centred": Atoms(
        "Cu", cell=[(0, 2.1, 3.3), (1.7, 0, 3.3), (1.7, 2.1, 0)], pbc=True
    ),
    "skewed": make_supercell(bulk("Cu", cubic=True), [[1, 0, 0], [2, 1, 0], [0, 1, 1]]),
    "triclinic": Atoms("Cu", cell=[(2.4, 0, 0), (0.9, 2.7, 0), (0.3, 0.8, 3.1)], pbc=True),
}


def chosen(atoms, min_length):
    crystal = PhonopyAtoms(
        numbers=atoms.numbers,
        cell=atoms.cell.array,
        scaled_positions=atoms.get_scaled_positions(),
    )
    dataset = symmetry_of(atoms)
    primitive = guess_primitive_matrix(crystal)
    return choose_supercell(atoms.cell.array, dataset, primitive, min_length), dataset


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("min_length", [5.0, 9.0])
def test_images_are_far_and_symmetry_is_whole(name, min_length):
    atoms = CRYSTALS[name]
    matrix, dataset = chosen(atoms, min_length)
    assert keeps_symmetry(matrix, dataset.rotations)
    reduced, _ = minkowski_reduce(matrix.T @ atoms.cell.array)
    assert np.linalg.norm(reduced, axis=1).min() >= min_length - 1e-3


def test_a_cubic_file_needs_no_more_atoms_than_a_primitive_one():
    for name, size in (("Cu", 5.0), ("Si", 7.5)):
        cells = [bulk(name), bulk(name, cubic=True)]
        atoms = [len(cell) * determinant(chosen(cell, size)[0]) for cell in cells]
        assert atoms[0] == atoms[1]


def test_a_cell_without_end_is_refused():
    needle = Atoms("Cu", cell=[(2.5, 0, 0), (400, 0.05, 0), (0, 0, 2.5)], pbc=True)
    with pytest.raises(InputError, match="give a less skewed cell"):
        choose_supercell(needle.cell.array, symmetry_of(CRYSTALS["fcc"]), np.eye(3), 12.0)
