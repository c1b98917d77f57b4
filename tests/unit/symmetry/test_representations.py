"""The algebra of representations: it must be one, and print as itself."""

import dataclasses

import numpy as np
import pytest
import scipy.linalg
import torch
from e3nn import o3
from scipy.spatial.transform import Rotation

from ase_symcalc.errors import InputError
from ase_symcalc.symmetry import Scalar, V, irrep

STRAIN = V.symmetric_square
ZOO = [
    Scalar,
    V,
    irrep("0o"),
    irrep("2e"),
    irrep("3e"),
    irrep("6o"),
    2 * V + Scalar,
    V**2,
    V**3 + 2 * (V @ irrep("1e")),
    (V + Scalar) @ (2 * V + irrep("2o")),
    STRAIN,
    V.antisymmetric_square,
    STRAIN.symmetric_square,
    (V + irrep("0o")).symmetric_square @ V,
    2 * (V + irrep("2e")) + V,
]


def turn(seed, sign=1):
    return sign * Rotation.random(random_state=seed).as_matrix()


def rate(seed):
    matrix = np.random.default_rng(seed).normal(size=(3, 3))
    return matrix - matrix.T


@pytest.mark.parametrize("rep", ZOO, ids=str)
def test_it_multiplies_as_the_group_does(rep):
    one, other = turn(1), turn(2, sign=-1)
    product = rep.matrix(one) @ rep.matrix(other)
    np.testing.assert_allclose(rep.matrix(one @ other).toarray(), product.toarray(), atol=1e-13)
    square = (product @ product.T).toarray()
    np.testing.assert_allclose(square, np.eye(rep.dim), atol=1e-13)
    assert rep.matrix(one).format == "csr"


@pytest.mark.parametrize("rep", ZOO, ids=str)
def test_a_generator_is_the_derivative(rep):
    generator = rep.generator(rate(3)).toarray()
    np.testing.assert_allclose(generator, -generator.T, atol=1e-13)
    turned = rep.matrix(scipy.linalg.expm(rate(3))).toarray()
    np.testing.assert_allclose(scipy.linalg.expm(generator), turned, atol=1e-11)


@pytest.mark.parametrize("rep", ZOO, ids=str)
def test_blocks_do_not_mix_and_leave_nothing_out(rep):
    blocks = list(rep.blocks())
    everything = np.concatenate([indices for indices, _ in blocks])
    assert sorted(everything) == list(range(rep.dim))
    assembled = np.zeros((rep.dim, rep.dim))
    for indices, block in blocks:
        assembled[np.ix_(indices, indices)] = block.matrix(turn(4)).toarray()
    np.testing.assert_allclose(assembled, rep.matrix(turn(4)).toarray(), atol=1e-14)


@pytest.mark.parametrize("rep", ZOO, ids=str)
def test_it_prints_as_what_builds_it(rep):
    twin = eval(str(rep), {"V": V, "Scalar": Scalar, "irrep": irrep})
    assert twin == rep
    assert hash(twin) == hash(rep)


@pytest.mark.parametrize("name", ["0e", "0o", "1e", "1o", "2e", "3o", "5e"])
def test_irreps_are_those_of_e3nn(name):
    element = turn(5, sign=-1)
    known = o3.Irrep(name).D_from_matrix(torch.tensor(element)).numpy()
    # e3nn goes through Euler angles in single precision
    np.testing.assert_allclose(irrep(name).matrix(element).toarray(), known, atol=1e-5)


def test_a_vector_turns_as_vectors_do():
    element = turn(6, sign=-1)
    np.testing.assert_allclose(V.matrix(element).toarray(), element, atol=1e-15)
    np.testing.assert_array_equal(V.generator(rate(6)).toarray(), rate(6))
    np.testing.assert_array_equal(Scalar.matrix(element).toarray(), [[1]])
    assert irrep("1o") == V


def test_products_have_their_last_index_run_fastest():
    one, two = V.matrix(turn(7)).toarray(), irrep("2e").matrix(turn(7)).toarray()
    both = (V @ irrep("2e")).matrix(turn(7)).toarray()
    np.testing.assert_allclose(both, np.kron(one, two), atol=1e-14)


def test_strain_is_in_the_order_of_voigt():
    strain, element = np.array([[1.0, 6, 5], [6, 2, 4], [5, 4, 3]]), turn(8)

    def components(tensor):
        return tensor[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] * np.sqrt([1, 1, 1, 2, 2, 2])

    turned = components(element @ strain @ element.T)
    np.testing.assert_allclose(STRAIN.matrix(element) @ components(strain), turned, atol=1e-13)


def test_equal_parts_are_put_together():
    assert str(V + V + Scalar + V) == "2 * V + Scalar + V"
    assert str(2 * (3 * V)) == "6 * V"
    assert V @ Scalar == V**1 == 1 * V == V
    assert Scalar == V**0
    assert str(V @ V @ irrep("2e")) == 'V**2 @ irrep("2e")'
    assert (30 * Scalar + 10 * V + 3 * V**2 + V**3).dim == 114
    assert (STRAIN.dim, V.antisymmetric_square.dim, STRAIN.symmetric_square.dim) == (6, 3, 21)


def test_nothing_can_be_changed():
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
        V.l = 2


def test_what_means_nothing_is_refused():
    with pytest.raises(InputError, match="expected at least one copy of V, got 0"):
        0 * V
    with pytest.raises(InputError, match="expected a power of at least 0 of V, got -1"):
        V**-1
    with pytest.raises(InputError, match="expected degree and parity such as \"2e\", got 'vector'"):
        irrep("vector")
