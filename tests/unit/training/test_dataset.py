from __future__ import annotations

import lzma
from collections.abc import Callable
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
    split,
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


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda results: results.pop("energy"), "frame 1 of .* has no energy"),
        (lambda results: results.pop("forces"), "frame 1 of .* has no forces"),
        (lambda results: results.update(energy=np.nan), "frame 1 .* finite number: energy"),
        (lambda results: results["forces"].fill(np.inf), "frame 1 .* finite number: forces"),
        (lambda results: results["stress"].fill(np.nan), "frame 1 .* finite number: stress"),
        (lambda results: results["forces"].__iadd__(0.1), r"frame 1 .* sum to 0\.4 eV/Å"),
    ],
)
def test_labels_that_are_not_labels_are_refused_by_name(
    frames: list[Atoms], tmp_path: Path, change: Callable, message: str
) -> None:
    broken = frames[1].copy()
    results = {k: np.array(v, copy=True) for k, v in frames[1].calc.results.items()}
    change(results)
    broken.calc = SinglePointCalculator(broken, **results)
    path = tmp_path / "broken.traj"
    ase.io.write(path, [frames[0], broken])
    with pytest.raises(InputError, match=message):
        read(path)


def test_frames_without_labels_other_elements_or_a_file_are_refused(
    frames: list[Atoms], data_file: Path, tmp_path: Path
) -> None:
    ase.io.write(tmp_path / "bare.xyz", frames[0].copy())
    with pytest.raises(InputError, match=r"frame 0 of .* has no energy"):
        read(tmp_path / "bare.xyz")
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


def test_equivalent_frames_stay_on_one_side(frames: list[Atoms], tmp_path: Path) -> None:
    mirrored = []
    for atoms in frames:
        twin = atoms.copy()
        twin.set_cell(atoms.cell * [1, 1, -1])
        twin.positions[:, 2] *= -1
        results = {
            "energy": atoms.get_potential_energy(),
            "forces": atoms.get_forces() * [1, 1, -1],
        }
        twin.calc = SinglePointCalculator(twin, **results)
        mirrored.append(twin)
    ase.io.write(tmp_path / "twins.traj", frames + mirrored)
    made = read(tmp_path / "twins.traj")
    training, validation = split(made, 0.25, seed=0)
    assert len(training) + len(validation) == 32
    assert len(validation) == 8
    assert not {f.group for f in training} & {f.group for f in validation}


def test_the_split_is_a_function_of_seed_and_frames_alone(data_file: Path) -> None:
    made = read(data_file)
    validation = [f.group for f in split(made, 0.25, seed=0)[1]]
    assert sorted(validation) == sorted(f.group for f in split(made[::-1], 0.25, seed=0)[1])
    assert validation != [f.group for f in split(made, 0.25, seed=1)[1]]


def test_a_split_with_an_empty_side_is_refused(data_file: Path) -> None:
    with pytest.raises(
        InputError, match=r"16 frames cannot be split with validation_fraction 0.01"
    ):
        split(read(data_file), 0.01, seed=0)


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
