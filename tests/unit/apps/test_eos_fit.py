"""Equations of state: their definitions, and fits that return what a curve was made with."""

import numpy as np
import pytest

from ase_symcalc.apps.eos_fit import CURVES, fit_eos, parabola
from ase_symcalc.errors import InputError, NumericalError
from ase_symcalc.units import EV_PER_CUBIC_ANGSTROM_IN_GPA

V0, E0, B0, B1 = 11.7, -3.5, 0.8, 4.7
VOLUMES = np.linspace(0.94, 1.05, 9) * V0


@pytest.mark.parametrize("name", CURVES)
def test_parameters_are_what_they_are_called(name):
    def pressure(volume):
        step = 1e-3
        ends = CURVES[name](np.array([volume - step, volume + step]), V0, E0, B0, B1)
        return (ends[0] - ends[1]) / (2 * step)

    def modulus(volume):
        return -volume * (pressure(volume + 0.02) - pressure(volume - 0.02)) / 0.04

    assert CURVES[name](np.array([V0]), V0, E0, B0, B1)[0] == pytest.approx(E0)
    assert pressure(V0) == pytest.approx(0, abs=1e-6)
    assert modulus(V0) == pytest.approx(B0, rel=1e-4)
    slope = (modulus(V0 + 0.02) - modulus(V0 - 0.02)) / (pressure(V0 + 0.02) - pressure(V0 - 0.02))
    assert slope == pytest.approx(B1, rel=1e-3)


@pytest.mark.parametrize("name", CURVES)
def test_fit_returns_the_parameters_of_a_curve(name):
    fit = fit_eos(VOLUMES, CURVES[name](VOLUMES, V0, E0, B0, B1), name)
    assert fit.volume == pytest.approx(V0, rel=1e-9)
    assert fit.energy == pytest.approx(E0, abs=1e-10)
    assert fit.bulk_modulus == pytest.approx(B0 * EV_PER_CUBIC_ANGSTROM_IN_GPA, rel=1e-8)
    assert fit.derivative == pytest.approx(B1, rel=1e-6)
    assert fit.residual < 1e-9
    np.testing.assert_allclose(fit.energies(VOLUMES), CURVES[name](VOLUMES, V0, E0, B0, B1))


def test_errors_are_those_of_repeated_fits():
    rng = np.random.default_rng(0)
    energies = CURVES["Vinet"](VOLUMES, V0, E0, B0, B1)
    fits = [fit_eos(VOLUMES, energies + rng.normal(0, 1e-5, 9), "Vinet") for _ in range(200)]
    for name in ("volume", "energy", "bulk_modulus", "derivative"):
        scatter = np.std([getattr(fit, name) for fit in fits])
        said = np.sqrt(np.mean([getattr(fit, f"{name}_error") ** 2 for fit in fits]))
        assert said == pytest.approx(scatter, rel=0.25)
    residual = np.sqrt(np.mean([fit.residual**2 for fit in fits]))
    assert residual == pytest.approx(0.01 * np.sqrt(5 / 9), rel=0.1)


def test_scale_does_not_matter():
    energies = CURVES["Birch-Murnaghan"](VOLUMES, V0, E0, B0, B1)
    one = fit_eos(VOLUMES, energies, "Birch-Murnaghan")
    many = fit_eos(1000 * VOLUMES, 1000 * energies, "Birch-Murnaghan", n_atoms=1000)
    assert many.bulk_modulus == pytest.approx(one.bulk_modulus)
    assert many.volume == pytest.approx(1000 * one.volume)


def test_parabola_finds_a_minimum_outside_the_range():
    volumes = np.linspace(0.8, 0.9, 7) * V0
    volume, modulus = parabola(volumes, CURVES["Vinet"](volumes, V0, E0, B0, B1))
    assert volume == pytest.approx(V0, rel=0.05)
    assert modulus == pytest.approx(B0, rel=0.3)
    assert parabola(volumes, -((volumes - V0) ** 2)) is None


def test_what_no_curve_fits():
    with pytest.raises(InputError, match="at least 5 volumes for 4 parameters, got 4"):
        fit_eos(VOLUMES[:4], VOLUMES[:4], "Vinet")
    with pytest.raises(InputError, match="expected a curve among Birch-Murnaghan, Vinet"):
        fit_eos(VOLUMES, VOLUMES, "vinet")
    with pytest.raises(NumericalError, match="no minimum"):
        fit_eos(VOLUMES, -((VOLUMES - V0) ** 2), "Vinet")
