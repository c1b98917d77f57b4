"""ASE's optimisers, paths and response tools drive it."""

import numpy as np
import pytest
from ase.build import bulk
from ase.constraints import FixAtoms, FixSymmetry
from ase.mep import NEB, DyNEB
from ase.optimize import (
    BFGS,
    FIRE,
    FIRE2,
    LBFGS,
    BFGSLineSearch,
    CellAwareBFGS,
    GPMin,
    LBFGSLineSearch,
    MDMin,
)
from ase.optimize.sciopt import SciPyFminCG
from ase.phonons import Phonons
from ase.vibrations import Vibrations

from ase_symcalc import SymCalc
from tests.tolerances import TIGHT
from tests.zoo import zoo

FMAX = 0.01  # eV/Å


@pytest.mark.parametrize(
    "optimiser",
    [BFGS, LBFGS, FIRE, FIRE2, MDMin, GPMin, BFGSLineSearch, LBFGSLineSearch, SciPyFminCG],
    ids=lambda cls: cls.__name__,
)
def test_every_optimiser_finds_the_bottom(calc, silicon, optimiser):
    silicon.calc = calc
    before = silicon.get_potential_energy()
    optimiser(silicon, logfile=None).run(fmax=FMAX, steps=200)
    assert np.linalg.norm(silicon.get_forces(), axis=1).max() < FMAX
    assert silicon.get_potential_energy() < before


def test_a_tight_relaxation_converges_in_float64(calc, silicon):
    silicon.calc = calc
    assert BFGS(silicon, logfile=None).run(fmax=1e-6, steps=200)


def test_fixed_atoms_stay(calc, silicon):
    silicon.calc = calc
    silicon.set_constraint(FixAtoms([0, 3]))
    before = silicon.positions.copy()
    BFGS(silicon, logfile=None).run(fmax=FMAX, steps=100)
    np.testing.assert_array_equal(silicon.positions[[0, 3]], before[[0, 3]])


def test_a_path_may_share_one_calculator(calc):
    """And costs one evaluation per image and step, with the forces that own calculators give."""
    first = zoo()["ni_slab"]
    last = first.copy()
    last.positions[-1] += (0.4, 0.3, 0.1)

    def path(shared):
        images = [first.copy() for _ in range(4)] + [last.copy()]
        for image in images:
            image.calc = shared or SymCalc(calc.parameters["potential"])
        neb = NEB(images, method="improvedtangent", allow_shared_calculator=bool(shared))
        neb.interpolate()
        return neb

    np.testing.assert_allclose(path(calc).get_forces(), path(None).get_forces(), atol=TIGHT)
    FIRE(path(calc), logfile=None).run(fmax=0.01, steps=3)


def test_a_path_with_scaled_convergence_runs(calc, silicon):
    images = [silicon.copy() for _ in range(4)]
    images[-1].positions[0] += 0.2
    for image in images:
        image.calc = calc
    neb = DyNEB(images, method="improvedtangent", allow_shared_calculator=True, fmax=0.5)
    neb.interpolate()
    FIRE(neb, logfile=None).run(fmax=0.5, steps=3)


def test_symmetry_that_is_held_fixed_survives(calc):
    atoms = zoo()["ge_chiral"]
    atoms.calc = calc
    atoms.set_constraint(FixSymmetry(atoms))
    fractions = np.sort(atoms.get_scaled_positions()[:, 2])
    BFGS(atoms, logfile=None).run(fmax=1e-3, steps=50)
    np.testing.assert_allclose(np.sort(atoms.get_scaled_positions()[:, 2]), fractions, atol=1e-6)


def test_cell_and_positions_relax_together_in_one_optimiser(calc, silicon):
    from ase.filters import FrechetCellFilter

    silicon.calc = calc
    relax = CellAwareBFGS(FrechetCellFilter(silicon, exp_cell_factor=1.0), logfile=None)
    assert relax.run(fmax=FMAX, smax=1e-4, steps=200)
    assert np.abs(silicon.get_stress()).max() < 1e-4


def test_phonons_from_displacements_are_those_of_the_hessian(calc, tmp_path):
    atoms = bulk("Si", cubic=True)
    atoms.calc = calc
    BFGS(atoms, logfile=None).run(fmax=1e-6, steps=50)
    phonons = Phonons(atoms, calc, supercell=(1, 1, 1), delta=1e-3, name=tmp_path / "phonon")
    phonons.run()
    phonons.read(acoustic=False, symmetrize=3, cutoff=None)
    numerical = phonons.get_force_constant()[0]
    exact = calc.get_hessian(atoms).reshape(24, 24)
    np.testing.assert_allclose(numerical, exact, atol=1e-4 * np.abs(exact).max())


def test_vibrations_from_displacements_are_those_of_the_hessian(calc, tmp_path):
    atoms = zoo()["si_cluster"][:4]
    atoms.calc = calc
    BFGS(atoms, logfile=None).run(fmax=1e-3, steps=100)
    vibrations = Vibrations(atoms, name=tmp_path / "vibrations", delta=1e-3)
    vibrations.run()
    numerical = vibrations.get_vibrations().get_hessian_2d()
    exact = calc.get_hessian(atoms).reshape(12, 12)
    np.testing.assert_allclose(numerical, exact, atol=1e-4 * np.abs(exact).max())
