"""The logarithm of a cell's deformation."""

import numpy as np
import pytest
from ase.build import bulk
from ase.filters import FrechetCellFilter
from scipy.linalg import expm, logm

from ase_symcalc.apps.cell_filter import CellFilter, logarithm


@pytest.mark.parametrize("size", [0.0, 1e-9, 0.01, 0.3, 1.5])
def test_it_is_that_of_scipy(size):
    rng = np.random.default_rng(5)
    for _ in range(20):
        deformation = expm(size * rng.uniform(-1, 1, (3, 3)))
        found = logarithm(deformation)
        np.testing.assert_allclose(found, np.real(logm(deformation)), rtol=0, atol=1e-12)
        np.testing.assert_allclose(expm(found), deformation, rtol=1e-12, atol=1e-12)


def test_a_filter_is_that_of_ase_and_draws_no_random_numbers(calc):
    atoms = bulk("Si", cubic=True)
    atoms.calc = calc
    ours, theirs = (
        CellFilter(atoms, exp_cell_factor=2.0),
        FrechetCellFilter(atoms, exp_cell_factor=2.0),
    )
    places = ours.get_positions()
    places[-3:] += 0.3 * np.random.default_rng(5).uniform(-1, 1, (3, 3))
    before = repr(np.random.get_state())  # noqa: NPY002  (the global one is meant)
    ours.set_positions(places)
    mine = ours.get_forces(), ours.get_positions()
    assert repr(np.random.get_state()) == before  # noqa: NPY002
    for one, other in zip(mine, (theirs.get_forces(), theirs.get_positions()), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)
