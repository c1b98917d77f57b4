from __future__ import annotations

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from ase_symcalc.errors import InputError
from ase_symcalc.training.config import DataFile
from ase_symcalc.training.dataset import Frame, read_frames
from ase_symcalc.training.split import split


def read(path: Path) -> list[Frame]:
    return read_frames(DataFile(str(path)), 3.5, ("Cu", "Au"), weights={})


def names(frames: list[Frame]) -> list[str]:
    return [frame.name for frame in frames]


def write_run(path: Path, start: Atoms, length: int, **info: str) -> None:
    rng = np.random.default_rng(3)
    frames = []
    for n in range(length):
        atoms = start.copy()
        forces = rng.normal(size=(len(atoms), 3))
        results = {"energy": rng.normal(), "forces": forces - forces.mean(axis=0)}
        atoms.calc = SinglePointCalculator(atoms, **results)
        atoms.info = {"step": n, **info}
        frames.append(atoms)
    ase.io.write(path, frames)


def test_copies_under_a_symmetry_stay_on_one_side(frames: list[Atoms], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    turned = []
    for atoms in frames:
        twin, turn = atoms.copy(), np.linalg.qr(rng.normal(size=(3, 3)))[0]
        twin.set_cell(atoms.cell.array @ turn)
        twin.positions = atoms.positions @ turn
        results = {
            # as another mesh of k-points gives it
            "energy": atoms.get_potential_energy() + 2e-5 * rng.uniform(),
            "forces": atoms.get_forces() @ turn + 1e-4 * rng.uniform(),
        }
        order = rng.permutation(len(twin))
        results["forces"] = results["forces"][order]
        twin = twin[order]
        twin.calc = SinglePointCalculator(twin, **results)
        turned.append(twin)
    ase.io.write(tmp_path / "twins.traj", frames + turned)
    made = read(tmp_path / "twins.traj")
    training, validation = split(made, 0.25, seed=0)
    assert len(training) + len(validation) == 32
    assert len(validation) == 8
    assert {f.number % 16 for f in training}.isdisjoint(f.number % 16 for f in validation)


def test_a_duplicate_in_another_file_stays_with_its_original(
    frames: list[Atoms], data_file: Path, tmp_path: Path
) -> None:
    ase.io.write(tmp_path / "copy.traj", frames[::-1])
    made = read(data_file) + read(tmp_path / "copy.traj")
    training, validation = split(made, 0.25, seed=2)
    energies = [{round(f.energy, 4) for f in side} for side in (training, validation)]
    assert energies[0].isdisjoint(energies[1])


def test_the_side_is_a_function_of_seed_and_frames_alone(data_file: Path) -> None:
    made = read(data_file)
    validation = names(split(made, 0.25, seed=0)[1])
    assert sorted(validation) == sorted(names(split(made[::-1], 0.25, seed=0)[1]))
    assert validation == names(split(made, 0.25, seed=0)[1])
    assert validation != names(split(made, 0.25, seed=1)[1])


def test_a_run_is_kept_whole_beside_other_frames(
    frames: list[Atoms], data_file: Path, tmp_path: Path
) -> None:
    write_run(tmp_path / "run.traj", frames[1], 4)
    ase.io.write(tmp_path / "all.traj", frames + ase.io.read(tmp_path / "run.traj", ":"))
    made = read(tmp_path / "all.traj")
    sides = set()
    for seed in range(6):
        training, validation = split(made, 0.3, seed=seed)
        assert len(training) + len(validation) == 20
        runs = [{bool(f.run) for f in side} for side in (training, validation)]
        assert True not in runs[0] & runs[1]
        sides.add(True in runs[0])
    assert sides == {True, False}


def test_a_run_alone_is_cut_and_its_cuts_are_left_out(frames: list[Atoms], tmp_path: Path) -> None:
    write_run(tmp_path / "run.traj", frames[1], 100)
    training, validation = split(read(tmp_path / "run.traj"), 0.1, seed=0)
    taken = np.array([f.number for f in validation])
    assert len(taken) == 10
    gap = np.abs(taken[:, None] - [f.number for f in training]).min()
    assert gap == 2
    assert len(training) in range(100 - 10 - 4, 100 - 10)


def test_a_split_with_an_empty_side_is_refused(data_file: Path) -> None:
    with pytest.raises(
        InputError, match=r"16 frames cannot be split with validation_fraction 0.01"
    ):
        split(read(data_file), 0.01, seed=0)
