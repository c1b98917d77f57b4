from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator

from ase_symcalc.errors import InputError
from ase_symcalc.training.config import DataFile
from ase_symcalc.training.dataset import read_frames
from ase_symcalc.training.labels import Labels, read_labels


def labels(atoms: Atoms, **settings: str) -> Labels:
    return read_labels(atoms, "frame 0", DataFile("a.xyz", **settings))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda results: results.clear(), "frame 17 of .* has neither energy nor forces"),
        (lambda results: results.update(energy=np.nan), "frame 17 .* finite number: energy"),
        (lambda results: results["forces"].fill(np.inf), "frame 17 .* finite number: forces"),
        (lambda results: results["stress"].fill(np.nan), "frame 17 .* finite number: stress"),
        (lambda results: results["forces"].__iadd__(0.1), r"frame 17 .* sum to 0\.4 eV/Å"),
    ],
)
def test_what_is_no_label_is_refused_by_number(
    frames: list[Atoms], tmp_path: Path, change: Callable, message: str
) -> None:
    broken = frames[1].copy()
    results = {k: np.array(v, copy=True) for k, v in frames[1].calc.results.items()}
    change(results)
    broken.calc = SinglePointCalculator(broken, **results)
    path = tmp_path / "broken.traj"
    ase.io.write(path, [*frames, frames[0], broken])
    with pytest.raises(InputError, match=message):
        read_frames(DataFile(str(path)), 3.5, ("Cu", "Au"), weights={})


def test_labels_are_found_under_other_names(frames: list[Atoms]) -> None:
    atoms = frames[1].copy()
    atoms.info.update(dft_energy=-3.0, dft_stress=[1.0, 2.0, 3.0, 0.1, 0.2, 0.3])
    atoms.arrays["dft_forces"] = frames[1].get_forces()
    keys = {f"{key}_key": f"dft_{key}" for key in ("energy", "forces", "stress")}
    found = labels(atoms, **keys)
    assert found.energy == -3.0
    np.testing.assert_array_equal(found.forces, frames[1].get_forces())
    np.testing.assert_allclose(found.stress, [[1, 0.3, 0.2], [0.3, 2, 0.1], [0.2, 0.1, 3]])
    with pytest.raises(InputError, match=r"neither energy nor forces; .*energy_key"):
        labels(atoms)


def test_rounded_forces_pass_and_a_frozen_atom_does_not(frames: list[Atoms]) -> None:
    atoms = frames[1] * (3, 3, 3)
    forces = np.random.default_rng(0).normal(size=(len(atoms), 3))
    forces = (forces - forces.mean(axis=0)).round(2)
    atoms.calc = SinglePointCalculator(atoms, forces=forces)
    assert labels(atoms).energy is None
    forces[np.abs(forces).max(axis=1).argmax()] = 0
    atoms.calc = SinglePointCalculator(atoms, forces=forces)
    with pytest.raises(InputError, match="forces of frozen atoms set to zero"):
        labels(atoms)


def test_forces_of_a_molecule_turn_nothing() -> None:
    atoms = molecule("H2O")
    pull = atoms.positions[1] - atoms.positions[0]
    atoms.calc = SinglePointCalculator(atoms, forces=np.array([pull, -pull, 0 * pull]))
    labels(atoms)
    atoms.rotate(40, "x")
    atoms.calc = SinglePointCalculator(atoms, forces=np.array([pull, -pull, 0 * pull]))
    with pytest.raises(InputError, match=r"torque of .* another orientation or another order"):
        labels(atoms)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ({"forces": np.zeros((2, 3))}, r"forces of shape \(2, 3\); expected \(4, 3\)"),
        ({"energy": [1.0, 2.0]}, r"energy of shape \(2,\); expected \(\)"),
        ({"energy": 0.0, "stress": np.zeros(5)}, r"stress of shape \(5,\); expected \(6,\) or"),
        ({"energy": "low"}, "finite number: energy"),
    ],
)
def test_labels_of_another_shape_are_refused(
    frames: list[Atoms], results: dict, message: str
) -> None:
    atoms = frames[1].copy()
    atoms.calc = SinglePointCalculator(atoms)
    atoms.calc.results = results
    with pytest.raises(InputError, match=message):
        labels(atoms)


def test_a_stress_is_symmetric_or_left_out(frames: list[Atoms]) -> None:
    atoms = frames[1].copy()
    atoms.calc = SinglePointCalculator(atoms, energy=0.0)
    atoms.calc.results["stress"] = np.arange(9.0).reshape(3, 3)
    assert labels(atoms, stress="none").stress is None
    with pytest.raises(InputError, match="a stress that is not symmetric"):
        labels(atoms)
