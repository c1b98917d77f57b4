from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms

from ase_symcalc.cli.main import main
from ase_symcalc.errors import InputError
from ase_symcalc.potential_files import golden_deviation, load_potential
from ase_symcalc.response import predict
from ase_symcalc.structures import build_graph
from ase_symcalc.training import TrainConfig, train
from ase_symcalc.training.config import CardConfig, DataFile
from ase_symcalc.training.run import prepare


@pytest.fixture
def small(tiny: TrainConfig, data_file: Path) -> TrainConfig:
    data = replace(tiny.data, test=(DataFile(str(data_file), "::5"),))
    return replace(tiny, data=data)


def test_a_finished_run_leaves_a_potential_with_honest_numbers(
    small: TrainConfig, frames: list[Atoms]
) -> None:
    folder = train(replace(small, card=CardConfig(name="cuau", licence="MIT")), progress=False)
    potential = load_potential(folder / "potential")
    assert potential.card.name == "cuau"
    assert potential.card.elements == ("Cu", "Au")
    assert potential.card.pairs == ("Cu-Cu", "Cu-Au", "Au-Au")
    assert not potential.card.preview
    assert golden_deviation(potential).energy < 1e-9

    errors = json.loads((folder / "errors.json").read_text())
    (test,) = (row for row in potential.card.accuracy if row.dataset == "all, test")
    assert test.forces == pytest.approx(errors["all, test"]["force_mae"], abs=1e-3)
    chosen = frames[::5]
    found = [predict(potential.model, build_graph(atoms, 3.5)) for atoms in chosen]
    off = [
        abs(float(own.energy) - atoms.get_potential_energy()) / len(atoms)
        for own, atoms in zip(found, chosen, strict=True)
    ]
    assert test.energy == pytest.approx(1e3 * np.mean(off), rel=1e-3)
    assert any(name.endswith(", held out") for name in errors)


def test_time_running_out_leaves_a_preview_and_the_next_call_goes_on(
    small: TrainConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    short = replace(small, schedule=replace(small.schedule, max_minutes=0.0))
    folder = train(short)
    assert load_potential(folder / "potential").card.preview
    assert "time is up after 0 epochs" in capsys.readouterr().out
    train(small)
    assert "going on from epoch 0, batch 1" in capsys.readouterr().out
    assert not load_potential(folder / "potential").card.preview

    fresh = train(replace(small, folder=str(folder.with_name("fresh"))), progress=False)
    resumed, whole = (load_potential(f / "potential").model for f in (folder, fresh))
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=1e-4, atol=1e-6)


def test_another_configuration_does_not_take_up_the_checkpoint(small: TrainConfig) -> None:
    stopped = replace(small, schedule=replace(small.schedule, max_minutes=0.0))
    folder = train(stopped, progress=False)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    other = replace(stopped, seed=8)
    with pytest.raises(InputError, match="another configuration"):
        train(other, progress=False)
    assert before == {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    train(other, resume=False, progress=False)


def test_what_is_wrong_with_the_card_is_said_before_training(small: TrainConfig) -> None:
    with pytest.raises(InputError, match="expected name to be lower-case"):
        train(replace(small, card=CardConfig(name="My Potential")), progress=False)
    assert not (Path(small.folder) / "checkpoint.pt").exists()


def test_a_device_that_is_not_there_is_said_before_the_data_are_read(small: TrainConfig) -> None:
    with pytest.raises(InputError, match="device='cpu' always works"):
        train(replace(small, device="abacus"), progress=False)
    assert not Path(small.folder).exists()


def test_test_frames_are_never_dropped_for_their_forces(small: TrainConfig) -> None:
    data = prepare(replace(small, data=replace(small.data, max_force=1.5)), {})
    assert len(data.test) == 4
    assert len(data.learnt.frames) + len(data.validation) < 16


def test_the_command_stopped_says_how_to_go_on(
    data_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ase_symcalc.training.loop.Trainer.run", interrupt)
    (tmp_path / "train.toml").write_text(
        f'folder = "run"\nmodel = {{elements = ["Cu", "Au"], cutoff = 3.5}}\n'
        f'data = {{train = ["{data_file}"], validation_fraction = 0.2}}\n'
    )
    assert main(["train", str(tmp_path / "train.toml"), "--quiet"]) == 130
    assert "goes on from the last checkpoint in" in capsys.readouterr().err


def test_the_command_trains_and_says_where(
    frames: list[Atoms], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ase.io.write(tmp_path / "data.extxyz", frames)
    (tmp_path / "train.toml").write_text(
        """
        folder = "run"
        model = {elements = ["Cu", "Au"], cutoff = 3.5, num_layers = 1, num_channels = 2, lmax = 0}
        data = {train = ["data.extxyz"], validation_fraction = 0.2}
        schedule = {epochs = 1, warmup_epochs = 0}
        """
    )
    assert main(["train", str(tmp_path / "train.toml")]) == 0
    printed = capsys.readouterr().out
    assert "epoch 1/1 | loss" in printed
    assert str(tmp_path / "run") in printed
    assert main(["train", str(tmp_path / "train.toml"), "--no-resume", "--quiet"]) == 0
    assert capsys.readouterr().out == ""
    (tmp_path / "train.toml").write_text("folder = 'run'\nsed = 1")
    assert main(["train", str(tmp_path / "train.toml")]) == 2
    assert "train.toml: expected only the keys" in capsys.readouterr().err
