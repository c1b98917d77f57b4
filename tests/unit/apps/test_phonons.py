"""Phonons: a crystal of springs that can be solved by hand, then silicon and copper."""

import sys

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc111, make_supercell
from ase.calculators.calculator import Calculator
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from matplotlib.image import imread

pytest.importorskip("phonopy", reason="phonopy is not installed; it is in the extra phonons")
pytest.importorskip("seekpath", reason="seekpath is not installed; it is in the extra phonons")

from ase_symcalc import SymCalc
from ase_symcalc.apps import phonons, relax
from ase_symcalc.apps.imaginary import ImaginaryMode, imaginary_in_words
from ase_symcalc.apps.phonons_plot import plot_phonons, ticks
from ase_symcalc.errors import InputError, NumericalError

EPSILON, SIGMA = 0.0103, 3.405  # eV, Å
NEIGHBOUR = 2 ** (1 / 6) * SIGMA
STIFFNESS = 72 * EPSILON / (2 ** (1 / 3) * SIGMA**2)  # V'' at the minimum of V
MASS = 39.948
THZ = 1e-12 * np.sqrt(units._e / units._amu) * 1e10 / (2 * np.pi)  # of a √(eV/Å²/u)
UNIT = THZ * np.sqrt(STIFFNESS / MASS)


def argon(stretch=1.0):
    """Atoms that feel their nearest neighbours alone, at the minimum of the pair."""
    atoms = bulk("Ar", "fcc", a=np.sqrt(2) * NEIGHBOUR * stretch)
    atoms.set_masses([MASS])
    atoms.calc = LennardJones(epsilon=EPSILON, sigma=SIGMA, rc=1.25 * NEIGHBOUR * stretch)
    return atoms


@pytest.fixture(scope="module")
def springs():
    return phonons(argon(), supercell=(4, 4, 4), mesh=80.0)


@pytest.fixture(scope="module")
def silicon_phonons():
    atoms = bulk("Si")
    atoms.calc = SymCalc("metals-preview")
    start = relax(atoms, fmax=1e-4).atoms
    return start, phonons(start, supercell=(3, 3, 3), mesh=30.0)


def at(result, label):
    """Frequencies at a corner of the path."""
    for segment in result.bands:
        if segment.start.label == label:
            return segment.frequencies[0]
        if segment.end.label == label:
            return segment.frequencies[-1]
    raise AssertionError(label)


def test_springs_between_neighbours_have_the_frequencies_of_the_book(springs):
    # D(q) = k Σ n nᵀ (1 - cos q·R): 8k and 4k at X, 8k and 2k at L
    assert at(springs, "X") == pytest.approx(UNIT * np.sqrt([4, 4, 8]), rel=1e-3)
    assert at(springs, "L") == pytest.approx(UNIT * np.sqrt([2, 2, 8]), rel=1e-3)
    assert springs.n_displacements == 1
    assert not springs.imaginary
    assert not springs.warnings


def test_springs_carry_sound_as_fast_as_the_book_says(springs):
    segment = springs.bands[0]
    assert (segment.start.label, segment.end.label) == ("Γ", "X")
    phase = np.linspace(0, np.pi / 2, len(segment.q))  # ω = √(8k/m) sin(qa/4)
    np.testing.assert_allclose(
        segment.frequencies[:, 2], UNIT * np.sqrt(8) * np.sin(phase), rtol=2e-3, atol=1e-3
    )
    a = np.sqrt(2) * NEIGHBOUR
    sound = 2 * np.pi * UNIT * np.sqrt(8) * a / 4 * 0.1  # km/s
    speeds = np.linalg.norm(segment.group_velocities, axis=2)
    assert speeds[1, 2] == pytest.approx(sound * np.cos(phase[1]), rel=5e-3)
    assert speeds[1, :2] == pytest.approx([sound / np.sqrt(2)] * 2, rel=5e-3)
    assert speeds[-1] == pytest.approx(0, abs=0.02 * sound)


def test_acoustic_modes_are_at_rest_at_the_zone_centre(springs, silicon_phonons):
    for result in (springs, silicon_phonons[1]):
        assert np.abs(np.sort(np.abs(result.gamma))[:3]).max() < 1e-3


def test_density_of_states_counts_every_mode(springs, silicon_phonons):
    for result in (springs, silicon_phonons[1]):
        dos = result.dos
        modes = np.trapezoid(dos.density, dos.frequencies)
        assert modes == pytest.approx(3 * len(result.primitive), rel=0.02)


def test_thermal_properties_obey_thermodynamics(springs):
    thermal = springs.thermal
    assert thermal.temperatures[0] == 0
    assert thermal.heat_capacity[0] == 0
    assert thermal.heat_capacity[-1] == pytest.approx(3 * units.kB, rel=1e-3)
    slope = np.gradient(thermal.free_energy, thermal.temperatures)
    np.testing.assert_allclose(-slope[5:-1], thermal.entropy[5:-1], rtol=5e-3)
    heat = thermal.temperatures * np.gradient(thermal.entropy, thermal.temperatures)
    np.testing.assert_allclose(heat[9:-1], thermal.heat_capacity[9:-1], rtol=5e-3)
    mean = np.trapezoid(springs.dos.density * springs.dos.frequencies, springs.dos.frequencies)
    quantum = units._hplanck * 1e12 / units._e
    assert thermal.free_energy[0] == pytest.approx(quantum * mean / 2, rel=0.01)


def test_silicon_has_the_degeneracies_of_diamond(silicon_phonons):
    _, result = silicon_phonons
    optical = result.gamma[3:]
    assert np.ptp(optical) < 1e-4
    assert 14 < optical[0] < 16.5  # 15.5 THz measured
    for label, groups in (("X", (2, 2, 2)), ("L", (2, 1, 1, 2)), ("W", (2, 2, 2))):
        found = np.split(at(result, label), np.cumsum(groups)[:-1])
        assert all(np.ptp(group) < 1e-4 for group in found)
        means = [group.mean() for group in found]
        assert np.diff(means).min() > 0.1


def test_copper_has_the_degeneracies_of_fcc():
    atoms = bulk("Cu")
    atoms.calc = SymCalc("metals-preview")
    result = phonons(relax(atoms, fmax=1e-4).atoms, supercell=(3, 3, 3), mesh=20.0)
    assert np.abs(result.gamma).max() < 1e-3
    for label in ("X", "L"):
        slow, slower, fast = at(result, label)
        assert slow == pytest.approx(slower, abs=1e-4)
        assert fast > slow + 0.5


def test_zone_centre_agrees_with_exact_second_derivatives(silicon_phonons):
    atoms, result = silicon_phonons
    hessian = atoms.calc.get_hessian(atoms).reshape(6, 6)
    masses = np.repeat(atoms.get_masses(), 3)
    eigenvalues = np.linalg.eigvalsh(hessian / np.sqrt(np.outer(masses, masses)))
    assert result.gamma[3:] == pytest.approx(THZ * np.sqrt(eigenvalues[3:]), rel=1e-3)


def test_the_cell_of_the_file_does_not_matter(springs):
    cubic = make_supercell(argon(), [[-1, 1, 1], [1, -1, 1], [1, 1, -1]])
    cubic.rotate(35, (1, 2, 3), rotate_cell=True)
    cubic.set_masses([MASS] * 4)
    cubic.calc = argon().calc
    result = phonons(cubic, supercell=(2, 2, 2), mesh=20.0)
    assert len(result.primitive) == 1
    assert result.n_supercell_atoms == 32
    for label in ("X", "L"):
        assert at(result, label) == pytest.approx(at(springs, label), rel=1e-2)


def test_nothing_of_the_input_changes():
    atoms = argon()
    before, calculator = atoms.copy(), atoms.calc
    phonons(atoms, supercell=(2, 2, 2), mesh=10.0)
    assert atoms == before
    assert atoms.calc is calculator


def test_supercells_that_were_done_are_not_done_again():
    steps = []
    first = phonons(argon(), supercell=(2, 2, 2), mesh=10.0, on_step=steps.append)
    assert [(step.done, step.total, step.n_atoms) for step in steps] == [(1, 2, 8), (2, 2, 8)]

    class Refusing(LennardJones):
        def calculate(self, atoms=None, properties=("energy",), system_changes=()):
            assert len(atoms) == 1, "a supercell was computed again"
            super().calculate(atoms, properties, system_changes)

    atoms = argon()
    atoms.calc = Refusing(**atoms.calc.parameters)
    known = {step.key: step.forces for step in steps}
    again = phonons(atoms, supercell=(2, 2, 2), mesh=10.0, known=known)
    np.testing.assert_allclose(again.gamma, first.gamma, atol=1e-6)
    np.testing.assert_array_equal(at(again, "X"), at(first, "X"))


def test_an_unstable_crystal_is_told_in_words():
    result = phonons(argon(stretch=1.13), supercell=(2, 2, 2), mesh=20.0)
    assert result.imaginary[0].frequency == max(mode.frequency for mode in result.imaginary)
    corner = next(mode for mode in result.imaginary if mode.label == "X")
    assert corner.fits_supercell
    assert corner.frequency == pytest.approx(-at(result, "X")[0])
    words = imaginary_in_words(result.imaginary)
    assert f"{corner.frequency:.2f}i THz at X (0.5 0 0.5)" in words.replace(
        "0.5 0.5 0", "0.5 0 0.5"
    )
    assert "the crystal is not stable as it is" in words
    assert result.thermal.modes_left_out > 0.2
    assert any("left out of the thermal properties" in sentence for sentence in result.warnings)


def test_a_strained_crystal_is_told():
    result = phonons(of(bulk("Cu", a=3.5), EMT()), supercell=(2, 2, 2), mesh=10.0)
    assert any("under a stress of up to" in sentence for sentence in result.warnings)


def test_an_instability_between_waves_that_fit_may_be_an_artefact():
    mode = ImaginaryMode(np.array([0.3, 0.0, 0.1]), None, 0.7, 1, False)
    words = imaginary_in_words([mode])
    assert "they are interpolated and may be an artefact" in words
    assert "0.70i THz at q = (0.3 0 0.1)" in words


def test_polar_crystals_are_told_what_is_missing():
    atoms = bulk("CuAu", "cesiumchloride", a=3.1)
    atoms.calc = EMT()
    result = phonons(relax(atoms, fmax=1e-4).atoms, supercell=(2, 2, 2), mesh=10.0)
    assert any("LO–TO splitting is left out" in sentence for sentence in result.warnings)


def test_symmetry_lost_to_few_digits_is_said():
    atoms = bulk("Cu", "hcp", a=2.55, c=4.1)
    atoms.calc = EMT()
    atoms = relax(atoms, fmax=1e-4).atoms
    atoms.set_scaled_positions(np.round(atoms.get_scaled_positions(), 3))
    result = phonons(atoms, supercell=(2, 2, 1), mesh=10.0)
    assert any("Make its symmetry exact first" in sentence for sentence in result.warnings)


def test_a_supercell_of_lower_symmetry_is_said():
    result = phonons(argon(), supercell=(2, 2, 3), mesh=10.0)
    assert any("does not have the symmetry of the crystal" in each for each in result.warnings)


def test_picture_has_a_place_for_every_corner(springs, tmp_path):
    places, labels = ticks(springs.bands)
    assert labels == ["Γ", "X", "U|K", "Γ", "L", "W", "X"]
    assert places == sorted(places)
    plot_phonons(springs, tmp_path / "bands.png", title="argon")
    assert imread(tmp_path / "bands.png").ndim == 3


def shaken():
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.02, seed=1)
    atoms.calc = SymCalc("metals-preview")
    return atoms


def of(atoms, calculator=None):
    atoms.calc = calculator
    return atoms


def isotopes():
    atoms = bulk("Cu", cubic=True)
    atoms.set_masses([63, 63, 63, 65])
    return of(atoms, EMT())


@pytest.mark.parametrize(
    ("atoms", "options", "message"),
    [
        (shaken, {}, r"not at a minimum of the energy: the largest force is .*--relax"),
        (lambda: of(Atoms(cell=(1, 1, 1), pbc=True), EMT()), {}, "at least one atom"),
        (lambda: of(bulk("Cu")), {}, "has no calculator"),
        (lambda: of(fcc111("Cu", (1, 1, 3), vacuum=6), EMT()), {}, "For a molecule there is"),
        (isotopes, {}, "the Cu atoms have different masses"),
        (argon, {"supercell": (2, 2)}, "three whole numbers from 1"),
        (argon, {"supercell": (2, 2, 0)}, "three whole numbers from 1"),
        (argon, {"min_length": -1.0}, "min_length above 0"),
        (argon, {"displacement": 0.0}, "displacement above 0"),
        (argon, {"mesh": 0.0}, "mesh above 0"),
        (argon, {"max_temperature": np.nan}, "max_temperature above 0"),
        (argon, {"temperature_step": 0.0}, "temperature_step above 0"),
        (argon, {"imaginary": -0.1}, "imaginary above 0"),
    ],
)
def test_what_has_no_meaning_is_refused(atoms, options, message):
    with pytest.raises(InputError, match=message):
        phonons(atoms(), **{"supercell": (2, 2, 2), **options})


def test_forces_that_are_no_numbers_are_refused():
    class Broken(Calculator):
        implemented_properties = ["energy", "forces"]  # noqa: RUF012

        def calculate(self, atoms=None, properties=("energy",), system_changes=()):
            self.results = {"energy": 0.0, "forces": np.full((len(atoms), 3), np.nan)}

    with pytest.raises(NumericalError, match="not a number for a supercell of 8 atoms"):
        phonons(of(bulk("Cu"), Broken()), supercell=(2, 2, 2))


@pytest.mark.parametrize("library", ["phonopy", "seekpath"])
def test_a_library_that_is_missing_is_named(library, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=rf"{library}, which is not installed.*\[phonons\]"):
        phonons(argon(), supercell=(2, 2, 2), mesh=10.0)
