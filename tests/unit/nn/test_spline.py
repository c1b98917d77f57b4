"""Splines through given functions, and tables of them."""

import pytest
import torch

from ase_symcalc.nn.radial import cubic_splines
from ase_symcalc.nn.spline import SplineInterpolation, b_splines
from ase_symcalc.nn.tabulated import TabulatedFunctions, fine_spline

CUTOFF = 5.0


def evaluate(spline, coefficients, lengths):
    interval, basis = spline(lengths)
    return sum(basis[:, q : q + 1] * coefficients[interval + q] for q in range(spline.n_taps))


def waves(r):
    return torch.stack([torch.sin(3 * r), torch.exp(-r), r**3 / 100], dim=1)


def kinked(r):
    """1 up to 3.2, with a jump of the second derivative there."""
    return torch.where(r < 3.2, torch.ones_like(r), 1 - (r - 3.2) ** 2 / 5).unsqueeze(1)


def test_a_spline_takes_the_values_it_was_given():
    spline = SplineInterpolation((0.0, CUTOFF), 40)
    values = waves(spline.points)
    found = evaluate(spline, spline.coefficients(values), spline.points)
    torch.testing.assert_close(found, values, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("function", "breaks"), [(waves, (0.0, CUTOFF)), (kinked, (0.0, 3.2, CUTOFF))]
)
def test_the_error_falls_with_the_fourth_power_of_the_spacing(function, breaks):
    lengths = torch.linspace(0.01, CUTOFF, 999, dtype=torch.float64)
    errors = []
    for n in (200, 400):
        spline = SplineInterpolation(breaks, n)
        found = evaluate(spline, spline.coefficients(function(spline.points)), lengths)
        errors.append(float((found - function(lengths)).abs().max()))
    assert errors[1] < errors[0] / 12
    assert errors[1] < 1e-6


@pytest.mark.parametrize(
    ("function", "breaks"), [(waves, (0.0, CUTOFF)), (kinked, (0.0, 3.2, CUTOFF))]
)
def test_fine_splines_come_close_to_rounding(function, breaks):
    lengths = torch.linspace(0.0, CUTOFF, 999, dtype=torch.float64)
    errors = []
    for n in (40, 80, 300):
        spline = fine_spline(breaks, n)
        found = evaluate(spline, spline.coefficients(function(spline.points)), lengths)
        errors.append(float((found - function(lengths)).abs().max()))
    if function is waves:
        assert errors[1] < errors[0] / 200  # the eighth power
    assert errors[2] < 5e-12


def test_the_splines_of_any_degree_are_a_partition_of_one():
    u = torch.linspace(0, 1, 11, dtype=torch.float64)
    for degree in (1, 3, 5, 7):
        basis = b_splines(u, degree)
        assert basis.shape == (11, degree + 1)
        torch.testing.assert_close(basis.sum(1), torch.ones_like(u), rtol=0, atol=1e-15)
    torch.testing.assert_close(b_splines(u, 3), cubic_splines(u), rtol=0, atol=1e-15)


def test_without_a_break_a_kink_costs_orders_of_magnitude():
    lengths = torch.linspace(0.01, CUTOFF, 999, dtype=torch.float64)
    errors = {}
    for breaks in ((0.0, CUTOFF), (0.0, 3.2, CUTOFF)):
        spline = SplineInterpolation(breaks, 100)
        found = evaluate(spline, spline.coefficients(kinked(spline.points)), lengths)
        errors[breaks] = float((found - kinked(lengths)).abs().max())
    assert errors[0.0, CUTOFF] > 10 * errors[0.0, 3.2, CUTOFF]


def test_intervals_stay_within_the_table():
    spline = SplineInterpolation((0.0, 3.2, CUTOFF), 60)
    interval, _ = spline(torch.tensor([0.0, 1e-9, 3.2 - 1e-9, 3.2, CUTOFF], dtype=torch.float64))
    assert interval.min() == 0
    assert interval.max() + spline.n_taps == len(spline.points)
    assert spline.n_intervals + spline.n_taps - 1 == len(spline.points)


class Exponential(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rate = torch.nn.Parameter(torch.tensor(1.3))

    def forward(self, lengths):
        return [torch.exp(-self.rate * lengths).unsqueeze(1)]


@pytest.fixture
def tabulated():
    return TabulatedFunctions(Exponential(), (0.0, CUTOFF), 100).requires_grad_(False)


def summed(weights):
    taps = range(weights.basis.shape[1])
    return sum(weights.basis[:, q] * weights.tables[0][weights.interval + q, 0] for q in taps)


def test_float64_is_exact_and_float32_is_splined(tabulated):
    lengths = torch.linspace(0.5, 4.9, 20, dtype=torch.float64)
    exact = tabulated.double()(lengths)
    assert exact.basis.shape[1] == 1
    rate = tabulated.functions.rate
    assert torch.equal(summed(exact), torch.exp(-rate * lengths))
    splined = tabulated.float()(lengths.float())
    assert splined.basis.shape[1] == 4
    torch.testing.assert_close(summed(splined), summed(exact).float(), rtol=1e-5, atol=1e-6)


def test_tables_are_made_once_and_again_when_a_weight_changes(tabulated):
    lengths = torch.tensor([1.0, 2.0])
    first = tabulated(lengths).tables[0]
    assert tabulated(lengths).tables[0] is first
    tabulated.functions.rate.mul_(2)
    assert not torch.allclose(tabulated(lengths).tables[0], first)


def test_weights_that_are_trained_get_gradients_through_the_table(tabulated):
    lengths = torch.tensor([1.0, 2.0])
    tabulated.requires_grad_()
    (gradient,) = torch.autograd.grad(summed(tabulated(lengths)).sum(), [tabulated.functions.rate])
    expected = -(lengths * torch.exp(-1.3 * lengths)).sum()
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=0)


def test_no_intervals_means_no_splines():
    tabulated = TabulatedFunctions(Exponential(), (0.0, CUTOFF), 0)
    assert tabulated(torch.tensor([1.0])).basis.shape[1] == 1


def test_float64_may_have_splines_where_nothing_exact_is_at_hand():
    tabulated = TabulatedFunctions(Exponential(), (0.0, CUTOFF), 100, 300).requires_grad_(False)
    lengths = torch.linspace(0.5, 4.9, 20, dtype=torch.float64)
    exact = tabulated.double()(lengths)
    assert exact.basis.shape[1] == 1
    assert tabulated.spline_for(torch.float64) is tabulated.fine
    assert tabulated.spline_for(torch.float32) is tabulated.spline
    tabulated.exact = ()
    torch.testing.assert_close(summed(tabulated(lengths)), summed(exact), rtol=1e-13, atol=0)
