"""Training that goes on from a potential."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from ase_symcalc import evaluate
from ase_symcalc.cli.main import main
from ase_symcalc.errors import InputError, PotentialFileError
from ase_symcalc.potential_files import Potential, load_potential
from ase_symcalc.training import TrainConfig, fine_tuning, read_config, train
from ase_symcalc.training.config import (
    CardConfig,
    DataConfig,
    DataFile,
    LossConfig,
    OptimiserConfig,
    ScheduleConfig,
    StartConfig,
    config_from_table,
)
from ase_symcalc.training.run import prepare
from ase_symcalc.training.start import load_starts
from tests.unit.training.conftest import labelled


@pytest.fixture(scope="module")
def old(tiny_model: object, frames: list[Atoms], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A potential of copper and gold, and its data beside it."""
    folder = tmp_path_factory.mktemp("old")
    ase.io.write(folder / "old.extxyz", frames)
    config = TrainConfig(
        folder=str(folder / "run"),
        model=tiny_model,
        data=DataConfig(train=(DataFile(str(folder / "old.extxyz")),), validation_fraction=0.25),
        card=CardConfig(name="old"),
        optimiser=OptimiserConfig(learning_rate=0.1, max_edges=100, average_decay=0.95),
        loss=LossConfig(energy_scale=0.05),
        schedule=ScheduleConfig(epochs=40),
        seed=3,
    )
    return train(config, progress=False) / "potential"


@pytest.fixture(scope="module")
def gold(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Frames that the old data do not have, with another zero of energy."""
    frames = []
    for i in range(10):
        atoms = bulk("Au", cubic=True)
        atoms.rattle(0.08, seed=100 + i)
        frames.append(labelled(atoms))
        frames[-1].calc.results["energy"] += 40.0
    path = tmp_path_factory.mktemp("gold") / "gold.extxyz"
    ase.io.write(path, frames)
    return path


@pytest.fixture
def tuned(tiny: TrainConfig, old: Path, gold: Path) -> TrainConfig:
    data = replace(tiny.data, train=(DataFile(str(gold)),))
    optimiser = replace(tiny.optimiser, learning_rate=1e-3)
    model = load_starts(str(old), ())[""].model.config
    return replace(tiny, model=model, data=data, optimiser=optimiser, start=StartConfig(str(old)))


def force_error(potential: Potential, frames: list[Atoms]) -> float:
    """Mean absolute error over all components, eV/Å."""
    found = evaluate(frames, potential)
    off = [own.forces - atoms.get_forces() for own, atoms in zip(found, frames, strict=True)]
    return float(np.abs(np.concatenate(off)).mean())


def test_frozen_layers_stay_bit_for_bit(tuned: TrainConfig, old: Path) -> None:
    start = replace(tuned.start, freeze=("embedding", "layers.0"))
    folder = train(replace(tuned, start=start), progress=False)
    before = load_potential(old).model.state_dict()
    after = load_potential(folder / "potential").model.state_dict()
    moved = {name.split(".weights")[0] for name in before if not before[name].equal(after[name])}
    assert moved == {"readout_hidden", "readout_out", "reference_energies"}


def test_references_move_with_the_data_or_stay(tuned: TrainConfig, old: Path) -> None:
    starts = load_starts(str(old), ())
    before = starts[""].model.reference_energies.numpy()
    refitted = prepare(tuned, starts)
    shift = refitted.baselines[""].reference_energies - before
    assert shift == pytest.approx([0.0, 10.0], abs=1.0)  # per atom; no copper, so it stays
    keep = replace(tuned, start=replace(tuned.start, references="keep"))
    np.testing.assert_array_equal(prepare(keep, starts).baselines[""].reference_energies, before)
    assert refitted.model.avg_num_neighbours == starts[""].model.config.avg_num_neighbours


@pytest.mark.filterwarnings("ignore::ase_symcalc.errors.OutsideTrainingWarning")
def test_it_starts_where_the_old_potential_ended(
    tuned: TrainConfig, old: Path, frames: list[Atoms]
) -> None:
    schedule = replace(tuned.schedule, max_minutes=0.0)
    still = replace(tuned.optimiser, learning_rate=1e-12)
    start = replace(tuned.start, references="keep")
    config = replace(tuned, schedule=schedule, optimiser=still, start=start)
    folder = train(config, progress=False)
    for atoms in frames[:3]:
        (now,), (then,) = (evaluate(atoms, at) for at in (folder / "potential", old))
        assert now.energy == pytest.approx(then.energy, abs=1e-6)


@pytest.mark.filterwarnings("ignore::ase_symcalc.errors.OutsideTrainingWarning")
def test_replay_keeps_what_would_be_forgotten(tuned: TrainConfig, frames: list[Atoms]) -> None:
    """On new frames with another zero of energy, and stiffer by half."""
    path = Path(tuned.folder).parent / "stiff.extxyz"
    stiff = ase.io.read(tuned.data.train[0].path, index=":")
    for atoms in stiff:
        for label in ("forces", "stress"):
            atoms.calc.results[label] = 1.5 * atoms.calc.results[label]
    ase.io.write(path, stiff)
    data = replace(tuned.data, train=(DataFile(str(path)),), check=False)
    config = replace(
        tuned,
        data=data,
        schedule=replace(tuned.schedule, epochs=8),
        optimiser=replace(tuned.optimiser, learning_rate=0.02, max_edges=200),
        loss=LossConfig(energy_scale=0.05),
    )
    old_data = DataFile(str(Path(tuned.start.potential).parents[1] / "old.extxyz"))
    start = replace(config.start, replay=(old_data,), replay_fraction=0.5)
    errors = []
    for each in (config, replace(config, start=start, folder=config.folder + "-replay")):
        potential = load_potential(train(each, progress=False) / "potential")
        errors.append(force_error(potential, frames))
    assert errors[1] < 0.85 * errors[0]
    data = prepare(replace(config, start=start), load_starts(config.start.potential, ()))
    assert data.learnt.n_replayed == len(data.learnt.frames)
    assert any(frame.source.endswith("old") for frame in data.validation)


def test_an_element_that_the_old_potential_does_not_know(
    tuned: TrainConfig, tmp_path: Path
) -> None:
    atoms = bulk("Ag", cubic=True)
    atoms.rattle(0.1)
    ase.io.write(tmp_path / "silver.extxyz", [labelled(atoms)] * 2)
    data = replace(tuned.data, train=(DataFile(str(tmp_path / "silver.extxyz")),))
    with pytest.raises(InputError, match=r"frame 0 of .*silver.* holds Ag, .*train a new one"):
        train(replace(tuned, data=data), progress=False)


def test_a_run_goes_on_only_from_the_same_start(tuned: TrainConfig) -> None:
    stopped = replace(tuned, schedule=replace(tuned.schedule, max_minutes=0.0))
    train(stopped, progress=False)
    other = replace(stopped, start=replace(stopped.start, freeze=("embedding",)))
    with pytest.raises(InputError, match="another configuration"):
        train(other, progress=False)


def test_heads_may_start_from_one_potential(tuned: TrainConfig, old: Path) -> None:
    """And a potential with heads from the heads of the same name."""
    file, old_file = tuned.data.train[0], DataFile(str(old.parents[1] / "old.extxyz"))
    data = replace(tuned.data, train=(replace(file, head="new"),))
    config = replace(
        tuned,
        model=replace(tuned.model, heads=("old", "new")),
        data=data,
        start=replace(tuned.start, replay=(replace(old_file, head="old"),)),
    )
    folder = train(config, progress=False) / "potential"
    starts = load_starts(str(folder), ("new", "old"))
    assert [start.head for start in starts.values()] == ["new", "old"]
    shift = [float(start.model.reference_energies[1]) for start in starts.values()]
    assert shift[0] - shift[1] == pytest.approx(10, abs=1.5)
    assert load_starts(f"{folder}@old", ("x", "y"))["y"].head == "old"
    with pytest.raises(PotentialFileError, match="expected one of the heads"):
        load_starts(str(folder), ())


def test_a_configuration_takes_the_network_of_the_potential(
    old: Path, tmp_path: Path, tiny_model: object
) -> None:
    text = f"""
        folder = "run"
        start = {{potential = "{old}", freeze = ["layers.0"], replay = ["old.xyz"]}}
        data = {{train = ["new.xyz"]}}
        """
    (tmp_path / "train.toml").write_text(text)
    config = read_config(tmp_path / "train.toml")
    found = replace(config.model, avg_num_neighbours=tiny_model.avg_num_neighbours)
    assert found == tiny_model
    assert config.start.replay == (DataFile(str(tmp_path / "old.xyz")),)
    table = {"folder": "run", "start": {"potential": "run/potential"}, "data": {"train": ["a"]}}
    near = config_from_table(table, old.parents[1])
    assert near.model == config.model


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"lmax": 3}}, "model.lmax is that of start.potential; leave it out"),
        ({"model": {"heads": "a"}}, "expected model.heads to be a list"),
        ({"start": {}}, "expected a key start.potential"),
        ({"start": {"potential": "x", "freez": []}}, "got start.freez, which has no meaning"),
        ({"start": {"potential": "x", "replay_fraction": 1}}, "must lie between 0 and 1; got 1"),
    ],
)
def test_nonsense_is_refused(old: Path, changes: dict, message: str) -> None:
    table = {"folder": "run", "start": {"potential": str(old)}, "data": {"train": ["a"]}}
    with pytest.raises(InputError, match=message):
        config_from_table({**table, **changes})


def test_the_command_fine_tunes_in_one_line(
    old: Path,
    gold: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    config = fine_tuning(str(old), [str(gold)])
    short = replace(config, schedule=replace(config.schedule, epochs=6))
    monkeypatch.setattr("ase_symcalc.training.fine_tuning", lambda *_: short)
    assert main(["train", "--fine-tune", str(old), str(gold), "--out", "new"]) == 0
    assert "epoch 6/6 | loss" in capsys.readouterr().out
    potential = load_potential(tmp_path / "new" / "potential")
    assert potential.card.name == "old-tuned"
    assert "fine-tuned on gold.extxyz" in potential.card.description
    assert potential.card.pairs == ("Au-Au",)
    frames = ase.io.read(gold, index=":")
    assert force_error(potential, frames) < force_error(load_potential(old), frames)


def test_the_command_asks_for_one_configuration(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "a.extxyz", "b.extxyz"]) == 2
    assert "name it with --fine-tune" in capsys.readouterr().err
    assert main(["train", "--fine-tune", str(old), "a.extxyz", "--data", "x"]) == 2
    assert "--data is for the files that a TOML file names" in capsys.readouterr().err
