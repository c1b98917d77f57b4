"""Likeness does not depend on how a structure is written down."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell
from scipy.spatial.transform import Rotation

from ase_symcalc.analysis import (
    Bispectrum,
    GaussianBasis,
    PowerSpectrum,
    deduplicate,
    environment_distance,
    environment_kernel,
    structure_distance,
    structure_kernel,
)
from ase_symcalc.errors import InputError
from tests.tolerances import TIGHT
from tests.zoo import zoo

SPECTRUM = PowerSpectrum(("Cu", "Ge", "Mo", "Ni", "Si"), GaussianBasis(5.0, 3, 3))
METHODS = ("average", "match")


def rewritten(atoms):
    """Another cell of the same crystal, turned, shifted and reordered, with more atoms."""
    other = make_supercell(atoms, [[1, 1, 0], [-1, 1, 0], [0, 0, 1]])
    other.rotate(50, (1, 2, -1), rotate_cell=True)
    other.positions += [0.3, 5.0, -1.0]
    return other[np.random.default_rng(2).permutation(len(other))]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["nimo_rocksalt", "si_diamond_primitive", "ge_chiral"])
def test_a_crystal_is_itself_however_it_is_written(name, method):
    atoms = zoo()[name]
    assert structure_distance(atoms, rewritten(atoms), SPECTRUM, method=method) < TIGHT
    assert structure_kernel(atoms, rewritten(atoms), SPECTRUM, method=method) == pytest.approx(
        1, abs=TIGHT
    )


def test_environments_of_different_elements_are_unlike():
    atoms = zoo()["nimo_rocksalt"]
    rows, numbers = SPECTRUM(atoms), (atoms.numbers, atoms.numbers)
    kernel = environment_kernel(rows, rows, numbers, zeta=2.0)
    assert (kernel[atoms.numbers[:, None] != atoms.numbers] == 0).all()
    assert np.diag(kernel) == pytest.approx(1)
    distance = environment_distance(rows, rows, numbers)
    plain = environment_kernel(rows, rows, numbers)
    np.testing.assert_allclose(distance**2, 2 - 2 * plain, atol=1e-12)
    assert np.linalg.eigvalsh(kernel).min() > -1e-12


def test_atoms_without_neighbours_have_no_average_likeness():
    assert structure_kernel(Atoms("Cu"), Atoms("Cu"), SPECTRUM, method="average") == 0


def test_match_sees_what_the_average_does_not():
    """Two halves that differ, and their mean twice."""
    rows = np.array([[1.0, 0, 0], [0, 1.0, 0], [2**-0.5, 2**-0.5, 0]])

    def lookup(structures):
        return [rows[np.array(atoms.get_tags())] for atoms in structures]

    apart = Atoms("Cu2", positions=[(0, 0, 0), (9, 0, 0)], tags=[0, 1])
    one = Atoms("Cu", tags=[2])
    match = structure_distance(apart, one, lookup)
    assert match == pytest.approx((2 - 2**0.5) ** 0.5)
    average = structure_distance(apart, one, lookup, method="average")
    assert average == pytest.approx(1 - 2**-0.5)


def test_sizes_that_do_not_divide_are_carried_onto_each_other():
    rows = np.eye(3)

    def lookup(structures):
        return [rows[np.array(atoms.get_tags())] for atoms in structures]

    two = Atoms("Cu2", tags=[0, 1])
    three = Atoms("Cu3", tags=[0, 1, 1])
    # of six shares, three against two of the first: one must move at a squared distance of 2
    assert structure_distance(two, three, lookup) ** 2 == pytest.approx(2 / 6)


def test_set_loses_its_duplicates():
    silicon, copper = bulk("Si"), bulk("Cu")
    set_ = [silicon, copper, bulk("Si", cubic=True), copper * (2, 1, 1), bulk("Cu", a=3.9)]
    assert deduplicate(set_, SPECTRUM).tolist() == [0, 1, 0, 1, 4]
    assert deduplicate(set_, SPECTRUM, tolerance=1.0).tolist() == [0, 1, 0, 1, 1]
    assert deduplicate([], SPECTRUM).tolist() == []


def test_mirror_images_are_told_apart_by_the_bispectrum_alone():
    atoms = zoo()["ge_chiral"]
    mirrored = atoms.copy()
    mirrored.set_cell(atoms.cell.array * [1, 1, -1])
    mirrored.positions = atoms.positions * [1, 1, -1]
    assert deduplicate([atoms, mirrored], SPECTRUM).tolist() == [0, 0]
    triples = Bispectrum(("Ge",), GaussianBasis(4.2, 3, 3))
    assert deduplicate([atoms, mirrored], triples).tolist() == [0, 1]
    turned = atoms.copy()
    matrix = Rotation.from_euler("x", 70, degrees=True).as_matrix()
    turned.set_cell(atoms.cell.array @ matrix.T, scale_atoms=True)
    assert deduplicate([atoms, turned], triples).tolist() == [0, 0]


def test_arguments_without_meaning_are_refused():
    copper = bulk("Cu")
    with pytest.raises(InputError, match="'match' or 'average'"):
        structure_distance(copper, copper, SPECTRUM, method="best")
    with pytest.raises(InputError, match="a tolerance of 0 or more"):
        deduplicate([copper], SPECTRUM, tolerance=-1.0)
    with pytest.raises(InputError, match="an exponent above 0"):
        environment_kernel(np.eye(2), np.eye(2), zeta=0.0)
