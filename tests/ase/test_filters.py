"""ASE's cell filters relax cells with it."""

import numpy as np
import pytest
from ase.build import bulk, fcc111
from ase.eos import calculate_eos
from ase.filters import ExpCellFilter, FrechetCellFilter, StrainFilter, UnitCellFilter
from ase.optimize import BFGS, FIRE
from ase.stress import get_elasticity_tensor
from ase.units import GPa

from tests.zoo import zoo

FILTERS = [FrechetCellFilter, UnitCellFilter, StrainFilter]


@pytest.mark.parametrize("cell_filter", FILTERS, ids=lambda cls: cls.__name__)
def test_every_filter_takes_the_stress_away(calc, cell_filter):
    atoms = bulk("Si", cubic=True)
    atoms.set_cell(atoms.cell @ [[1.02, 0.01, 0], [0, 1.01, 0], [0, 0, 1]], scale_atoms=True)
    atoms.calc = calc
    before = np.abs(atoms.get_stress()).max()
    BFGS(cell_filter(atoms), logfile=None).run(fmax=0.01, steps=150)
    assert np.abs(atoms.get_stress()).max() < 0.1 * before


@pytest.mark.filterwarnings("ignore:Use FrechetCellFilter:DeprecationWarning")
def test_the_old_exponential_filter_still_works(calc):
    atoms = bulk("Si")
    atoms.calc = calc
    FIRE(ExpCellFilter(atoms), logfile=None).run(fmax=0.05, steps=50)
    assert np.abs(atoms.get_stress()).max() < 0.01


def test_a_cell_can_be_relaxed_under_pressure(calc):
    atoms = bulk("Si")
    atoms.calc = calc
    BFGS(FrechetCellFilter(atoms, scalar_pressure=5 * GPa), logfile=None).run(fmax=1e-3, steps=50)
    np.testing.assert_allclose(atoms.get_stress()[:3], -5 * GPa, atol=1e-3)


def test_positions_and_cell_relax_from_a_rattled_start(calc, silicon):
    silicon.calc = calc
    assert BFGS(FrechetCellFilter(silicon), logfile=None).run(fmax=1e-4, steps=200)
    assert np.linalg.norm(silicon.get_forces(), axis=1).max() < 1e-4


def test_a_slab_relaxes_in_its_plane_and_keeps_its_vacuum(calc):
    slab = fcc111("Cu", (1, 1, 3), a=3.7, vacuum=6.0)
    slab.calc = calc
    height = slab.cell[2].copy()
    mask = [True, True, False, False, False, True]
    BFGS(FrechetCellFilter(slab, mask=mask), logfile=None).run(fmax=0.01, steps=100)
    np.testing.assert_allclose(slab.cell[2], height, atol=1e-12)
    assert np.abs(slab.get_stress()[[0, 1, 5]]).max() < 1e-3


def test_the_bottom_of_the_equation_of_state_is_where_the_stress_vanishes(calc):
    atoms = zoo()["si_diamond_primitive"]
    atoms.calc = calc
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-5, steps=50)
    volume = calculate_eos(atoms, npoints=7, eps=0.01).fit()[0]
    assert volume == pytest.approx(atoms.get_volume(), rel=1e-3)


def test_the_elasticity_tensor_of_a_cubic_crystal_is_cubic(calc):
    atoms = bulk("Si", cubic=True)
    atoms.calc = calc
    BFGS(FrechetCellFilter(atoms), logfile=None).run(fmax=1e-5, steps=50)
    c = get_elasticity_tensor(atoms, h=1e-4)
    axes = range(3)
    np.testing.assert_allclose([c[i, i, i, i] for i in axes], c[0, 0, 0, 0], rtol=1e-3)
    np.testing.assert_allclose([c[i, i, i - 1, i - 1] for i in axes], c[0, 0, 2, 2], rtol=1e-3)
    np.testing.assert_allclose(c, c.transpose(2, 3, 0, 1), atol=1e-3 * np.abs(c).max())
