"""All checks together pass for what is sound, and name what is not."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones

from ase_symcalc.testing import assert_hessian_symmetric, assert_symmetry_exact, check
from tests.zoo import zoo


class Pushed(LennardJones):
    """Forces that no energy has: each atom is pushed round an axis."""

    def calculate(self, *args, **kwargs):
        super().calculate(*args, **kwargs)
        x, y, z = self.atoms.positions.T
        self.results["forces"] += 0.01 * np.column_stack([-y, x, 0 * z])


@pytest.mark.parametrize("name", ["si_diamond_primitive", "ni_slab_without_third_vector"])
def test_the_potential_of_the_tests_passes_all(calc, name):
    done = check(calc, {name: zoo()[name]})
    assert len(done) == 6
    assert [one.error for one in done] == [""] * 6


def test_any_calculator_can_be_checked():
    told = []
    done = check(EMT, {"copper": bulk("Cu", cubic=True)}, on_check=told.append)
    assert told == done
    assert {one.name for one in done if one.passed} >= {"extensive", "symmetry exact"}


def test_forces_without_an_energy_are_found():
    atoms = zoo()["si_cluster"]
    calc = Pushed(sigma=2.2, rc=20.0)
    (failed,) = {one.name for one in check(calc, {"a": atoms}) if "gradients" in one.name}
    assert failed
    with pytest.raises(AssertionError, match="expected differences of the forces to be symmetric"):
        assert_hessian_symmetric(calc, atoms)
    with pytest.raises(AssertionError, match="forces"):
        assert_symmetry_exact(calc, bulk("Si", cubic=True))


def test_a_calculator_that_fails_has_failed():
    done = check(EMT(), {"silicon": bulk("Si")})
    assert not any(one.passed for one in done)
    assert "NotImplementedError" in done[0].error
