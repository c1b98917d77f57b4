"""Compiled symmetric contractions against the plain ones."""

import pytest
import torch
from e3nn.o3 import Irreps

from ase_symcalc.nn.kernels import polynomial
from ase_symcalc.nn.product import contract, plain_contract
from ase_symcalc.nn.product_table import ProductTable


@pytest.mark.parametrize("correlation", [1, 2, 3])
@pytest.mark.parametrize("n_channels", [3, 32])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_values_and_gradient_are_those_of_the_plain_contraction(correlation, n_channels, dtype):
    table = ProductTable.build(Irreps("0e+1o+2e"), Irreps("0e+1o"), correlation)
    features = torch.randn(7, 9 * n_channels, dtype=dtype, requires_grad=True)
    weights = torch.randn(3, table.n_paths, n_channels, dtype=dtype)
    species = torch.tensor([0, 2, 2, 1, 0, 0, 2])
    plain = plain_contract(table, features, weights, species)
    seed = torch.randn_like(plain)
    (expected,) = torch.autograd.grad(plain, features, seed)
    x = features.detach()
    close = (
        {"rtol": 1e-4, "atol": 1e-4} if dtype is torch.float32 else {"rtol": 1e-11, "atol": 1e-11}
    )
    torch.testing.assert_close(
        polynomial.values(table, x, weights, species), plain.detach(), **close
    )
    pulled = polynomial.gradient(table, x, weights, species, seed)
    torch.testing.assert_close(pulled, expected, **close)


def test_no_atoms_are_fine():
    table = ProductTable.build(Irreps("0e"), Irreps("0e"), 2)
    empty = torch.zeros(0, 4)
    species = torch.zeros(0, dtype=torch.int64)
    assert polynomial.values(table, empty, torch.ones(1, 2, 4), species).shape == (0, 4)


def test_the_compiled_contraction_has_second_derivatives():
    table = ProductTable.build(Irreps("0e+1o"), Irreps("0e+1o"), 3)
    features = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, table.n_paths, 1, dtype=torch.float64)
    species = torch.tensor([1, 0])

    def f(x):
        return contract(table, x, weights, species)

    assert torch.autograd.gradcheck(f, features)
    assert torch.autograd.gradgradcheck(f, features)
