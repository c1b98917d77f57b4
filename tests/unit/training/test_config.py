from __future__ import annotations

from pathlib import Path

import pytest

from ase_symcalc.errors import InputError
from ase_symcalc.training.config import DataFile, config_from_table, read_config

SMALL = {
    "folder": "run",
    "model": {"elements": ["Cu"], "cutoff": 4.0},
    "data": {"train": ["a.xyz"]},
}


def test_a_file_is_read_with_paths_relative_to_it(tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_text(
        """
        folder = "run"
        [model]
        elements = ["Cu", "Au"]
        cutoff = 4
        [data]
        train = ["a.extxyz.xz", {path = "/data/b.xyz", index = ":10"}]
        weights = {Elastic = 3}
        [loss]
        kind = "mse"
        first = {energy = 1, forces = 2, stress = 0.5}
        """
    )
    config = read_config(path)
    assert config.folder == str(tmp_path / "run")
    assert config.data.train == (
        DataFile(str(tmp_path / "a.extxyz.xz")),
        DataFile("/data/b.xyz", ":10"),
    )
    assert config.data.weights == {"Elastic": 3}
    assert config.loss.first.forces == 2.0
    assert config.loss.second.energy == 3.0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sed": 1}, "expected only the keys folder, .* got sed"),
        ({"model": {"cutoff": 4.0}}, "expected a key model.elements"),
        ({"model": {"avg_num_neighbours": 3}}, "avg_num_neighbours is counted from the data"),
        ({"loss": {"kinds": "mse"}}, "got loss.kinds, which has no meaning"),
        ({"loss": {"kind": "mae"}}, "expected loss.kind to be 'huber' or 'mse', got 'mae'"),
        ({"loss": {"first": {"energy": 1.0}}}, "expected a key loss.first.forces"),
        ({"data": {"train": [{"index": ":"}]}}, r"expected a key data.train\[0\].path"),
        ({"data": {"train": []}}, "data.train lists no file"),
        ({"data": {"train": ["a"], "max_force": -1}}, "data.max_force must be positive"),
        ({"data": {"train": ["a"], "weights": {"MD": 0}}}, "data.weights.MD must be positive"),
        ({"data": {"train": ["a"], "weights": {"MD": "x"}}}, "data.weights.MD to be a number"),
        ({"data": {"train": ["a"], "validation_fraction": 1}}, "between 0 and 1; got 1.0"),
        ({"optimiser": {"learning_rate": "fast"}}, "learning_rate to be a number, got 'fast'"),
        ({"optimiser": {"average_decay": 1.0}}, "average_decay must be in"),
        ({"schedule": {"epochs": True}}, "schedule.epochs to be a whole number, got True"),
        ({"schedule": {"epochs": 1, "warmup_epochs": 2}}, "shorter than the 1 epochs; got 2.0"),
        ({"schedule": {"second_stage": 25}}, "schedule.second_stage must lie between 0 and 1"),
        ({"schedule": 3}, "expected schedule to be a table, got 3"),
        ({"model": 3}, "expected model to be a table, got 3"),
        ({"data": 3}, "expected data to be a table, got 3"),
        ({"data": {"train": "a"}}, "expected data.train to be a list, got 'a'"),
        ({"model": {"elements": ["Cu"], "cutoff": 4.0, "lmax": -1}}, "lmax must be at least 0"),
        ({"card": {"nam": "x"}}, "got card.nam, which has no meaning"),
    ],
)
def test_nonsense_is_refused_by_name(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        config_from_table({**SMALL, **changes})


def test_a_file_that_is_missing_or_not_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the training configuration"):
        read_config(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("folder =")
    with pytest.raises(InputError, match="not valid TOML"):
        read_config(tmp_path / "bad.toml")


def test_data_may_lie_in_a_folder_of_their_own(tmp_path):
    path = tmp_path / "train.toml"
    path.write_text(
        'folder = "run"\n[model]\nelements = ["Cu"]\ncutoff = 4.0\n[data]\n'
        'train = ["a.xyz", "./b.xyz"]\n'
    )
    config = read_config(path, tmp_path / "elsewhere")
    assert config.data.train[0].path == str(tmp_path / "elsewhere" / "a.xyz")
    assert config.data.train[1].path == str(tmp_path / "b.xyz")
    assert config.folder == str(tmp_path / "run")
