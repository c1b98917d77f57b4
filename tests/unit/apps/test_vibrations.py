"""Molecules: a diatomic that can be solved by hand, EMT, and exact second derivatives."""

import json

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.calculators.morse import MorsePotential
from matplotlib.image import imread

from ase_symcalc import SymCalc
from ase_symcalc.apps import relax, vibrations
from ase_symcalc.apps.vibrations_plot import plot_vibrations
from ase_symcalc.errors import InputError, NumericalError


def of(atoms, calculator):
    atoms.calc = calculator
    return atoms


def morse(symbols="HCl"):
    atoms = Atoms(symbols, [(0, 0, 0), (0, 0, 1.3)])
    return of(atoms, MorsePotential(epsilon=4.6, r0=1.3, rho0=2.4, rcut1=8.0, rcut2=9.0))


def relaxed(atoms, calculator):
    return relax(of(atoms, calculator), fmax=1e-5, cell=False).atoms


class Forwarding(Calculator):
    """Hides second derivatives."""

    implemented_properties = ["energy", "forces"]  # noqa: RUF012

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def calculate(self, atoms=None, properties=("energy",), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        energy, forces = (self.inner.get_property(name, atoms) for name in ("energy", "forces"))
        self.results = {"energy": energy, "forces": forces}


def test_a_diatomic_swings_at_the_frequency_of_its_well():
    atoms = morse()
    stiffness = 2 * 4.6 * (2.4 / 1.3) ** 2  # V'' of Morse's potential at its minimum
    light, heavy = atoms.get_masses()
    reduced = light * heavy / (light + heavy)
    quantum = units._hbar * np.sqrt(stiffness / reduced * units._e * 1e20 / units._amu) / units._e
    result = vibrations(atoms)
    assert result.linear
    assert result.energies == pytest.approx([quantum], rel=1e-3)
    assert result.wavenumbers == pytest.approx([quantum / units.invcm], rel=1e-3)
    assert result.zero_point_energy == pytest.approx(quantum / 2, rel=1e-3)
    assert not result.analytic
    assert np.abs(result.rigid).max() < 10  # turning stretches the bond by a square
    moved = result.modes[0][:, 2]
    assert moved[0] / moved[1] == pytest.approx(-heavy / light, rel=1e-6)
    assert np.linalg.norm(result.modes[0]) == pytest.approx(1)


def test_orientation_and_place_do_not_matter():
    turned = morse()
    turned.rotate(50, (1, 2, 3))
    turned.translate((5, -3, 11))
    np.testing.assert_allclose(vibrations(turned).energies, vibrations(morse()).energies, rtol=1e-4)


def test_isotopes_slow_down_by_the_root_of_the_reduced_mass():
    heavy = morse("HCl")
    heavy.set_masses([2.014, 34.969])
    light = morse("HCl")
    light.set_masses([1.008, 34.969])
    ratio = vibrations(light).energies[0] / vibrations(heavy).energies[0]
    masses = [m * 34.969 / (m + 34.969) for m in (2.014, 1.008)]
    assert ratio == pytest.approx(np.sqrt(masses[0] / masses[1]), rel=1e-6)


@pytest.mark.parametrize(("name", "n_modes"), [("CH4", 9), ("NH3", 6)])
def test_the_number_of_modes_is_that_of_the_molecule(name, n_modes):
    result = vibrations(relaxed(molecule(name), EMT()))
    assert len(result.energies) == n_modes
    assert not result.linear


def test_methane_has_the_degeneracies_of_a_tetrahedron():
    result = vibrations(relaxed(molecule("CH4"), EMT()))
    energies = 1000 * result.energies
    gaps = np.diff(energies) > 0.5
    assert sorted(np.diff(np.flatnonzero([True, *gaps, True]))) in ([1, 2, 3, 3], [1, 2, 6], [3, 6])


def test_second_derivatives_agree_with_differences_of_forces():
    potential = SymCalc("metals-preview")
    atoms = relaxed(Atoms("Cu3", [(0, 0, 0), (2.4, 0, 0), (1.2, 2, 0)]), potential)
    exact = vibrations(atoms)
    steps = []
    atoms.calc = Forwarding(potential)
    numeric = vibrations(atoms, on_step=steps.append)
    assert exact.analytic
    assert not numeric.analytic
    assert [step.done for step in steps] == list(range(10))
    np.testing.assert_allclose(numeric.energies, exact.energies, rtol=1e-3)
    assert exact.energies[0] == pytest.approx(exact.energies[1], rel=1e-4)


def test_a_saddle_point_is_told_in_words():
    line = Atoms("H3", [(0, 0, 0), (1, 0, 0), (2, 0, 0)])
    result = vibrations(relaxed(line, MorsePotential(epsilon=1.0, r0=1.0, rho0=3.0)))
    assert result.linear
    assert len(result.energies) == 4
    assert result.n_imaginary == 2
    assert result.energies[0] == pytest.approx(result.energies[1], rel=1e-2)
    assert "2 of 4 modes are imaginary" in result.warnings[0]
    assert "neither a minimum nor a simple saddle point" in result.warnings[0]


@pytest.mark.parametrize(
    ("name", "n_modes", "n_silent"),
    [
        ("CO2", 4, 1),  # the symmetric stretch
        ("H2O", 3, 0),
        ("N2", 1, 1),
        ("CO", 1, 0),
        ("C2H2", 7, 4),  # Raman-active ones: two stretches and a bend of two
        ("CH4", 9, 3),  # A1 and E
        ("NH3", 6, 0),
    ],
)
def test_modes_that_symmetry_keeps_out_of_infrared_light(name, n_modes, n_silent):
    atoms = molecule(name)
    atoms.rotate(33, (1, 2, 3))
    result = vibrations(relaxed(atoms, EMT()))
    assert len(result.silent) == n_modes
    assert result.silent.sum() == n_silent


def test_the_symmetric_stretch_of_carbon_dioxide_is_silent():
    result = vibrations(relaxed(molecule("CO2"), EMT()))
    carbon = np.linalg.norm(result.modes[:, molecule("CO2").numbers == 6], axis=(1, 2))
    np.testing.assert_array_equal(result.silent, carbon < 1e-4)


def test_isotopes_bring_no_charges():
    atoms = relaxed(molecule("N2"), EMT())
    atoms.set_masses([14.0, 15.0])
    assert vibrations(atoms).silent.tolist() == [True]


def test_rows_that_are_done_are_not_done_again():
    parts = {}
    atoms = relaxed(molecule("CO2"), EMT())
    first = vibrations(atoms, parts=parts)
    assert len(parts) == 9
    for name in list(parts)[5:]:
        del parts[name]
    atoms.calc = Counting(EMT())
    again = vibrations(atoms, parts=json.loads(json.dumps(parts)))
    assert atoms.calc.n_calls == 1 + 2 * 4
    np.testing.assert_array_equal(again.energies, first.energies)


class Counting(Forwarding):
    n_calls = 0

    def calculate(self, *arguments):
        self.n_calls += 1
        super().calculate(*arguments)


def test_thermochemistry_is_that_of_oscillators():
    result = vibrations(morse())
    thermo = result.thermochemistry()
    x = result.energies[0] / (units.kB * 1000)
    entropy = units.kB * (x / np.expm1(x) - np.log(-np.expm1(-x)))
    assert thermo.get_entropy(1000, verbose=False) == pytest.approx(entropy, rel=1e-6)


def test_nothing_of_the_input_changes():
    atoms = morse()
    before, calculator = atoms.copy(), atoms.calc
    vibrations(atoms)
    assert atoms == before
    assert atoms.calc is calculator


def test_picture_is_drawn(tmp_path):
    plot_vibrations(vibrations(relaxed(molecule("CH4"), EMT())), tmp_path / "vibrations.png")
    assert imread(tmp_path / "vibrations.png").ndim == 3


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (lambda: of(Atoms("Cu"), EMT()), "at least two atoms"),
        (lambda: Atoms("Cu2", [(0, 0, 0), (0, 0, 2.3)]), "has no calculator"),
        (lambda: of(bulk("Cu", cubic=True), EMT()), "For a crystal there is `phonons`"),
        (lambda: of(Atoms("Cu2", [(0, 0, 0), (0, 0, 2.0)]), EMT()), "not at a minimum.*--relax"),
    ],
)
def test_what_has_no_meaning_is_refused(atoms, message):
    with pytest.raises(InputError, match=message):
        vibrations(atoms())


def test_a_displacement_of_nothing_is_refused():
    with pytest.raises(InputError, match="displacement above 0"):
        vibrations(morse(), displacement=0.0)


def test_forces_that_are_no_numbers_are_refused():
    class Broken(Calculator):
        implemented_properties = ["energy", "forces"]  # noqa: RUF012

        def calculate(self, atoms=None, properties=("energy",), system_changes=()):
            self.results = {"energy": 0.0, "forces": np.full((len(atoms), 3), np.nan)}

    with pytest.raises(NumericalError, match="not a number"):
        vibrations(of(Atoms("Cu2", [(0, 0, 0), (0, 0, 2.3)]), Broken()))
