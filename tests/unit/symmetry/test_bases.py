"""Equivariant maps: their number, against what is known, and what they do."""

import numpy as np
import pytest
from ase.build import bulk
from ase.spacegroup import crystal
from scipy.spatial.transform import Rotation

from ase_symcalc.errors import NumericalError
from ase_symcalc.symmetry import (
    O3,
    POINT_GROUPS,
    SO3,
    Group,
    Scalar,
    V,
    equivariant_basis,
    equivariant_projector,
    invariant_basis,
    irrep,
    point_group,
    site_group,
)
from tests.unit.symmetry.test_groups import elements, rutile

# spglib 2.8 tells every caller that its way of failing will change

STRAIN = V.symmetric_square
ELASTICITY = STRAIN.symmetric_square
# Nye, Physical Properties of Crystals (1985), tables 9 and 8: elastic and piezoelectric constants
CONSTANTS = {
    **dict.fromkeys(["1", "-1"], 21),
    **dict.fromkeys(["2", "m", "2/m"], 13),
    **dict.fromkeys(["222", "mm2", "mmm"], 9),
    **dict.fromkeys(["4", "-4", "4/m", "3", "-3"], 7),
    **dict.fromkeys(["422", "4mm", "-42m", "4/mmm", "32", "3m", "-3m"], 6),
    **dict.fromkeys(["6", "-6", "6/m", "622", "6mm", "-6m2", "6/mmm"], 5),
    **dict.fromkeys(["23", "m-3", "432", "-43m", "m-3m"], 3),
}
PIEZOELECTRIC = {"1": 18, "2": 8, "m": 10, "222": 3, "mm2": 5, "4": 4, "-4": 4, "422": 1}
PIEZOELECTRIC |= {"4mm": 3, "-42m": 2, "3": 6, "32": 2, "3m": 4, "6": 4, "-6": 2, "622": 1}
PIEZOELECTRIC |= {"6mm": 3, "-6m2": 1, "23": 1, "-43m": 1}
POLAR = {"1": 3, "2": 1, "m": 2, "mm2": 1, "4": 1, "4mm": 1, "3": 1, "3m": 1, "6": 1, "6mm": 1}
FEATURES = 30 * Scalar + 10 * V + 3 * V**2 + V**3


def test_no_linear_map_makes_a_scalar_of_two_vectors():
    assert equivariant_basis(2 * V, Scalar, SO3).shape == (6, 0)
    assert equivariant_projector(2 * V, Scalar, SO3).nnz == 0


def test_two_vectors_enter_a_layer_in_32_ways():
    basis = equivariant_basis(2 * V, FEATURES, SO3)
    assert basis.shape == (684, 32)
    np.testing.assert_allclose(basis.T @ basis, np.eye(32), atol=1e-13)
    rotation = Rotation.random(random_state=1).as_matrix()
    turn_in, turn_out = (2 * V).matrix(rotation), FEATURES.matrix(rotation)
    for column in basis.T:
        weights = column.reshape(FEATURES.dim, 6)
        np.testing.assert_allclose(turn_out @ weights, weights @ turn_in.toarray(), atol=1e-13)


@pytest.mark.parametrize("name", POINT_GROUPS)
def test_crystals_have_as_many_constants_as_their_class_allows(name):
    group = point_group(name)
    assert invariant_basis(ELASTICITY, group).shape == (21, CONSTANTS[name])
    assert invariant_basis(V @ STRAIN, group).shape == (18, PIEZOELECTRIC.get(name, 0))
    assert invariant_basis(V, group).shape == (3, POLAR.get(name, 0))


def test_cubic_constants_are_c11_c12_and_c44():
    basis = invariant_basis(ELASTICITY, point_group("m-3m"))
    order = [(i, i) for i in range(6)] + [(i, j) for i in range(6) for j in range(i + 1, 6)][::-1]
    named = {(0, 0): 0, (1, 1): 0, (2, 2): 0, (3, 3): 1, (4, 4): 1, (5, 5): 1}
    named |= {(0, 1): 2, (0, 2): 2, (1, 2): 2}
    for row, pair in zip(basis, order, strict=True):
        expected = np.zeros(3)
        if pair in named:
            expected[named[pair]] = 3**-0.5
        np.testing.assert_allclose(row, expected, atol=1e-13)


@pytest.mark.parametrize("group", [SO3, O3], ids=str)
def test_an_isotropic_solid_has_two_constants(group):
    basis = invariant_basis(ELASTICITY, group)
    assert basis.shape == (21, 2)
    bulk_modulus = np.zeros(21)  # C_ijkl = δ_ij δ_kl
    bulk_modulus[:3] = 1
    bulk_modulus[[-1, -2, -6]] = 2**0.5
    np.testing.assert_allclose(basis @ (basis.T @ bulk_modulus), bulk_modulus, atol=1e-13)


def test_parity_matters_to_o3_only():
    assert equivariant_basis(V @ V, irrep("1e"), O3).shape[1] == 1
    assert equivariant_basis(V @ V, V, O3).shape[1] == 0
    assert equivariant_basis(V @ V, V, SO3).shape[1] == 1
    assert equivariant_basis(irrep("4e"), irrep("4e"), O3).shape[1] == 1
    assert equivariant_basis(irrep("4e"), irrep("3e"), SO3).shape[1] == 0


@pytest.mark.parametrize("name", ["m", "32", "-42m", "6mm", "-43m"])
def test_the_projector_is_the_average_over_the_group(name):
    rep_in, rep_out = V + irrep("2e"), STRAIN + 2 * V
    projector = equivariant_projector(rep_in, rep_out, point_group(name)).toarray()
    matrices = elements(point_group(name))
    average = np.mean([(rep_out @ rep_in).matrix(each).toarray() for each in matrices], axis=0)
    np.testing.assert_allclose(projector, average, atol=1e-13)
    weights = np.random.default_rng(0).normal(size=(rep_out.dim, rep_in.dim))
    nearest = (projector @ weights.ravel()).reshape(weights.shape)
    for each in matrices:
        turned = rep_out.matrix(each) @ nearest @ rep_in.matrix(each).T.toarray()
        np.testing.assert_allclose(turned, nearest, atol=1e-12)


def test_a_basis_depends_on_the_group_alone():
    few = point_group("-43m")
    many = Group("all of it", few.continuous, elements(few)[::-1])
    one, other = (invariant_basis(V**4, group) for group in (few, many))
    np.testing.assert_allclose(one, other, atol=1e-12)
    np.testing.assert_array_equal(one, invariant_basis(V**4, few))


def test_it_scales_to_thousands_of_rows():
    # isotropic tensors of rank 7: the Motzkin sum 36 (OEIS A005043)
    basis = equivariant_basis(V**3, V**4, SO3)
    assert basis.shape == (2187, 36)
    np.testing.assert_allclose(basis.T @ basis, np.eye(36), atol=1e-11)
    assert equivariant_basis(V**3, V**4, O3).shape == (2187, 0)
    assert equivariant_projector(100 * V, 20 * (V**2 + V), O3).shape == (72000, 72000)


def test_everything_is_allowed_without_symmetry():
    basis = invariant_basis(V**3, point_group("1"))
    np.testing.assert_allclose(basis, np.eye(27), atol=1e-14)


def test_sites_allow_the_forces_that_their_symmetry_leaves():
    assert invariant_basis(V, site_group(rutile(), 0)).shape == (3, 0)
    (allowed,) = invariant_basis(V, site_group(rutile() * (1, 2, 1), 2)).T
    np.testing.assert_allclose(abs(allowed), [0.5**0.5, 0.5**0.5, 0], atol=1e-12)
    quartz = crystal(
        "SiO",
        [(0.4697, 0, 2 / 3), (0.4135, 0.2669, 0.1191)],
        spacegroup=154,
        cellpar=[4.916, 4.916, 5.405, 90, 90, 120],
    )
    assert invariant_basis(V, site_group(quartz, 0)).shape == (3, 1)
    assert invariant_basis(V, site_group(quartz, 5)).shape == (3, 3)
    assert invariant_basis(V, site_group(bulk("Ti"), 0)).shape == (3, 0)
    assert invariant_basis(STRAIN, site_group(bulk("Ti"), 0)).shape == (6, 2)


def test_groups_too_close_to_another_are_refused():
    hardly = Rotation.from_rotvec([0, 0, 1e-5]).as_matrix()[None]
    with pytest.raises(NumericalError, match="no invariants of V under hardly were found to 1e-10"):
        invariant_basis(V, Group("hardly", np.empty((0, 3, 3)), hardly))
