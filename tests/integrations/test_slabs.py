"""Slabs of equally many atoms, and the pairs that belong to each."""

import numpy as np
import pytest

from ase_symcalc.integrations.slabs import Slabs
from ase_symcalc.structures import from_ase, neighbour_pairs
from tests.zoo import zoo


@pytest.mark.parametrize("n", [1, 2, 3, 5])
@pytest.mark.parametrize("name", zoo())
def test_each_pair_belongs_to_one_slab(name, n):
    arrays = from_ase(zoo()[name])
    places = (arrays.positions, arrays.cell, arrays.pbc)
    for cutoff in (4.0, 7.0):
        slabs = Slabs.cut(*places, n)
        found = []
        for slab in range(n):
            pairs = slabs.pairs(slab, *places, cutoff)
            assert (slabs.owner[pairs.centre] == slab).all()
            assert (np.diff(pairs.centre) >= 0).all()
            found += as_tuples(pairs)
        assert sorted(found) == sorted(as_tuples(neighbour_pairs(*places, cutoff)))


def as_tuples(pairs):
    return list(zip(pairs.centre, pairs.neighbour, *pairs.unit_shifts.T, strict=True))


def test_slabs_hold_equally_many_atoms_and_cut_the_longest_side():
    atoms = zoo()["ge_rattled_supercell"] * (4, 1, 1)
    arrays = from_ase(atoms)
    slabs = Slabs.cut(arrays.positions, arrays.cell, arrays.pbc, 3)
    counts = np.bincount(slabs.owner)
    assert counts.max() - counts.min() <= 1
    assert slabs.period == pytest.approx(atoms.cell.lengths().max())
    for slab in range(3):
        np.testing.assert_array_equal(slabs.place[slabs.owner == slab], np.arange(counts[slab]))
    assert len(slabs.near(1, 2.0)) < len(atoms)


def test_a_molecule_is_cut_along_its_length():
    positions = np.array([[0, 0, z] for z in (5.0, 0.0, 10.0, 20.0)])
    slabs = Slabs.cut(positions, np.zeros((3, 3)), np.zeros(3, dtype=bool), 2)
    assert slabs.owner.tolist() in ([0, 0, 1, 1], [1, 1, 0, 0])
    assert slabs.period == np.inf
    assert len(slabs.near(0, 4.0)) + len(slabs.near(1, 4.0)) == 4
