"""Radial distributions and diffusion, against what is known exactly."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule

from ase_symcalc.apps import diffusion, radial_distribution
from ase_symcalc.errors import InputError


def gas(seed, symbols="Ar300Ne200"):
    rng = np.random.default_rng(seed)
    cell = np.array([(18, 0, 0), (3, 17, 0), (-2, 4, 19)], dtype=float)
    atoms = Atoms(symbols, cell=cell, pbc=True)
    atoms.positions = rng.uniform(-1, 2, (len(atoms), 3)) @ cell  # not wrapped
    return atoms


def walk(coefficient, *, n_frames=2000, n_atoms=60, interval=20.0, seed=0, symbols=None):
    """Steps with the variance that Einstein asks for: 2 D t in each direction."""
    rng = np.random.default_rng(seed)
    sigma = np.sqrt(2 * coefficient * interval / 1000)
    steps = rng.normal(0, sigma, (n_frames, n_atoms, 3))
    start = Atoms(symbols or f"Ar{n_atoms}", cell=np.eye(3) * 20, pbc=True)
    images = []
    for positions in np.cumsum(steps, axis=0):
        images.append(start.copy())
        images[-1].positions = positions
    return images


class TestRadialDistribution:
    def test_ideal_gas_is_one_everywhere(self):
        radial = radial_distribution([gas(seed) for seed in range(6)], cutoff=9.0, n_bins=45)
        assert radial.n_frames == 6
        far = radial.distances > 2
        for values, alike in ((radial.partial["Ar", "Ar"], 300), (radial.partial["Ar", "Ne"], 0)):
            expected = 1 - 1 / alike if alike else 1  # an atom does not meet itself
            assert values[far].mean() == pytest.approx(expected, abs=0.01)
            assert np.abs(values[far] - expected).max() < 0.25

    def test_crystal_has_its_shells(self):
        copper = bulk("Cu", a=3.6)  # one atom, all neighbours are its images
        radial = radial_distribution([copper], cutoff=5.0, n_bins=250)
        density = 1 / copper.get_volume()
        width = radial.distances[1] - radial.distances[0]
        shells = 4 / 3 * np.pi * ((radial.distances + width / 2) ** 3).copy()
        volumes = np.diff(shells, prepend=0.0)
        around = np.cumsum(radial.total * density * volumes)
        for distance, number in ((2.4, 0), (2.7, 12), (3.7, 18), (4.5, 42)):
            assert np.interp(distance, radial.distances, around) == pytest.approx(number, abs=1e-6)
        peak = radial.distances[radial.total.argmax()]
        assert peak == pytest.approx(3.6 / np.sqrt(2), abs=width)

    def test_partials_of_a_compound_add_up(self):
        salt = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
        salt.rattle(0.05)
        radial = radial_distribution([salt])
        assert list(radial.partial) == [("Cl", "Cl"), ("Cl", "Na"), ("Na", "Na")]
        alike = radial.partial["Cl", "Cl"] + radial.partial["Na", "Na"]
        total = 0.25 * (alike + 2 * radial.partial["Cl", "Na"])
        np.testing.assert_allclose(radial.total, total, atol=1e-12)
        assert radial.distances[np.flatnonzero(radial.partial["Cl", "Na"])[0]] < 2.9
        assert radial.distances[np.flatnonzero(radial.partial["Na", "Na"])[0]] > 3.5

    def test_does_not_depend_on_cell_or_wrapping(self):
        atoms = gas(0, "Ar40")
        wrapped = atoms.copy()
        wrapped.wrap()
        double = atoms * (2, 1, 1)
        expected = radial_distribution([atoms]).total
        for other in (wrapped, double):
            np.testing.assert_allclose(radial_distribution([other]).total, expected, atol=1e-9)

    def test_refusals(self):
        with pytest.raises(InputError, match="repeats along three directions"):
            radial_distribution([fcc111("Cu", (2, 2, 2), vacuum=5)])
        with pytest.raises(InputError, match="at least one frame"):
            radial_distribution([])
        with pytest.raises(InputError, match="a cutoff above 0"):
            radial_distribution([bulk("Cu")], cutoff=0.0)
        with pytest.raises(InputError, match="at least one bin"):
            radial_distribution([bulk("Cu")], n_bins=0)


class TestDiffusion:
    @pytest.mark.parametrize("coefficient", [0.03, 4.0])
    def test_random_walk(self, coefficient):
        (found,) = diffusion(walk(coefficient), 20.0)
        expected = coefficient * (1 - 1 / 60)  # what the centre of mass took away
        assert found.element == "Ar"
        assert found.coefficient == pytest.approx(expected, abs=4 * found.error)
        assert found.coefficient == pytest.approx(expected, rel=0.1)
        assert 0 < found.error < 0.1 * expected
        assert found.exponent == pytest.approx(1, abs=0.1)
        assert found.is_diffusive
        assert found.window == pytest.approx((0.2 * 8, 0.5 * 8))  # a block lasts 8 ps
        assert found.lags[0] == pytest.approx(0.02)
        assert found.lags[-1] == pytest.approx(4)
        np.testing.assert_allclose(found.msd, 6 * expected * found.lags, rtol=0.15)

    def test_errors_are_honest(self):
        off = []
        for seed in range(12):
            (found,) = diffusion(walk(1.0, n_frames=400, n_atoms=20, seed=seed), 20.0)
            off.append((found.coefficient - 0.95) / found.error)
        assert 0.4 < np.sqrt(np.mean(np.square(off))) < 2.2

    def test_each_element_has_its_own(self):
        images = walk(1.0, symbols="Li30O30")
        for atoms, lattice in zip(images, walk(1e-6, seed=1), strict=True):
            atoms.positions[30:] = lattice.positions[30:]
        light, heavy = diffusion(images, 20.0)
        assert (light.element, heavy.element) == ("Li", "O")
        assert light.is_diffusive
        assert light.coefficient == pytest.approx(1, rel=0.25)
        assert heavy.coefficient < 0.1

    def test_window_of_ones_own(self):
        (found,) = diffusion(walk(1.0), 20.0, window=(0.5, 6.0))
        assert found.window == pytest.approx((0.5, 6.0))
        assert found.coefficient == pytest.approx(59 / 60, abs=4 * found.error)

    def test_vibrating_atoms_do_not_diffuse(self):
        rng = np.random.default_rng(0)
        images = []
        for _ in range(200):
            images.append(bulk("Cu", cubic=True) * 2)
            images[-1].positions += rng.normal(0, 0.1, (32, 3))
        (found,) = diffusion(images, 20.0)
        assert not found.is_diffusive
        assert found.exponent == pytest.approx(0, abs=0.05)

    def test_free_flight_is_no_diffusion(self):
        images = walk(1.0, n_frames=100)
        velocities = np.random.default_rng(0).normal(size=(60, 3))
        for n, atoms in enumerate(images):
            atoms.positions = n * velocities
        (found,) = diffusion(images, 20.0)
        assert found.exponent == pytest.approx(2)
        assert not found.is_diffusive

    def test_drift_of_the_whole_is_left_out(self):
        images = walk(1.0)
        (expected,) = diffusion(images, 20.0)
        for n, atoms in enumerate(images):
            atoms.positions += n * np.array([0.1, 0.2, 0.3])
        (found,) = diffusion(images, 20.0)
        assert found.coefficient == pytest.approx(expected.coefficient)

    def test_breathing_of_the_cell_is_left_out(self):
        images = walk(1.0)
        (expected,) = diffusion(images, 20.0)
        for n, atoms in enumerate(images):
            atoms.positions += 40
            atoms.set_cell(atoms.cell.array * (1 + 0.05 * np.sin(n)), scale_atoms=True)
        (found,) = diffusion(images, 20.0)
        assert found.coefficient == pytest.approx(expected.coefficient, rel=1e-2)

    def test_molecule_in_no_cell(self):
        images = [molecule("H2O") for _ in range(60)]
        assert [each.element for each in diffusion(images, 1.0)] == ["H", "O"]
        assert not any(each.is_diffusive for each in diffusion(images, 1.0))

    def test_refusals(self):
        images = walk(1.0, n_frames=49)
        with pytest.raises(InputError, match="at least 50 frames, got 49"):
            diffusion(images, 20.0)
        images = walk(1.0, n_frames=100)
        for window in ((0.1, 0.5), (0.2, 0.1), (0.02, 0.04)):
            with pytest.raises(InputError, match=r"expected a window of at least three frames"):
                diffusion(images, 20.0, window=window)
        images[7] = images[7][::-1] + Atoms("Ne")
        with pytest.raises(InputError, match="the same atoms in the same order"):
            diffusion(images, 20.0)
