"""Thermal expansion and Grüneisen parameters, with a model solved by hand and with EMT."""

import numpy as np
import pytest
from ase import units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from matplotlib.image import imread

pytest.importorskip("phonopy", reason="phonopy is not installed; it is in the extra phonons")

from ase_symcalc.apps import qha
from ase_symcalc.apps.force_constants import force_constants
from ase_symcalc.apps.gruneisen import gruneisen_modes
from ase_symcalc.apps.qha_plot import plot_qha
from ase_symcalc.errors import InputError, NumericalError

NEIGHBOUR = 2 ** (1 / 6) * 3.405


def argon(ratio=1.0):
    """Atoms that feel their nearest neighbours alone; at ratio 1 these are at their minimum."""
    atoms = bulk("Ar", "fcc", a=np.sqrt(2) * NEIGHBOUR * ratio ** (1 / 3))
    atoms.calc = LennardJones(epsilon=0.0103, sigma=3.405, rc=1.25 * NEIGHBOUR)
    return atoms


def copper(a=3.592):
    atoms = bulk("Cu", a=a)
    atoms.calc = EMT()
    return atoms


OPTIONS = {"supercell": (2, 2, 2), "mesh": 20.0, "max_temperature": 600.0, "temperature_step": 20.0}


@pytest.fixture(scope="module")
def expanded():
    return qha(copper(), **OPTIONS)


def test_mode_parameters_of_springs_are_those_of_the_book():
    # from Mω² = 8 (V'' + V'/r) and 4 V'' + 12 V'/r at X, with r V''' / V'' = -21 for Lennard-Jones
    crystals = [force_constants(argon(r), supercell=(2, 2, 2)).phonopy for r in (0.998, 1, 1.002)]
    modes = gruneisen_modes(*crystals, np.array([2, 2, 2]))
    folded = np.sort(np.abs(modes.q), axis=1)
    corner = int(np.abs(folded - [0, 0.5, 0.5]).sum(1).argmin())
    order = modes.frequencies[corner].argsort()
    assert modes.parameters[corner][order] == pytest.approx([3, 3, 10 / 3], rel=5e-3)
    centre = int(np.abs(modes.q).sum(1).argmin())
    assert np.isnan(modes.parameters[centre]).all()
    assert modes.mean(300.0) == pytest.approx(3, rel=1e-2)  # as the table of X and L says
    with pytest.raises(InputError, match="temperature above 0 K"):
        modes.mean(0.0)


def test_copper_expands_as_much_as_its_derivatives_say(expanded):
    result = expanded
    assert result.stable.all()
    assert not result.warnings
    assert result.temperatures[0] == 0
    assert np.diff(result.volume).min() > -1e-6
    slope = np.gradient(result.volume, result.temperatures) / result.volume
    np.testing.assert_allclose(result.thermal_expansion[2:-2], slope[2:-2], rtol=0.02)
    heat = -result.temperatures * np.gradient(
        np.gradient(result.gibbs_energy, result.temperatures), result.temperatures
    )
    np.testing.assert_allclose(result.heat_capacity[8:-3], heat[8:-3], rtol=0.03)
    assert 3 * units.kB < result.heat_capacity[-1] < 3.6 * units.kB
    assert 10e-6 < result.thermal_expansion[15] / 3 < 30e-6  # 16.5 measured
    assert np.diff(result.bulk_modulus).max() < 0.1
    np.testing.assert_allclose(
        result.lattice, np.repeat(np.cbrt(np.sqrt(2) * result.volume)[:, None], 3, 1), rtol=1e-4
    )


def test_two_ways_to_the_gruneisen_parameter_agree(expanded):
    temperature = 200.0
    at = int((expanded.temperatures == temperature).argmax())
    assert expanded.gruneisen[at] == pytest.approx(expanded.modes.mean(temperature), rel=0.08)


def test_energies_are_those_of_the_static_crystal(expanded):
    for volume, energy in zip(expanded.volumes, expanded.energies, strict=True):
        still = copper(a=(4 * volume) ** (1 / 3))
        assert energy == pytest.approx(still.get_potential_energy(), abs=1e-9)


def test_pressure_makes_the_crystal_smaller(expanded):
    pressed = qha(copper(), pressure=3.0, **OPTIONS)
    assert pressed.pressure == 3
    shrink = pressed.volume[0] / expanded.volume[0] - 1
    assert shrink == pytest.approx(-3 / expanded.bulk_modulus[0], rel=0.15)


def test_an_unstable_volume_is_left_out_and_said():
    volumes = (0.96, 1.02, 1.08, 1.14, 1.2, 1.45)
    result = qha(argon(), volumes=volumes, **OPTIONS | {"max_temperature": 40.0})
    assert result.stable.tolist() == [True] * 5 + [False]
    assert result.free_energies.shape[1] == 5
    said = next(each for each in result.warnings if "modes are imaginary" in each)
    assert f"at {result.volumes[-1]:.3f} Å³/atom" in said


def test_temperatures_beyond_the_volumes_are_left_out_and_said():
    volumes = (0.96, 0.97, 0.98, 0.99, 1.0, 1.01)
    result = qha(copper(), volumes=volumes, **OPTIONS)
    assert result.temperatures[-1] < 600
    assert result.volume.max() <= result.volumes.max()
    assert any("outside the volumes that were computed" in each for each in result.warnings)


def test_hexagonal_cells_change_their_shape():
    atoms = bulk("Cu", "hcp", a=2.55, c=4.3)
    atoms.calc = EMT()
    steps = []
    result = qha(
        atoms,
        volumes=(0.96, 0.98, 1.0, 1.02, 1.04),
        supercell=(2, 2, 1),
        mesh=20.0,
        max_temperature=100.0,
        temperature_step=50.0,
        on_step=steps.append,
    )
    assert steps[-1].volume + 1 == steps[-1].n_volumes == 5
    ratio = result.lattice[0, 2] / result.lattice[0, 0]
    assert 1.6 < ratio < 1.66  # 1.686 was given


def test_picture_is_drawn(expanded, tmp_path):
    plot_qha(expanded, tmp_path / "qha.png", title="copper")
    assert imread(tmp_path / "qha.png").ndim == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"volumes": (0.98, 1.0, 1.02)}, "at least 5 different volumes"),
        ({"volumes": (0.98, 1.0, 1.02, 1.02, 1.0)}, "at least 5 different volumes"),
        ({"volumes": (0.98, 1.0, -1.02, 1.02, 1.04)}, "multiples above 0"),
        ({"pressure": np.inf}, "finite pressure"),
        ({"max_temperature": 0.0}, "max_temperature above 0"),
    ],
)
def test_what_has_no_meaning_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        qha(copper(), **OPTIONS | options)


def test_a_crystal_far_from_its_minimum_is_refused():
    volumes = (1.0, 1.01, 1.02, 1.03, 1.04)
    with pytest.raises(NumericalError, match="no minimum among the volumes"):
        qha(copper(a=3.75), volumes=volumes, **OPTIONS)


def test_too_many_unstable_volumes_are_refused():
    with pytest.raises(NumericalError, match=r"only 4 of 5 volumes .* frequency is [\d.]+i THz\."):
        qha(argon(), volumes=(0.94, 0.98, 1.02, 1.06, 1.45), **OPTIONS)
