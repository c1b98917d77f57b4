"""Copper under small strains and displacements, with labels that are made wrong in known ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

from ase_symcalc.errors import InputError
from ase_symcalc.training.config import DataFile
from ase_symcalc.training.consistency import check_consistency, find_works
from ase_symcalc.training.dataset import Frame, read_frames

GPA = 160.21766208


def labelled(atoms: Atoms) -> Atoms:
    atoms.calc = EMT()
    results = {key: atoms.calc.get_property(key, atoms) for key in ("energy", "forces", "stress")}
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def read(frames: list[Atoms], path: Path) -> list[Frame]:
    ase.io.write(path, frames)
    return read_frames(DataFile(str(path)), 3.5, ("Cu",), weights={})


def strain_copper(size: float, count: int) -> list[Atoms]:
    """Compressed copper, each frame strained at random, turned, moved and refolded."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(count):
        atoms = bulk("Cu", a=3.5, cubic=True)
        strain = size * rng.normal(size=(3, 3))
        turn = np.linalg.qr(np.eye(3) + 0.2 * rng.normal(size=(3, 3)))[0]
        turn *= np.sign(np.linalg.det(turn))
        atoms.set_cell(atoms.cell @ (np.eye(3) + (strain + strain.T) / 2) @ turn, scale_atoms=True)
        atoms.positions += rng.normal(size=3)
        atoms.wrap()
        frames.append(labelled(atoms))
    return frames


@pytest.fixture(scope="module")
def strained(tmp_path_factory: pytest.TempPathFactory) -> list[Frame]:
    return read(strain_copper(0.01, 40), tmp_path_factory.mktemp("strained") / "cu.traj")


@pytest.fixture(scope="module")
def rattled(tmp_path_factory: pytest.TempPathFactory) -> list[Frame]:
    frames = []
    for seed in range(40):
        atoms = bulk("Cu", cubic=True) * (2, 1, 1)
        atoms.rattle(0.05, seed=seed)
        frames.append(labelled(atoms))
    return read(frames, tmp_path_factory.mktemp("rattled") / "cu.traj")


def with_stress(frames: list[Frame], change: Callable) -> list[Frame]:
    return [replace(f, stress=change(f.stress)) for f in frames]


def permuted(stress: torch.Tensor, order: tuple[int, int, int]) -> torch.Tensor:
    shear = torch.stack([stress[1, 2], stress[0, 2], stress[0, 1]])[list(order)]
    wrong = torch.diag(stress.diagonal())
    for value, (i, j) in zip(shear, ((1, 2), (0, 2), (0, 1)), strict=True):
        wrong[i, j] = wrong[j, i] = value
    return wrong


def test_work_is_the_change_of_energy_to_second_order(tmp_path: Path) -> None:
    left = []
    for size in (0.004, 0.002):
        works = find_works(read(strain_copper(size, 12), tmp_path / "cu.traj"))
        assert works is not None
        stress = works.normal + np.trace(works.shear, axis1=1, axis2=2)
        left.append(np.abs(works.energy - works.force - stress).max())
        assert left[-1] < 0.02 * np.abs(works.energy).max()
        assert works.displacement.max() < 1e-4
    assert left[0] / left[1] == pytest.approx(8, rel=0.3)


def test_harmonic_displacements_do_their_work(rattled: list[Frame]) -> None:
    works = find_works(rattled)
    assert works is not None
    left = works.energy - works.force
    assert np.square(left).sum() < 0.02 * np.square(works.energy).sum()
    assert works.strain.max() < 1e-6


def test_right_labels_pass(strained: list[Frame], rattled: list[Frame]) -> None:
    check_consistency([*strained, *rattled])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: -s, "their sign is turned"),
        (lambda s: GPA * s, "they are in GPa"),
        (lambda s: 10 * GPA * s, "they are in kbar"),
        (lambda s: -10 * GPA * s, "their sign is turned and they are in kbar"),
        (lambda s: s / 183.63, "they are in Hartree/Bohr³"),
        (lambda s: 3.5**3 * s, "they are virials, in eV"),
        (lambda s: permuted(s, (2, 0, 1)), "as if what stands for yz, xz, xy were xy, yz, xz"),
        (lambda s: permuted(s, (1, 0, 2)), "as if what stands for yz, xz, xy were xz, yz, xy"),
        (
            lambda s: s + 0.02 * torch.eye(3),
            r'as if \+3[12][.\d]* kbar .* stress = "deviatoric"',
        ),
    ],
)
def test_a_stress_that_does_not_fit_is_recognised(
    strained: list[Frame], change: Callable, message: str
) -> None:
    with pytest.raises(InputError, match=rf"stresses of .*frame \d+ of .*{message}"):
        check_consistency(with_stress(strained, change))


def test_a_pressure_that_is_not_trusted_may_be_off(strained: list[Frame]) -> None:
    off = with_stress(strained, lambda s: s + 0.02 * torch.eye(3))
    check_consistency([replace(f, deviatoric=True) for f in off])


@pytest.mark.parametrize(
    ("energy", "force", "message"),
    [
        (1.0, -1.0, "the sign of the forces is turned"),
        (1 / 8, 1.0, "the energies are per atom"),
        (1 / 27.211386, 1.0, "the energies are in Hartree"),
        (1.0, 0.529177 / 27.211386, "the forces are in Hartree/Bohr"),
        (23.06055, 1.0, "the energies are in kcal/mol"),
        (7.0, 1.0, "which should be equal"),
    ],
)
def test_forces_that_do_not_fit_are_recognised(
    rattled: list[Frame], energy: float, force: float, message: str
) -> None:
    wrong = [replace(f, energy=energy * f.energy, forces=force * f.forces) for f in rattled]
    with pytest.raises(InputError, match=rf"forces of .*frame \d+ of .* other pairs.*{message}"):
        check_consistency(wrong)


def test_nothing_is_said_where_nothing_can_be_told(
    strained: list[Frame], rattled: list[Frame]
) -> None:
    check_consistency(with_stress(strained, lambda s: -s)[:3])
    check_consistency([replace(f, energy=None, forces=-f.forces) for f in rattled])
    check_consistency([replace(f, forces=None) for f in rattled])
    noise = np.random.default_rng(0).normal(size=len(rattled))
    check_consistency([replace(f, energy=float(e)) for f, e in zip(rattled, noise, strict=True)])
    check_consistency([])
