"""Each piece of the network: equivariance, and what its formula promises."""

import math

import pytest
import torch
from e3nn.o3 import Irreps, rand_matrix, spherical_harmonics

from ase_symcalc.nn.activation import SILU_GAIN, Gate
from ase_symcalc.nn.angular import edge_harmonics
from ase_symcalc.nn.layout import blocks, from_e3nn, to_e3nn
from ase_symcalc.nn.linear import Linear, SpeciesLinear
from ase_symcalc.nn.radial import RadialGrid, RadialNetwork, bessel_basis, polynomial_cutoff

IRREPS = Irreps("4x0e+3x1o+2x2e")


def rotate(features, irreps, matrix):
    """Turn channel-last features."""
    turned = to_e3nn(features, irreps) @ irreps.D_from_matrix(matrix).T.to(features)
    return from_e3nn(turned, irreps)


@pytest.fixture(params=[1, -1], ids=["rotation", "mirror image"])
def matrix(request):
    return request.param * rand_matrix(dtype=torch.float64)


def features(irreps, n=5):
    return torch.randn(n, irreps.dim, dtype=torch.float64)


def test_layout_puts_channels_last_and_back():
    x = features(IRREPS)
    moved = from_e3nn(x, IRREPS)
    torch.testing.assert_close(to_e3nn(moved, IRREPS), x)
    vector = blocks(IRREPS)[1]
    torch.testing.assert_close(vector.of(moved)[:, 2, 1], x[:, 4 + 1 * 3 + 2])


@pytest.mark.parametrize("lmax", [0, 1, 2, 5])
def test_harmonics_are_those_of_e3nn(lmax):
    n = torch.nn.functional.normalize(torch.randn(20, 3, dtype=torch.float64), dim=1)
    expected = spherical_harmonics(list(range(lmax + 1)), n, False, "component")
    torch.testing.assert_close(edge_harmonics(n, lmax), expected, rtol=1e-12, atol=1e-12)


def test_linear_is_equivariant(matrix):
    out = Irreps("5x0e+2x1o+1x2e")
    linear = Linear(IRREPS, out).double()
    x = features(IRREPS)
    torch.testing.assert_close(
        linear(rotate(x, IRREPS, matrix)), rotate(linear(x), out, matrix), rtol=1e-10, atol=1e-12
    )


def test_linear_leaves_zero_what_the_input_cannot_reach():
    assert not Linear(Irreps("4x0e"), Irreps("2x0e+1x1o"))(torch.randn(3, 4))[:, 2:].any()


def test_linear_refuses_irreps_in_two_places():
    with pytest.raises(ValueError, match="one block each"):
        Linear(Irreps("2x0e+1x1o+2x0e"), IRREPS)


def test_species_linear_is_the_linear_map_of_each_species():
    linear = SpeciesLinear(IRREPS, IRREPS, 3).double()
    x, species = features(IRREPS), torch.tensor([2, 0, 0, 2, 2])
    mixed = linear(x, species)
    for s in (0, 2):
        rows = species == s
        torch.testing.assert_close(mixed[rows], linear(x[rows], species[rows]))
    assert linear(x[:0], species[:0]).shape == (0, IRREPS.dim)


def test_gate_is_equivariant(matrix):
    gate = Gate(IRREPS)
    assert gate.irreps_in == Irreps("9x0e+3x1o+2x2e")
    x = features(gate.irreps_in)
    turned = rotate(x, gate.irreps_in, matrix)
    torch.testing.assert_close(gate(turned), rotate(gate(x), IRREPS, matrix))


def test_gate_refuses_odd_scalars():
    with pytest.raises(ValueError, match="even parity"):
        Gate(Irreps("2x0o+1x1o"))


def test_silu_gain_keeps_unit_variance():
    z = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    density = torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    moment = torch.trapezoid(density * torch.nn.functional.silu(z) ** 2, z)
    assert abs(SILU_GAIN - moment.item() ** -0.5) < 1e-6


def test_cutoff_falls_from_one_to_zero_with_two_derivatives():
    r = torch.tensor([0.0, 4.999999, 5.0, 6.0], dtype=torch.float64, requires_grad=True)
    value = polynomial_cutoff(r, 5.0, 6)
    (slope,) = torch.autograd.grad(value.sum(), r, create_graph=True)
    (curvature,) = torch.autograd.grad(slope.sum(), r)
    assert value[0] == 1
    assert max(value[1:].abs().max(), slope[1:].abs().max(), curvature[1:].abs().max()) < 1e-4


def test_bessel_basis_is_orthonormal_without_its_envelope():
    r = torch.linspace(1e-6, 5, 20_001, dtype=torch.float64)
    basis = bessel_basis(r, 5.0, 4) / polynomial_cutoff(r, 5.0, 6).unsqueeze(1)
    basis = torch.nan_to_num(basis)[:-1]
    product = torch.einsum("ra,rb,r->ab", basis, basis, r[:-1] ** 2) * (r[1] - r[0])
    torch.testing.assert_close(product, torch.eye(4, dtype=torch.float64), rtol=0, atol=2e-3)


def spline(grid, network, r):
    interval, basis = grid(r)
    rows = network(grid.inputs.to(r))[interval.unsqueeze(1) + torch.arange(4)]
    return (basis.unsqueeze(2) * rows).sum(1)


def test_radial_splines_follow_the_network_and_vanish_at_the_cutoff():
    torch.manual_seed(0)
    grid, network = RadialGrid(5.0, 6, 128).double(), RadialNetwork((6, 16, 3)).double()
    r = torch.linspace(0.5, 4.9, 500, dtype=torch.float64)
    exact = network(bessel_basis(r, 5.0, 6))
    assert (spline(grid, network, r) - exact).abs().max() < 5e-3 * exact.abs().max()
    edge = torch.tensor([5.0, 5.0 - 1e-6], dtype=torch.float64)
    assert spline(grid, network, edge).abs().max() < 1e-15


def test_radial_splines_join_with_two_derivatives():
    torch.manual_seed(0)
    grid, network = RadialGrid(5.0, 6, 40).double(), RadialNetwork((6, 16, 1)).double()
    knot = 17 * grid.spacing
    sides = []
    for r in (knot - 1e-9, knot + 1e-9):
        r = torch.tensor([r], dtype=torch.float64, requires_grad=True)
        value = spline(grid, network, r).sum()
        (slope,) = torch.autograd.grad(value, r, create_graph=True)
        (curvature,) = torch.autograd.grad(slope.sum(), r)
        sides.append((value.item(), slope.item(), curvature.item()))
    assert sides[0] == pytest.approx(sides[1], rel=1e-6)
