"""Moduli, stability and orientation of given elastic constants."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from ase_symcalc.apps.elastic_tensor import eigenvalues, moduli, turned, young_along

TURN = Rotation.from_rotvec((0.4, -0.9, 0.6)).as_matrix()


def cubic(c11, c12, c44):
    constants = np.diag([c11] * 3 + [c44] * 3).astype(float)
    constants[:3, :3] += c12 * (1 - np.eye(3))
    return constants


COPPER = cubic(168.4, 121.4, 75.4)


def test_cubic_moduli_are_those_of_the_textbook():
    m = moduli(COPPER)
    assert m.bulk == m.bulk_voigt == pytest.approx((168.4 + 2 * 121.4) / 3)
    assert m.shear_voigt == pytest.approx((168.4 - 121.4 + 3 * 75.4) / 5)
    assert m.shear_reuss == pytest.approx(5 * 47 * 75.4 / (4 * 75.4 + 3 * 47))
    assert m.young == pytest.approx(9 * m.bulk * m.shear / (3 * m.bulk + m.shear))
    assert m.poisson == pytest.approx(m.young / (2 * m.shear) - 1)
    zener = 2 * 75.4 / 47
    assert m.universal_anisotropy == pytest.approx(
        6 / 5 * (np.sqrt(zener) - 1 / np.sqrt(zener)) ** 2
    )


def test_isotropic_bodies_have_one_modulus_of_each_kind():
    m = moduli(cubic(200.0, 100.0, 50.0))
    assert m.shear_voigt == pytest.approx(50)
    assert m.shear_reuss == pytest.approx(50)
    assert m.universal_anisotropy == pytest.approx(0, abs=1e-12)
    directions = np.random.default_rng(0).normal(size=(20, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    values = young_along(cubic(200.0, 100.0, 50.0), directions)
    np.testing.assert_allclose(values, m.young)


def test_youngs_modulus_of_copper_is_largest_along_the_diagonal():
    along = young_along(COPPER, np.array([(1, 0, 0), np.ones(3) / np.sqrt(3)], dtype=float))
    np.testing.assert_allclose(along, (66.7, 191.1), rtol=5e-3)


def test_turning_leaves_invariants_alone_and_can_be_undone():
    rng = np.random.default_rng(1)
    constants = rng.normal(size=(6, 6))
    constants = constants @ constants.T + 5 * np.eye(6)
    other = turned(constants, TURN)
    assert abs(other - constants).max() > 0.1
    np.testing.assert_allclose(turned(other, TURN.T), constants, atol=1e-12)
    np.testing.assert_allclose(eigenvalues(other), eigenvalues(constants))
    for one, two in zip(*(vars_of(moduli(c)) for c in (constants, other)), strict=True):
        assert one == pytest.approx(two)
    axis = TURN[:, :1].T  # where x goes
    x = np.array([[1.0, 0, 0]])
    np.testing.assert_allclose(young_along(other, axis), young_along(constants, x))


def vars_of(found):
    return [getattr(found, name) for name in type(found).__slots__]


@pytest.mark.parametrize(
    ("constants", "stable"),
    [
        (COPPER, True),
        (cubic(100, 120, 75), False),  # C11 < C12
        (cubic(100, -60, 75), False),  # C11 + 2 C12 < 0
        (cubic(168, 121, -1), False),  # C44 < 0
    ],
)
def test_eigenvalues_are_borns_conditions(constants, stable):
    values = eigenvalues(constants)
    assert (values[0] > 0) == stable
    c11, c12, c44 = constants[0, 0], constants[0, 1], constants[3, 3]
    expected = sorted([c11 - c12] * 2 + [c11 + 2 * c12] + [2 * c44] * 3)
    np.testing.assert_allclose(values, expected, atol=1e-9)
