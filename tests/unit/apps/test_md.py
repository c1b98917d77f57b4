"""`md`: what the ensembles keep, what a temperature is, and what ends a run."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, fcc111, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms, FixBondLengths

from ase_symcalc.apps.md import default_timestep, longest_timestep, md
from ase_symcalc.apps.md_ensembles import ENSEMBLES, draw_momenta, rigid_motions
from ase_symcalc.errors import InputError, NumericalError
from tests.springs import Springs, spring_crystal

THERMOSTATS = tuple(name for name in ENSEMBLES if name.startswith("nvt"))
BAROSTATS = ("npt", "npt-cell")


class NoForce(Calculator):
    """An ideal gas."""

    implemented_properties = ["energy", "free_energy", "forces", "stress"]  # noqa: RUF012

    def calculate(self, atoms=None, properties=(), system_changes=()):
        super().calculate(atoms, properties, system_changes)
        self.results = {
            "energy": 0.0,
            "free_energy": 0.0,
            "forces": np.zeros((len(atoms), 3)),
            "stress": np.zeros(6),
        }


def gas(n_atoms):
    atoms = Atoms(f"Cu{n_atoms}", np.random.default_rng(0).uniform(0, 12, (n_atoms, 3)))
    atoms.set_cell(np.eye(3) * 12)
    atoms.pbc = True
    atoms.calc = NoForce()
    return atoms


class TestConservation:
    @pytest.mark.parametrize("ensemble", [name for name in ENSEMBLES if name != "nvt-langevin"])
    def test_error_falls_with_the_square_of_the_timestep(self, ensemble):
        spread = []
        for timestep in (6.0, 3.0):
            result = md(
                spring_crystal(2),
                steps=round(240 / timestep),
                temperature=600.0,
                ensemble=ensemble,
                timestep=timestep,
                every=1,
                seed=1,
            )
            spread.append(np.ptp(result.conserved))
        assert 2.5 < spread[0] / spread[1] < 7
        assert spread[1] / 32 < 1e-3

    @pytest.mark.parametrize("ensemble", ["nvt", "nvt-nose-hoover", *BAROSTATS])
    def test_changing_targets_is_no_drift(self, ensemble):
        pressure = (0.0, 5.0) if ensemble in BAROSTATS else 0.0
        ramp = md(
            spring_crystal(2),
            steps=100,
            temperature=(200.0, 800.0),
            pressure=pressure,
            ensemble=ensemble,
            timestep=3.0,
            every=1,
        )
        assert np.ptp(ramp.conserved) / 32 < 2e-3
        assert np.ptp(ramp.potential + ramp.kinetic) / 32 > 1e-2

    def test_langevin_conserves_nothing(self):
        result = md(spring_crystal(2), steps=20, temperature=300.0, ensemble="nvt-langevin")
        assert result.conserved is None
        assert result.drift is None

    def test_total_momentum_and_the_centre_of_mass_stay(self):
        atoms = spring_crystal(2)
        result = md(atoms, steps=50, temperature=900.0, ensemble="nvt")
        assert np.abs(result.atoms.get_momenta().sum(axis=0)).max() < 1e-9
        moved = result.atoms.get_center_of_mass() - atoms.get_center_of_mass()
        assert np.abs(moved).max() < 1e-9

    def test_drift_is_the_slope(self):
        result = md(spring_crystal(2), steps=200, temperature=600.0, ensemble="nve", timestep=5.0)
        slope = np.polyfit(result.times / 1000, 1000 * result.conserved / 32, 1)[0]
        assert result.drift == pytest.approx(slope)


class TestTemperature:
    @pytest.mark.parametrize("ensemble", [*THERMOSTATS, *BAROSTATS])
    def test_few_atoms_have_it_in_the_mean(self, ensemble):
        """ASE's own count of degrees of freedom would make four atoms hotter by a third."""
        atoms = spring_crystal()
        result = md(
            atoms,
            steps=1500,
            temperature=400.0,
            ensemble=ensemble,
            timestep=4.0,
            thermostat_time=40.0,
            every=2,
            seed=3,
        )
        assert result.degrees_of_freedom == (12 if ensemble == "nvt-langevin" else 9)
        mean = result.temperatures[50:].mean()
        assert mean == pytest.approx(400, rel=0.15)

    def test_kinetic_energy_of_bussi_is_canonical(self):
        """A gas has nothing else: mean and variance of a chi-square distribution."""
        result = md(
            gas(8),
            steps=2000,
            temperature=300.0,
            timestep=2.0,
            thermostat_time=2.0,
            every=1,
        )
        kinetic = result.kinetic[20:] / (units.kB * 300)
        assert kinetic.mean() == pytest.approx(21 / 2, rel=0.05)
        assert kinetic.var() == pytest.approx(21 / 2, rel=0.2)

    def test_ramp_is_followed(self):
        result = md(
            spring_crystal(2),
            steps=600,
            temperature=(100.0, 1000.0),
            timestep=4.0,
            thermostat_time=30.0,
        )
        early, late = result.temperatures[5:15].mean(), result.temperatures[-10:].mean()
        assert early == pytest.approx(100 + 900 * 10 / 60, rel=0.35)
        assert late == pytest.approx(1000 * 0.93, rel=0.2)

    def test_drawn_momenta(self):
        atoms = spring_crystal(3)
        rng = np.random.default_rng(0)
        momenta = draw_momenta(atoms, ensemble="nvt-langevin", temperature=300.0, rng=rng)
        scaled = momenta / np.sqrt(atoms.get_masses() * units.kB * 300)[:, None]
        assert scaled.std() == pytest.approx(1, abs=0.1)
        assert np.abs(momenta.sum(axis=0)).max() > 1  # the whole has its share too
        momenta = draw_momenta(atoms, ensemble="nve", temperature=300.0, rng=rng)
        kinetic = 0.5 * (momenta**2 / atoms.get_masses()[:, None]).sum()
        assert kinetic == pytest.approx((3 * 108 - 3) / 2 * units.kB * 300)
        assert np.abs(momenta.sum(axis=0)).max() < 1e-9

    @pytest.mark.parametrize(("name", "turns"), [("CO2", 2), ("H2O", 3)])
    def test_molecule_starts_without_turning(self, name, turns):
        atoms = molecule(name)
        atoms.positions += 20
        assert rigid_motions(atoms).shape == (9, 3 + turns)
        rng = np.random.default_rng(0)
        atoms.set_momenta(draw_momenta(atoms, ensemble="nvt", temperature=300.0, rng=rng))
        assert np.abs(atoms.get_angular_momentum()).max() < 1e-9
        assert atoms.get_kinetic_energy() > 0

    def test_seed_decides(self):
        first, again, other = (
            md(spring_crystal(2), steps=5, temperature=300.0, every=1, seed=seed).potential
            for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, again)
        assert (first[1:] != other[1:]).all()

    def test_velocities_of_the_structure_are_kept(self):
        atoms = spring_crystal(2)
        atoms.set_momenta(np.random.default_rng(0).normal(0, 2, (32, 3)) + 1)
        kept = md(atoms, steps=0, temperature=300.0, ensemble="nve").atoms.get_momenta()
        whole = atoms.get_momenta().mean(axis=0)  # all have the same mass
        np.testing.assert_allclose(kept, atoms.get_momenta() - whole, atol=1e-12)
        new = md(atoms, steps=0, temperature=300.0, ensemble="nve", new_velocities=True)
        assert new.temperatures[0] == pytest.approx(300)


class TestPressure:
    def test_of_an_ideal_gas(self):
        result = md(gas(200), steps=0, temperature=500.0, ensemble="nve")
        expected = 199 * units.kB * 500 / 12**3 / units.GPa  # the centre of mass is at rest
        assert result.pressures[0] == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize("ensemble", BAROSTATS)
    def test_is_reached(self, ensemble):
        result = md(
            spring_crystal(2),
            steps=1000,
            temperature=300.0,
            ensemble=ensemble,
            pressure=10.0,
            timestep=4.0,
            barostat_time=150.0,
            every=5,
        )
        assert result.pressures[60:].mean() == pytest.approx(10, abs=0.5)
        assert result.volumes[-1] < 0.98 * result.volumes[0]
        cell = result.atoms.cell.array
        is_cubic = np.allclose(cell, cell[0, 0] * np.eye(3), atol=1e-9)
        assert is_cubic == (ensemble == "npt")

    def test_without_stress_there_is_none(self):
        class Energies(Springs):
            implemented_properties = ["energy", "free_energy", "forces"]  # noqa: RUF012

            def calculate(self, *args):
                super().calculate(*args)
                del self.results["stress"]

        atoms = spring_crystal(2)
        atoms.calc = Energies(atoms)
        assert md(atoms, steps=0, temperature=300.0).pressures is None
        with pytest.raises(InputError, match="needs the stress, which this calculator does not"):
            md(atoms, steps=0, temperature=300.0, ensemble="npt")


class TestConstraints:
    @pytest.mark.parametrize("ensemble", ["nve", *THERMOSTATS])
    def test_fixed_atoms_stay(self, ensemble):
        atoms = fcc111("Cu", (2, 2, 3), vacuum=6)
        atoms.set_constraint(FixAtoms(range(4)))
        atoms.calc = EMT()
        result = md(atoms, steps=30, temperature=500.0, ensemble=ensemble)
        np.testing.assert_array_equal(result.atoms.positions[:4], atoms.positions[:4])
        assert (result.atoms.positions[4:] != atoms.positions[4:]).all()
        assert result.degrees_of_freedom == 24
        assert result.volumes is None

    def test_those_that_are_not_followed(self):
        atoms = spring_crystal(2)
        atoms.set_constraint(FixAtoms([0]))
        with pytest.raises(InputError, match="at constant pressure no atom can be fixed"):
            md(atoms, steps=1, temperature=300.0, ensemble="npt")
        atoms.set_constraint(FixBondLengths([(0, 1)]))
        with pytest.raises(InputError, match="the structure has FixBondLengths"):
            md(atoms, steps=1, temperature=300.0)
        atoms.set_constraint(FixAtoms(range(32)))
        with pytest.raises(InputError, match="all atoms are fixed"):
            md(atoms, steps=1, temperature=300.0)


class TestInterface:
    @pytest.mark.parametrize("ends", [[300.0, 400.0], (300.0, 400.0)])
    def test_a_ramp_is_any_pair(self, ends):
        result = md(spring_crystal(), steps=2, temperature=ends)
        assert result.steps == 2

    @pytest.mark.parametrize("ends", [[300.0], [1.0, 2.0, 3.0]])
    def test_what_is_no_ramp(self, ends):
        with pytest.raises(InputError, match="expected a temperature as a number, or as two"):
            md(spring_crystal(), steps=2, temperature=ends)
        with pytest.raises(InputError, match="expected a pressure as a number, or as two"):
            md(spring_crystal(), steps=2, temperature=300.0, ensemble="npt", pressure=ends)

    def test_input_is_left_alone_and_positions_are_not_wrapped(self):
        atoms = spring_crystal(2)
        atoms.positions -= 30.0
        before, calculator = atoms.copy(), atoms.calc
        result = md(atoms, steps=20, temperature=300.0)
        assert atoms == before
        assert not atoms.has("momenta")
        assert atoms.calc is calculator is result.atoms.calc
        assert np.abs(result.atoms.positions - atoms.positions).max() < 1

    def test_every_and_on_step(self):
        seen = []
        result = md(spring_crystal(2), steps=25, temperature=300.0, every=10, on_step=seen.append)
        assert [step.step for step in seen] == [0, 10, 20]
        assert result.steps == 25
        assert not result.stopped
        np.testing.assert_array_equal(result.times, [0, 20, 40])
        np.testing.assert_array_equal(result.potential, [step.potential for step in seen])
        assert seen[0].pressure == result.pressures[0]

    def test_on_step_can_end_it(self):
        def two_are_enough(step):
            return step.step == 20

        result = md(spring_crystal(2), steps=100, temperature=300.0, on_step=two_are_enough)
        assert result.stopped
        assert result.steps == 20
        assert len(result.times) == 3

    def test_timestep_follows_the_lightest_element(self):
        names = {"H2O": 0.5, "CO2": 1.5}
        assert {name: default_timestep(molecule(name)) for name in names} == names
        assert default_timestep(bulk("Li")) == 1.0
        assert default_timestep(bulk("Cu")) == 2.0
        assert longest_timestep(molecule("H2O")) == 1.0
        heavy = molecule("H2O")
        heavy.set_masses([16, 4.1, 4.1])
        assert default_timestep(heavy) == 1.0
        assert md(spring_crystal(2), steps=0, temperature=1.0).timestep == 2.0


class TestExplosions:
    def test_timestep_far_too_long(self):
        with pytest.raises(NumericalError, match=r"step \d+: .*Try a timestep shorter than 60 fs"):
            md(spring_crystal(2), steps=200, temperature=1500.0, ensemble="nve", timestep=60.0)

    def test_hot(self):
        atoms = spring_crystal(2)
        atoms.positions[0] += (5, 5, 0)
        with pytest.raises(NumericalError, match="the temperature rose to"):
            md(atoms, steps=200, temperature=10.0, ensemble="nve", timestep=4.0)

    def test_not_a_number(self):
        class Breaks(Springs):
            def calculate(self, atoms=None, properties=(), system_changes=all_changes):
                super().calculate(atoms, properties, system_changes)
                if np.abs(atoms.positions - start).max() > 0.1:
                    self.results["forces"] = np.full((32, 3), np.nan)

        atoms = spring_crystal(2)
        start = atoms.positions.copy()
        atoms.calc = Breaks(atoms)
        with pytest.raises(NumericalError, match=r"step \d+: "):
            md(atoms, steps=200, temperature=900.0)
        atoms.positions[0] += 0.2
        with pytest.raises(NumericalError, match="step 1: "):
            md(atoms, steps=200, temperature=900.0)

    def test_energy_of_the_start_is_not_a_number(self):
        class Nothing(NoForce):
            def calculate(self, *args, **kwargs):
                super().calculate(*args, **kwargs)
                self.results["energy"] = np.nan

        atoms = gas(4)
        atoms.calc = Nothing()
        with pytest.raises(NumericalError, match="step 0: the energy is nan eV"):
            md(atoms, steps=1, temperature=300.0)

    def test_atom_lost(self):
        atoms = Atoms("Ar4", [(0, 0, 0), (3.8, 0, 0), (0, 3.8, 0), (0, 0, 20)])
        atoms.calc = LennardJones(sigma=3.4, epsilon=0.01, rc=8.0)
        momenta = np.zeros((4, 3))
        momenta[3] = 0, 0, 30
        atoms.set_momenta(momenta)
        with pytest.raises(NumericalError, match=r"atom 3 \(Ar\) is .* Å from the others"):
            md(atoms, steps=2000, temperature=50.0, ensemble="nve", timestep=5.0)

    @pytest.mark.parametrize(("pressure", "what"), [(-60.0, "boiled"), (300.0, "collapsed")])
    def test_volume(self, pressure, what):
        with pytest.raises(NumericalError, match=f"it has {what}: the volume is"):
            md(
                gas(20),
                steps=500,
                temperature=500.0,
                ensemble="npt",
                pressure=pressure,
                barostat_time=100.0,
            )

    def test_calculator_refuses(self):
        class Picky(Springs):
            def calculate(self, atoms=None, properties=(), system_changes=all_changes):
                if np.abs(atoms.positions - start).max() > 0.1:
                    raise InputError("atoms 0 and 1 are too close")
                super().calculate(atoms, properties, system_changes)

        atoms = spring_crystal(2)
        start = atoms.positions.copy()
        atoms.calc = Picky(atoms)
        with pytest.raises(NumericalError, match=r"step \d+: atoms 0 and 1 are too close; the run"):
            md(atoms, steps=200, temperature=900.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.0}, "temperature above 0 K"),
        ({"temperature": (300.0, -1.0)}, "temperature above 0 K"),
        ({"temperature": float("nan")}, "temperature above 0 K"),
        ({"ensemble": "nvt-berendsen"}, "no ensemble 'nvt-berendsen'; choose one of nve, nvt"),
        ({"timestep": 0.0}, "timestep above 0 fs"),
        ({"timestep": float("inf")}, "timestep above 0 fs"),
        ({"thermostat_time": -1.0}, "thermostat time above 0 fs"),
        ({"steps": -1}, "0 or more steps"),
        ({"every": 0}, "logged every 1 or more"),
        ({"pressure": 1.0}, "a pressure needs a cell that changes"),
        ({"pressure": float("nan"), "ensemble": "npt"}, "a finite pressure"),
        ({"ensemble": "nve", "temperature": (1.0, 2.0)}, "takes its own course"),
        ({"resume": True}, "name its trajectory"),
        ({"trajectory": "run.db"}, r"to end in .traj, .xyz or .extxyz, got run.db"),
    ],
)
def test_arguments_without_meaning(arguments, message):
    with pytest.raises(InputError, match=message):
        md(spring_crystal(2), **{"steps": 1, "temperature": 300.0, **arguments})


def test_structures_that_cannot_move():
    with pytest.raises(InputError, match="at least two atoms"):
        md(bulk("Cu"), steps=1, temperature=300.0)
    with pytest.raises(InputError, match="no calculator; attach one"):
        md(bulk("Cu", cubic=True), steps=1, temperature=300.0)
    massless = spring_crystal(2)
    massless.set_masses(np.zeros(32))
    with pytest.raises(InputError, match="masses above zero"):
        md(massless, steps=1, temperature=300.0)
    slab = fcc111("Cu", (1, 1, 3), vacuum=6)
    slab.calc = EMT()
    with pytest.raises(InputError, match="repeats along all three directions"):
        md(slab, steps=1, temperature=300.0, ensemble="npt")
