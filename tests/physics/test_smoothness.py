"""Nothing jumps when an atom comes within reach."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_symcalc import evaluate
from tests.conftest import CUTOFF
from tests.tolerances import TIGHT


def along_x(potential, distances):
    """Energies of a bent trimer, and forces on its last atom, as that goes away along x."""
    results = evaluate(
        [Atoms("SiGeCu", [(0, 0, 0), (-0.4, 2.4, 0.3), (x, 0, 0)]) for x in distances], potential
    )
    return np.array([r.energy for r in results]), np.array([r.forces[2] for r in results])


def simpson(values, step):
    return step / 3 * (values[0] + 4 * sum(values[1:-1:2]) + 2 * sum(values[2:-1:2]) + values[-1])


def test_energy_and_forces_fade_out_towards_the_cutoff(potential):
    """With two derivatives at least: a tenth of the way leaves less than 1/1000 of the energy."""
    (*energies, outside), forces = along_x(potential, CUTOFF - np.array([1e-1, 1e-2, 1e-3, 0.0]))
    left = np.abs(np.array(energies) - outside)
    assert (left[1:] < 2e-3 * left[:-1]).all()
    push = np.linalg.norm(forces, axis=1)
    assert (push[1:3] < 2e-2 * push[:2]).all()


def test_energy_and_forces_have_no_step_across_the_cutoff(potential):
    distances = CUTOFF + np.linspace(-1e-6, 1e-6, 21)
    energies, forces = along_x(potential, distances)
    assert np.ptp(energies - energies[-1]) < TIGHT
    assert np.ptp(forces, axis=0).max() < TIGHT


def test_the_work_done_on_the_way_through_the_cutoff_is_the_change_of_energy(potential):
    """Simpson's rule, through the ends of the repulsion and of both atoms' reach."""
    distances = np.linspace(1.5, CUTOFF + 0.5, 1201)
    energies, forces = along_x(potential, distances)
    work = -simpson(forces[:, 0], distances[1] - distances[0])
    assert work == pytest.approx(energies[-1] - energies[0], abs=1e-5)


def test_the_work_of_the_stress_through_several_shells_is_the_change_of_energy(potential):
    scales = np.linspace(0.95, 1.25, 301)
    crystals = [bulk("Cu", a=3.6 * scale) for scale in scales]
    results = evaluate(crystals, potential)
    slopes = [
        np.trace(result.stress) * atoms.get_volume() / scale
        for scale, atoms, result in zip(scales, crystals, results, strict=True)
    ]
    work = simpson(slopes, scales[1] - scales[0])
    assert work == pytest.approx(results[-1].energy - results[0].energy, abs=1e-5)
