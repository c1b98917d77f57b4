"""Compiled symmetric contractions against the plain ones."""

import pytest
import torch
from e3nn.o3 import Irreps

from ase_symcalc.nn import product
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


@pytest.mark.parametrize("correlation", [1, 2, 3])
def test_the_compiled_contraction_has_second_derivatives(correlation):
    table = ProductTable.build(Irreps("0e+1o"), Irreps("0e+1o"), correlation)
    features = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, table.n_paths, 1, dtype=torch.float64, requires_grad=True)
    species = torch.tensor([1, 0, 1])

    def f(x, w):
        return contract(table, x, w, species)

    assert torch.autograd.gradcheck(f, (features, weights))
    assert torch.autograd.gradgradcheck(f, (features, weights))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_training_on_gradients_is_that_of_the_plain_contraction(dtype):
    table = ProductTable.build(Irreps("0e+1o+2e"), Irreps("0e+1o"), 3)
    features = torch.randn(7, 9 * 32, dtype=dtype, requires_grad=True)
    weights = torch.randn(3, table.n_paths, 32, dtype=dtype, requires_grad=True)
    species = torch.tensor([0, 2, 2, 1, 0, 0, 2])
    target = torch.randn(7, 9 * 32, dtype=dtype)

    def learn(contraction):
        energy = contraction(table, features, weights, species).square().sum()
        (pulled,) = torch.autograd.grad(energy, features, create_graph=True)
        return torch.autograd.grad(energy + (pulled - target).square().sum(), (features, weights))

    for found, expected in zip(learn(contract), learn(plain_contract), strict=True):
        error = (found - expected).abs().max() / expected.abs().max()
        assert error < (1e-5 if dtype is torch.float32 else 1e-13)


def test_forces_do_not_pay_for_gradients_by_weights(monkeypatch):
    table = ProductTable.build(Irreps("0e+1o"), Irreps("0e"), 2)
    features = torch.randn(2, 4 * 8, requires_grad=True)
    stored = torch.randn(1, table.n_paths, 8, requires_grad=True)
    species = torch.zeros(2, dtype=torch.int64)
    energy = contract(table, 2 * features, 2 * stored, species).sum()
    monkeypatch.setattr(product, "plain_contract", None)  # what gives gradients by weights there
    torch.autograd.grad(energy, features, create_graph=True)
