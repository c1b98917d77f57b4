"""`eos` with ASE's own EMT: it must work for any calculator."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.emt import EMT
from matplotlib.image import imread

from ase_symcalc.apps import elastic, eos
from ase_symcalc.apps.eos_plot import plot_eos
from ase_symcalc.apps.settle import settle
from ase_symcalc.errors import InputError, NumericalError
from tests.unit.apps.test_relax import Broken, NoStress

A = 3.58988  # Å, of EMT's copper


def copper(a=A):
    atoms = bulk("Cu", a=a)
    atoms.calc = EMT()
    return atoms


def hexagonal(ratio):
    atoms = bulk("Cu", "hcp", a=2.55, c=2.55 * ratio)
    atoms.calc = EMT()
    return atoms


def test_bulk_modulus_is_that_of_the_elastic_constants():
    result = eos(copper())
    constants = elastic(copper()).constants
    expected = (constants[0, 0] + 2 * constants[0, 1]) / 3
    for fit in result.fits:
        assert fit.bulk_modulus == pytest.approx(expected, rel=2e-3)
        assert fit.volume == pytest.approx(A**3 / 4, rel=1e-4)
        assert 3 < fit.derivative < 6
        assert fit.residual < 0.01
    assert result.best.residual == min(fit.residual for fit in result.fits)
    assert {fit.name for fit in result.fits} == {"Birch-Murnaghan", "Vinet"}
    assert result.converged
    assert not result.moved
    assert result.shear_stress < 1e-6


def test_input_is_left_alone_and_every_volume_is_told():
    atoms = copper()
    before, calculator = atoms.copy(), atoms.calc
    seen = []
    result = eos(atoms, n_volumes=7, on_point=seen.append)
    assert atoms == before
    assert atoms.calc is calculator is result.atoms.calc
    assert [point.done for point in seen] == list(range(1, 8))
    assert {point.total for point in seen} == {7}
    np.testing.assert_allclose([point.volume for point in seen], result.volumes)
    np.testing.assert_array_equal([point.energy for point in seen], result.energies)
    np.testing.assert_allclose(result.volumes[[0, -1]] / atoms.get_volume(), (0.94, 1.06))


@pytest.mark.parametrize("a", [3.3, 3.85])
def test_range_moves_once_to_the_minimum(a):
    result = eos(copper(a))
    assert result.moved
    assert result.best.volume == pytest.approx(A**3 / 4, rel=1e-3)
    assert result.volumes[1] < result.best.volume < result.volumes[-2]


def test_minimum_that_is_too_far():
    with pytest.raises(InputError, match=r"no minimum of the energy was found, .*--relax"):
        eos(copper(4.8), half_range=0.01)


def test_shape_relaxes_at_constant_volume():
    tall = hexagonal(1.75)
    held, free = eos(tall, n_volumes=7), eos(tall, n_volumes=7, free="shape")
    assert free.best.energy < held.best.energy - 1e-3
    assert free.shear_stress < 0.1 < held.shear_stress
    lengths = free.atoms.cell.lengths()
    assert lengths[2] / lengths[0] == pytest.approx(np.sqrt(8 / 3), rel=5e-3)
    assert held.atoms.cell.lengths()[2] / held.atoms.cell.lengths()[0] == pytest.approx(1.75)
    assert free.converged
    np.testing.assert_allclose(free.volumes, np.linspace(free.volumes[0], free.volumes[-1], 7))


def test_positions_relax():
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.05, seed=0)
    atoms.calc = EMT()
    result = eos(atoms, n_volumes=7)
    assert result.best.bulk_modulus == pytest.approx(eos(copper()).best.bulk_modulus, rel=2e-3)
    assert result.converged
    with pytest.raises(InputError, match=r"not at one: the largest force is .*--relax"):
        eos(atoms, free="nothing")
    assert not eos(atoms, max_steps=0).converged


def test_settle_says_whether_it_did():
    atoms = hexagonal(1.75)
    volume = atoms.get_volume()
    assert settle(atoms, fmax=1e-3, max_steps=100, shape=True)
    assert atoms.get_volume() == pytest.approx(volume, rel=1e-10)
    assert not settle(hexagonal(1.75), fmax=1e-3, max_steps=1, shape=True)


def test_calculator_without_stress_will_do():
    atoms = copper()
    atoms.calc = NoStress()
    result = eos(atoms, n_volumes=7)
    assert result.shear_stress is None
    assert result.best.bulk_modulus == pytest.approx(eos(copper()).best.bulk_modulus, rel=1e-3)


def test_not_a_number_is_refused():
    atoms = bulk("Cu", cubic=True)
    atoms.calc = Broken()
    with pytest.raises(NumericalError, match="the energy is nan eV"):
        eos(atoms)


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms(), "at least one atom"),
        (molecule("N2"), "this is a molecule"),
        (fcc111("Cu", (1, 1, 3), vacuum=6), "this is a slab"),
        (fcc111("Cu", (1, 1, 3), vacuum=6, periodic=True), r"12\.0 Å along c hold no atom"),
        (molecule("N2", cell=(12, 12, 12), pbc=True), "looks like a molecule or a slab in a box"),
        (Atoms("Cu", cell=(0, 0, 2.5), pbc=(False, False, True)), "this is a wire"),
    ],
)
def test_what_is_no_crystal(atoms, message):
    atoms.calc = EMT()
    with pytest.raises(InputError, match=message):
        eos(atoms)


def test_structure_without_calculator():
    with pytest.raises(InputError, match="no calculator; attach one"):
        eos(bulk("Cu"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"free": "cell"}, "free to be one of nothing, positions, shape"),
        ({"half_range": 0.0}, "within 0.005 to 0.3 of the first, got 0.0"),
        ({"half_range": float("nan")}, "within 0.005 to 0.3"),
        ({"n_volumes": 4}, "at least 7 volumes, got 4"),
        ({"fmax": 0.0}, "expected fmax above 0 eV/Å"),
        ({"max_steps": -1}, "max_steps of 0 or more"),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(InputError, match=message):
        eos(copper(), **arguments)


def test_picture(tmp_path):
    plot_eos(eos(copper(), n_volumes=7), tmp_path / "eos.png", title="copper")
    assert imread(tmp_path / "eos.png").std() > 0.05
