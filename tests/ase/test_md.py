"""ASE's integrators run with it, and lose no energy."""

import numpy as np
import pytest
from ase import units
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.nose_hoover_chain import MTKNPT, IsotropicMTKNPT, NoseHooverChainNVT
from ase.md.nptberendsen import NPTBerendsen
from ase.md.verlet import VelocityVerlet

from ase_symcalc import SymCalc

TEMPERATURE = 300  # K


@pytest.fixture
def warm(calc, silicon):
    """Silicon with velocities, that does not drift."""
    rng = np.random.default_rng(1)
    masses = silicon.get_masses()[:, None]
    momenta = rng.normal(size=(8, 3)) * np.sqrt(masses * units.kB * TEMPERATURE)
    silicon.set_momenta(momenta - momenta.mean(axis=0))
    silicon.calc = calc
    return silicon


def drift(dynamics, conserved, n_atoms, steps=100):
    """Largest departure from the conserved energy, eV/atom."""
    start, worst = conserved(), 0.0
    for _ in range(10):
        dynamics.run(steps // 10)
        worst = max(worst, abs(conserved() - start) / n_atoms)
    return worst


def test_nve_conserves_the_energy_and_the_momentum(warm):
    dynamics = VelocityVerlet(warm, 1 * units.fs)
    assert drift(dynamics, warm.get_total_energy, 8) < 1e-4
    assert np.abs(warm.get_momenta().sum(axis=0)).max() < 1e-10


def test_half_the_step_makes_a_quarter_of_the_error(warm):
    other = warm.copy()
    other.calc = warm.calc
    long = drift(VelocityVerlet(warm, 4 * units.fs), warm.get_total_energy, 8, steps=20)
    short = drift(VelocityVerlet(other, 2 * units.fs), other.get_total_energy, 8, steps=40)
    assert short < 0.4 * long


def test_wrapping_on_the_way_changes_nothing(potential, warm):
    """A stale shift of a kept neighbour list would show here."""
    warm.positions += warm.cell.sum(axis=0) - 0.02  # next to the boundary
    other = warm.copy()
    other.calc = SymCalc(potential, skin=0.0)
    dynamics, plain = VelocityVerlet(warm, 2 * units.fs), VelocityVerlet(other, 2 * units.fs)
    for _ in range(15):
        dynamics.run(4)
        warm.wrap()
        plain.run(4)
    assert warm.get_potential_energy() == pytest.approx(other.get_potential_energy(), abs=1e-8)


def test_the_neighbour_list_is_kept_while_atoms_vibrate(warm):
    rebuilt = []
    dynamics = VelocityVerlet(warm, 1 * units.fs)
    dynamics.attach(lambda: rebuilt.append(warm.calc.evaluation.list_rebuilt))
    dynamics.run(30)
    assert sum(rebuilt) <= 1


def test_time_runs_backwards_too(warm):
    start = warm.positions.copy()
    VelocityVerlet(warm, 1 * units.fs).run(30)
    warm.set_momenta(-warm.get_momenta())
    VelocityVerlet(warm, 1 * units.fs).run(30)
    np.testing.assert_allclose(warm.positions, start, atol=1e-8)


def test_the_nose_hoover_chain_conserves_its_energy(warm):
    dynamics = NoseHooverChainNVT(
        warm, 1 * units.fs, temperature_K=TEMPERATURE, tdamp=100 * units.fs
    )
    assert drift(dynamics, dynamics.get_conserved_energy, 8, steps=60) < 1e-3


@pytest.mark.parametrize("integrator", [MTKNPT, IsotropicMTKNPT], ids=lambda cls: cls.__name__)
def test_constant_pressure_conserves_its_energy(warm, integrator):
    volume = warm.get_volume()
    dynamics = integrator(
        warm,
        1 * units.fs,
        temperature_K=TEMPERATURE,
        pressure_au=0.0,
        tdamp=100 * units.fs,
        pdamp=500 * units.fs,
    )
    assert drift(dynamics, dynamics.get_conserved_energy, 8, steps=50) < 1e-3
    assert warm.get_volume() != volume


def test_thermostats_and_barostats_run(warm):
    rng = np.random.default_rng(2)
    friction = 0.01 / units.fs
    Langevin(warm, 1 * units.fs, temperature_K=300, friction=friction, fixcm=False, rng=rng).run(20)
    Bussi(warm, 1 * units.fs, temperature_K=300, taut=50 * units.fs, rng=rng).run(20)
    NPTBerendsen(
        warm,
        1 * units.fs,
        temperature_K=300,
        pressure_au=0.0,
        taut=50 * units.fs,
        taup=500 * units.fs,
        compressibility_au=0.05,
    ).run(20)
    assert 0 < warm.get_temperature() < 2000


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # an old class
def test_the_melchionna_barostat_runs(warm):
    from ase.md.npt import NPT

    warm.set_cell(np.diag(warm.cell.lengths()))
    dynamics = NPT(
        warm,
        1 * units.fs,
        temperature_K=TEMPERATURE,
        externalstress=0.0,
        ttime=50 * units.fs,
        pfactor=(500 * units.fs) ** 2 * 100 * units.GPa,
    )
    dynamics.run(20)
    assert np.isfinite(warm.get_total_energy())


def test_single_precision_is_good_enough_for_md(potential_folder, warm):
    warm.calc = SymCalc(potential_folder, dtype="float32")
    assert drift(VelocityVerlet(warm, 1 * units.fs), warm.get_total_energy, 8) < 1e-4
