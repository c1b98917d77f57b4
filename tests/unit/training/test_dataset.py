from __future__ import annotations

import lzma
from itertools import pairwise
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from ase_symcalc.errors import InputError
from ase_symcalc.training.config import DataFile
from ase_symcalc.training.dataset import (
    Frame,
    collate,
    epoch_order,
    pack,
    read_atoms,
    read_frames,
)

ELEMENTS = ("Cu", "Au")


def read(path: Path, cutoff: float = 3.5, elements: tuple[str, ...] = ELEMENTS) -> list[Frame]:
    return read_frames(DataFile(str(path)), cutoff, elements, weights={"small": 2.0})


def test_labels_arrive_in_order_with_their_weights(frames: list[Atoms], data_file: Path) -> None:
    made = read(data_file)
    assert [f.energy for f in made] == pytest.approx(
        [atoms.get_potential_energy() for atoms in frames], abs=1e-6
    )
    for frame, atoms in zip(made, frames, strict=True):
        assert frame.graph.n_structures == 1
        assert frame.graph.positions.dtype == torch.float32
        np.testing.assert_allclose(frame.forces, atoms.get_forces(), atol=1e-6)
        assert frame.weight == (2.0 if atoms.info["config_type"] == "small" else 1.0)
        if "stress" in atoms.calc.results:
            assert frame.stress is not None
            np.testing.assert_allclose(frame.stress, atoms.get_stress(voigt=False), atol=1e-6)
        else:
            assert frame.stress is None


def test_compressed_files_and_slices_are_read(data_file: Path, tmp_path: Path) -> None:
    path = tmp_path / "copy.extxyz.xz"
    path.write_bytes(lzma.compress(data_file.read_bytes()))
    plain = ase.io.read(data_file, index="1:8:2")
    assert read_atoms(DataFile(str(path), "1:8:2")) == plain
    assert len(read_atoms(DataFile(str(path), "0"))) == 1


def test_frames_of_other_elements_or_no_file_are_refused(
    frames: list[Atoms], data_file: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"frame 1 of .* holds Au, but model.elements lists only"):
        read(data_file, elements=("Cu",))
    with pytest.raises(InputError, match=r"cannot read frames : of .*absent.xyz"):
        read(tmp_path / "absent.xyz")
    with pytest.raises(InputError, match="there are none"):
        read_atoms(DataFile(str(data_file), "100:"))


def test_frames_with_a_large_force_are_left_out(frames: list[Atoms], data_file: Path) -> None:
    largest = sorted(np.linalg.norm(a.get_forces(), axis=1).max() for a in frames)
    kept = read_frames(
        DataFile(str(data_file)), 3.5, ELEMENTS, weights={}, max_force=(largest[3] + largest[4]) / 2
    )
    assert len(kept) == 4


def test_a_molecule_gets_a_volume_but_no_stress(tmp_path: Path) -> None:
    atoms = Atoms("Cu2", [[0, 0, 0], [0, 0, 2.3]])
    atoms.calc = SinglePointCalculator(atoms, energy=1.0, forces=np.zeros((2, 3)))
    ase.io.write(tmp_path / "dimer.traj", atoms)
    (frame,) = read(tmp_path / "dimer.traj")
    assert frame.stress is None
    assert frame.graph.n_edges == 2
    assert torch.linalg.det(frame.graph.cell).item() != 0


def test_batches_hold_every_frame_once_within_the_budget() -> None:
    edges = [30, 80, 10, 500, 20, 20, 90]
    batches = pack(edges, 100)
    assert [i for batch in batches for i in batch] == list(range(7))
    assert batches == [[0], [1, 2], [3], [4, 5], [6]]


def test_the_order_changes_with_epoch_and_seed_only() -> None:
    assert epoch_order(50, 1, 2) == epoch_order(50, 1, 2)
    assert sorted(epoch_order(50, 1, 2)) == list(range(50))
    assert epoch_order(50, 1, 2) != epoch_order(50, 1, 3)
    assert epoch_order(50, 1, 2) != epoch_order(50, 2, 2)


def test_a_batch_masks_missing_stresses(data_file: Path) -> None:
    made = read(data_file)
    batch = collate(made)
    assert batch.has_stress.tolist() == [float(i % 4 != 0) for i in range(16)]
    assert batch.stress[0].abs().sum() == 0
    assert batch.n_atoms.sum() == batch.graph.n_atoms


def test_a_frame_with_one_label_only_is_masked_for_the_other(
    frames: list[Atoms], tmp_path: Path
) -> None:
    energy_only, forces_only = frames[1].copy(), frames[2].copy()
    energy_only.calc = SinglePointCalculator(energy_only, energy=1.5)
    forces_only.calc = SinglePointCalculator(forces_only, forces=frames[2].get_forces())
    ase.io.write(tmp_path / "partial.traj", [frames[0], energy_only, forces_only])
    made = read(tmp_path / "partial.traj")
    batch = collate(made)
    assert (made[1].energy, made[1].forces, made[2].energy) == (1.5, None, None)
    assert batch.has_energy.tolist() == [1, 1, 0]
    assert batch.has_forces.tolist() == [1, 0, 1]
    assert batch.energy[2] == 0
    assert batch.forces.shape == (batch.graph.n_atoms, 3)
    assert batch.forces[batch.graph.structure_index == 1].abs().sum() == 0


@pytest.mark.parametrize(
    ("info", "same"),
    [
        (({"run": 1}, {"run": 1}, {"run": 2}), [True, False]),
        (({"step": 0}, {"step": 10}, {"step": 20}), [True, True]),
        (
            tuple(
                {"description": f"Snapshot {n} of 40 of AIMD NVT at {kelvin} K"}
                for n, kelvin in ((1, 300), (2, 300), (3, 900))
            ),
            [True, False],
        ),
        (({"description": "strain -0.01"}, {"description": "strain -0.02"}, {}), [False, False]),
    ],
)
def test_frames_know_their_run_if_something_tells(
    frames: list[Atoms], tmp_path: Path, info: tuple[dict, ...], same: list[bool]
) -> None:
    copies = [frames[1].copy() for _ in info]
    for atoms, own in zip(copies, info, strict=True):
        atoms.calc = SinglePointCalculator(atoms, energy=0.0)
        atoms.info = own
    ase.io.write(tmp_path / "run.extxyz", copies)
    runs = [frame.run for frame in read(tmp_path / "run.extxyz")]
    assert [bool(a) and a == b for a, b in pairwise(runs)] == same
