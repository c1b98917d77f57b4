"""Atoms to checked arrays."""

import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_symcalc.errors import InputError, UnsupportedElementError
from ase_symcalc.structures import from_ase
from tests.zoo import NAMES, zoo


@pytest.mark.parametrize("name", NAMES)
def test_arrays_are_equal_copies(name):
    atoms = zoo()[name]
    arrays = from_ase(atoms)
    for got, given in [
        (arrays.positions, atoms.positions),
        (arrays.cell, atoms.cell.array),
        (arrays.pbc, atoms.pbc),
        (arrays.atomic_numbers, atoms.numbers),
    ]:
        np.testing.assert_array_equal(got, given)
        assert not np.shares_memory(got, given)


@pytest.mark.parametrize(
    ("name", "volume"),
    [
        ("cu_fcc_one_atom", 3.62**3 / 4),
        ("mo_left_handed", 3.16**3),
        ("ni_slab_without_third_vector", None),
        ("cu_wire", None),
        ("si_cluster", None),
        ("mo_isolated", None),
    ],
)
def test_volume_is_that_of_the_users_cell(name, volume):
    assert from_ase(zoo()[name]).volume == (volume and pytest.approx(volume))


def test_a_slab_with_a_full_cell_has_its_volume():
    slab = zoo()["ni_slab"]
    assert from_ase(slab).volume == pytest.approx(slab.get_volume())


def test_a_molecule_in_a_box_has_no_volume():
    assert from_ase(Atoms("Cu2", [(0, 0, 0), (0, 0, 2.2)], cell=(9, 9, 9))).volume is None


def test_a_slab_whose_third_vector_lies_in_the_plane_has_no_volume():
    cell = [(3, 0, 0), (0, 3, 0), (3, 6, 0)]
    assert from_ase(Atoms("Cu", cell=cell, pbc=(True, True, False))).volume is None


def test_known_elements_pass_in_any_order():
    from_ase(bulk("NiMo", "rocksalt", a=5.0), elements=["Mo", "Cu", "Ni"])


def broken(**changes) -> Atoms:
    atoms = bulk("Si", cubic=True)
    for name, value in changes.items():
        setattr(atoms, name, value)
    return atoms


def with_position(value: float) -> Atoms:
    atoms = bulk("Si", cubic=True)
    atoms.positions[3, 1] = value
    return atoms


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms(pbc=True, cell=(3, 3, 3)), "no atoms; expected at least one"),
        (with_position(np.nan), "position of atom 3 is [1.3575, nan, 4.0725] Å"),
        (with_position(-np.inf), "expected finite coordinates below 1e+09 Å"),
        (with_position(1e12), "position of atom 3 is"),
        (broken(cell=[5, np.nan, 5]), "the cell is [[5.0, 0.0, 0.0], [0.0, nan, 0.0]"),
        (broken(cell=[5, 5, np.inf]), "expected finite vectors"),
        (broken(cell=[5, 0, 5]), "cell vector 1 is periodic but has length 0 Å"),
        (broken(cell=[5, 5, 0.02]), "Set pbc False along it"),
        (broken(cell=[(5, 0, 0), (0, 5, 0), (5, 5, 1e-9)]), "vectors lie in one plane"),
        (broken(cell=[(5, 0, 0), (9, 0, 0), (0, 0, 0)], pbc=(1, 1, 0)), "vectors lie in one line"),
    ],
)
def test_what_has_no_meaning_is_refused_and_left_alone(atoms, message):
    before = atoms.copy()
    with pytest.raises(InputError, match=re.escape(message)):
        from_ase(atoms)
    for name, array in before.arrays.items():
        np.testing.assert_array_equal(atoms.arrays[name], array)
    np.testing.assert_array_equal(atoms.cell.array, before.cell.array)


def test_an_unknown_element_is_named_beside_the_known_ones():
    with pytest.raises(UnsupportedElementError, match=r"not trained on O, Fe; it knows Li, Si\."):
        from_ase(Atoms("Fe2OSi", positions=np.arange(12.0).reshape(4, 3)), elements=("Li", "Si"))


def test_a_dummy_atom_is_an_unknown_element():
    with pytest.raises(UnsupportedElementError, match=r"not trained on X, Z=140; it knows Cu"):
        from_ase(Atoms([0, 29, 140], positions=np.arange(9.0).reshape(3, 3)), elements=["Cu"])
