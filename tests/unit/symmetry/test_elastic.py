import numpy as np
import pytest
from ase.stress import full_3x3_to_voigt_6_strain

from ase_symcalc.symmetry import O3, SO3, elastic_basis, point_group

COUNTS = {
    "1": 21, "2/m": 13, "mmm": 9, "4/m": 7, "4/mmm": 6, "-3": 7, "-3m": 6, "6/m": 5, "m-3m": 3,
}  # fmt: skip


@pytest.mark.parametrize("name", COUNTS)
def test_every_class_has_its_constants(name):
    assert elastic_basis(point_group(name)).shape == (COUNTS[name], 6, 6)


@pytest.mark.parametrize("group", [SO3, O3])
def test_isotropic_bodies_have_two(group):
    first, second = elastic_basis(group)
    for c in (first, second):
        assert c[0, 0] - c[0, 1] == pytest.approx(2 * c[3, 3], abs=1e-12)


def test_cubic_constants_stand_where_voigt_has_them():
    basis = elastic_basis(point_group("m-3m"))
    c11, c12, c44 = 168.0, 121.0, 75.0
    expected = np.diag([c11] * 3 + [c44] * 3)
    expected[:3, :3] += c12 * (1 - np.eye(3))
    factors = np.outer(*[np.repeat([1, np.sqrt(2)], 3)] * 2) ** 2
    amounts = np.einsum("nij,ij,ij->n", basis, expected, factors)
    np.testing.assert_allclose(np.tensordot(amounts, basis, 1), expected, atol=1e-10)


@pytest.mark.parametrize("name", ["-3", "4/m", "-43m", "2/m"])
def test_energies_of_strains_do_not_change_when_these_are_turned(name):
    group = point_group(name)
    rng = np.random.default_rng(0)
    strain = rng.normal(size=(3, 3))
    strain += strain.T
    for turn in group.discrete:
        one, other = map(full_3x3_to_voigt_6_strain, (strain, turn @ strain @ turn.T))
        for c in elastic_basis(group):
            np.testing.assert_allclose(c, c.T, atol=0)
            assert one @ c @ one == pytest.approx(other @ c @ other, abs=1e-10)
