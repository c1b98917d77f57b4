"""Kernels of the evaluation against what torch makes of the same formulas."""

import numpy as np
import pytest
import torch
from e3nn import o3
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_symcalc.inference import Surroundings
from ase_symcalc.inference.build import gate_table
from ase_symcalc.inference.coordinates import RadialGrid
from ase_symcalc.inference.packing import linear_map
from ase_symcalc.inference.plan import Plan
from ase_symcalc.inference.tiles import Tiling
from ase_symcalc.nn.activation import ACTIVATIONS, Gate
from ase_symcalc.nn.angular import edge_harmonics
from ase_symcalc.nn.kernels.edges import (
    harmonics_gradient_kernel,
    harmonics_kernel,
)
from ase_symcalc.nn.kernels.filling import clearing_kernel
from ase_symcalc.nn.kernels.images import images_kernel
from ase_symcalc.nn.kernels.ordering import order_kernel, starts_kernel
from ase_symcalc.nn.layout import blocks
from ase_symcalc.nn.linear import Linear, SpeciesLinear
from ase_symcalc.nn.spline import SplineInterpolation
from ase_symcalc.symmetry.expand import RotatedImages, Rotations

DTYPES = {np.float64: torch.float64, np.float32: torch.float32}
muls = st.integers(1, 40)


@st.composite
def irreps_of_maps(draw):
    """Irreps before and after a linear map; some irreps on one side only."""
    kinds = ["0o", "1o", "2e"]
    sides = []
    for _ in range(2):
        chosen = ["0e", *draw(st.lists(st.sampled_from(kinds), max_size=3, unique=True))]
        sides.append(o3.Irreps([(draw(muls), kind) for kind in sorted(chosen)]))
    return sides


def run(plan):
    """Run calls that know all their arguments."""
    plan.finish()
    nothing = np.zeros(0, dtype=np.int64)
    seen = Surroundings(np.zeros((0, 3)), nothing, nothing, nothing, 0)
    plan.run(seen, np.zeros(0), derivatives=False)


def close(actual, expected, dtype):
    tolerance = 1e-12 if dtype == np.float64 else 1e-4
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance)


@settings(max_examples=30, deadline=None)
@given(irreps_of_maps(), st.integers(1, 23), st.sampled_from([np.float64, np.float32]))
def test_maps_of_all_species_together(irreps, n, dtype):
    before, after = irreps
    torch.manual_seed(0)
    module = SpeciesLinear(before, after, 3).to(DTYPES[dtype])
    species = np.arange(n) * 7 % 3
    x = torch.randn(n, before.dim, dtype=DTYPES[dtype], requires_grad=True)
    expected = module(x, torch.tensor(species))
    g = torch.randn_like(expected)
    (pulled,) = torch.autograd.grad(expected, x, g)
    mapped, rows = linear_map(module, dtype), x.detach().numpy()
    out, back = np.full((n, after.dim), np.nan, dtype), np.full((n, before.dim), np.nan, dtype)
    gradient = g.numpy()
    tiling, plan = Tiling(species, [*range(0, n, 8), n]), Plan(0, 0, 1)
    order = tiling.order.ctypes.data
    for tile in tiling.tiles:
        mapped.forward(plan, rows.ctypes.data, out.ctypes.data, tile, order)
        mapped.backward(plan, gradient.ctypes.data, back.ctypes.data, tile, order)
    run(plan)
    close(out, expected.detach().numpy(), dtype)
    close(back, pulled.numpy(), dtype)


def test_a_map_adds_to_what_is_there_or_starts_with_its_bias():
    irreps = o3.Irreps("5x0e+3x1o")
    module = Linear(irreps, irreps).double()
    x = np.random.default_rng(0).normal(size=(6, irreps.dim))
    expected = module(torch.tensor(x)).detach().numpy()
    bias = np.random.default_rng(1).normal(size=(2, irreps.dim))
    species = np.array([0, 1, 1, 0, 0, 1])
    tiling = Tiling(species, [0, 6])
    (tile,) = tiling.tiles
    out = np.zeros_like(x)
    mapped = linear_map(module, np.float64, bias=bias)
    for onto in (False, True):
        plan = Plan(0, 0, 1)
        places = (x.ctypes.data, out.ctypes.data)
        mapped.forward(plan, *places, tile, tiling.order.ctypes.data, onto=onto)
        run(plan)
        np.testing.assert_allclose(out, (1 + onto) * expected + bias[species], atol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("irreps", "odd"), [("16x0e+8x1o+3x2e", "tanh"), ("4x0o+7x0e+5x1e", "silu"), ("3x0e", "tanh")]
)
def test_gates_and_their_derivatives(irreps, odd, dtype):
    gate = Gate(o3.Irreps(irreps), odd=odd)
    table, real = gate_table(gate), "double" if dtype == np.float64 else "float"
    scale = torch.logspace(-3, 3, 7, dtype=DTYPES[dtype])[:, None]
    x = (torch.randn(7, gate.irreps_in.dim, dtype=DTYPES[dtype]) * scale).requires_grad_()
    expected = gate(x)
    g = torch.randn_like(expected)
    (pulled,) = torch.autograd.grad(expected, x, g)
    rows, gradient = x.detach().numpy(), g.numpy()
    out, back = np.empty(expected.shape, dtype), np.empty(rows.shape, dtype)
    table.kernel(real, derivative=False)(0, 7, rows.ctypes.data, 0, out.ctypes.data)
    table.kernel(real, derivative=True)(
        0, 7, rows.ctypes.data, gradient.ctypes.data, back.ctypes.data
    )
    eps = np.finfo(dtype).eps
    size = np.abs(rows).max(axis=1, keepdims=True) + 1
    assert (np.abs(out - expected.detach().numpy()) < 40 * eps * size**2).all()
    assert (np.abs(back - pulled.numpy()) < 200 * eps * size**2).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_of_scalars_and_gates(name, dtype):
    gate = Gate(o3.Irreps("9x0e+2x0o+3x1o"), even=name, odd=name, gates=name)
    table, real = gate_table(gate), "double" if dtype == np.float64 else "float"
    x = torch.linspace(-19, 19, 9 * gate.irreps_in.dim, dtype=DTYPES[dtype]).reshape(9, -1)
    expected = gate(x.requires_grad_())
    g = torch.ones_like(expected)
    (pulled,) = torch.autograd.grad(expected, x, g)
    rows, gradient = x.detach().numpy(), g.numpy()
    out, back = np.empty(expected.shape, dtype), np.empty(rows.shape, dtype)
    table.kernel(real, derivative=False)(0, 9, rows.ctypes.data, 0, out.ctypes.data)
    table.kernel(real, derivative=True)(
        0, 9, rows.ctypes.data, gradient.ctypes.data, back.ctypes.data
    )
    tolerance = 1e3 * np.finfo(dtype).eps
    np.testing.assert_allclose(out, expected.detach().numpy(), rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(back, pulled.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_what_is_not_a_number_stays_so(name):
    table = gate_table(Gate(o3.Irreps("2x0e+1x1o"), even=name, gates=name))
    x = np.full((1, table.dim_x), np.nan)
    out = np.zeros((1, table.dim_out))
    table.kernel("double", derivative=False)(0, 1, x.ctypes.data, 0, out.ctypes.data)
    assert np.isnan(out).all()


@pytest.mark.parametrize("lmax", range(5))
def test_harmonics_and_their_gradient(lmax):
    v = torch.randn(9, 3, dtype=torch.float64).requires_grad_()
    lengths = v.norm(dim=1)
    expected = edge_harmonics(v / lengths[:, None], lmax) + 0 * lengths[:, None]
    dy, dr = torch.randn_like(expected), torch.randn(9, dtype=torch.float64)
    (pulled,) = torch.autograd.grad([expected, lengths], v, [dy, dr])
    vectors, dy, dr = v.detach().numpy(), dy.numpy(), dr.numpy()
    y, r, dv = np.empty((9, (lmax + 1) ** 2)), np.empty(9), np.empty((9, 3))
    harmonics_kernel(lmax)(0, 9, vectors.ctypes.data, y.ctypes.data, r.ctypes.data)
    addresses = (a.ctypes.data for a in (vectors, dy, dr, dv))
    harmonics_gradient_kernel(lmax)(0, 9, *addresses)
    np.testing.assert_allclose(y, expected.detach().numpy(), atol=1e-13)
    np.testing.assert_allclose(r, lengths.detach().numpy(), atol=1e-14)
    np.testing.assert_allclose(dv, pulled.numpy(), atol=1e-12)


@pytest.mark.parametrize("degree", [3, 7])
def test_splines_and_their_slopes(degree):
    spline = SplineInterpolation((0.0, 1.1, 4.0), 12, degree)
    r = torch.tensor([0.0, 0.1, 1.1, 1.2, 3.99, 4.0], dtype=torch.float64, requires_grad=True)
    interval, basis = spline(r)
    slopes = torch.stack(
        [torch.autograd.grad(c.sum(), r, retain_graph=True)[0] for c in basis.unbind(1)], dim=1
    )
    first, lengths = np.arange(6) * 100, r.detach().numpy()
    where, values, slope = np.zeros(6, dtype=np.int64), *np.empty((2, *basis.shape))
    grid = RadialGrid.of(spline)
    for by_edge in (False, True):
        places = (a.ctypes.data for a in (first, where, lengths, values, slope))
        grid.kernel(by_edge=by_edge)(0, 6, *places)
        np.testing.assert_array_equal(where, interval.numpy() + by_edge * first)
        np.testing.assert_allclose(values, basis.detach().numpy(), atol=1e-13)
        np.testing.assert_allclose(slope, slopes.numpy(), atol=1e-11)


def test_images_and_the_way_back():
    irreps = o3.Irreps("3x0e+2x0o+16x1o+1x1e+4x2e")
    turns = o3.rand_matrix(3).double().numpy() * np.array([1, -1, 1])[:, None, None]
    centre, operation = np.array([1, 0, 1, 1]), np.array([2, 0, 1, 2])
    images = RotatedImages(centre, [(Rotations(turns), operation)])
    x = torch.randn(2, irreps.dim, dtype=torch.float64).requires_grad_()
    expected = images(x, str(irreps))
    g = torch.randn_like(expected)
    (pulled,) = torch.autograd.grad(expected, x, g)
    shapes = blocks(irreps)
    degrees = tuple((b.l, b.p) for b in shapes)
    source, turned_by, packed = images.packed(degrees, np.float64)
    features, gradient = x.detach().numpy(), g.numpy()
    out, back = np.empty((4, irreps.dim)), gradient[:2].copy()
    fixed = (source.ctypes.data, turned_by.ctypes.data, packed.ctypes.data)
    images_kernel(shapes, "double", False)(0, 4, *fixed, features.ctypes.data, out.ctypes.data)
    behind = np.ascontiguousarray(gradient[2:])
    images_kernel(shapes, "double", True)(0, 4, *fixed, back.ctypes.data, behind.ctypes.data)
    np.testing.assert_allclose(out, expected.detach().numpy()[2:], atol=1e-13)
    np.testing.assert_allclose(back, pulled.numpy(), atol=1e-13)


@given(st.lists(st.integers(0, 5), max_size=30))
@settings(deadline=None)
def test_edges_sorted_by_row(index):
    index = np.array(index, dtype=np.int64)
    starts, order = np.full(8, -1), np.full(len(index), -1)
    size = np.array([6])
    addresses = (array.ctypes.data for array in (size, index, starts, order))
    order_kernel()(0, len(index), *addresses)
    np.testing.assert_array_equal(order, np.argsort(index, kind="stable"))
    counts = np.bincount(index, minlength=6)
    np.testing.assert_array_equal(np.diff(starts[:7]), counts)
    ascending, starts = index[order], np.full(8, -1)
    starts_kernel()(0, len(index), *(array.ctypes.data for array in (size, ascending, starts)))
    np.testing.assert_array_equal(np.diff(starts[:7]), counts)
    assert (starts[0], starts[7]) == (0, -1)


def test_calls_run_in_order_and_in_parts():
    """Parts follow the number of edges, which may be another in each run."""
    plan = Plan(3, 10, 4)
    clear = clearing_kernel("double")
    plan.call(clear, 0, 3, plan.number(1), plan.energies)
    width = plan.number(3)
    plan.each_part(lambda first, last: plan.call(clear, first, last, width, plan.gradient))
    plan.finish()
    for n in (0, 3, 10):
        index = np.zeros(n, dtype=np.int64)
        seen = Surroundings(np.zeros((n, 3)), index, index, np.zeros(3, dtype=np.int64), 3)
        energies, gradient = plan.run(seen, np.ones(3), derivatives=True)
        assert not energies.any()
        assert not gradient.any()
        assert gradient.shape == (n, 3)
