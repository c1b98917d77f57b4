from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ase_symcalc.response import predict
from ase_symcalc.training.config import DataFile
from ase_symcalc.training.dataset import Frame, read_frames
from ase_symcalc.training.metrics import (
    config_types,
    frame_errors,
    summarise,
    summarise_by,
    write_table,
)


@pytest.fixture
def made(data_file: Path) -> list[Frame]:
    return read_frames(DataFile(str(data_file)), 3.5, ("Cu", "Au"), weights={})


def test_errors_are_those_of_each_frame_alone(made: list[Frame], pair_model: type) -> None:
    model = pair_model()
    found = summarise(frame_errors(model, made, max_edges=300))
    alone = [predict(model, f.graph) for f in made]
    energy = [
        (p.energy.item() - f.energy) / f.graph.n_atoms for p, f in zip(alone, made, strict=True)
    ]
    forces = np.concatenate(
        [(p.forces - f.forces).numpy().ravel() for p, f in zip(alone, made, strict=True)]
    )
    stress = 160.21766208 * np.concatenate(
        [
            (p.stress[0] - f.stress).detach().numpy().ravel()
            for p, f in zip(alone, made, strict=True)
            if f.stress is not None
        ]
    )
    assert found.n_frames == 16
    assert found.energy_mae == pytest.approx(1e3 * np.abs(energy).mean(), rel=1e-5)
    assert found.energy_rmse == pytest.approx(1e3 * np.sqrt(np.square(energy).mean()), rel=1e-5)
    assert found.force_mae == pytest.approx(1e3 * np.abs(forces).mean(), rel=1e-5)
    assert found.force_rmse == pytest.approx(1e3 * np.sqrt(np.square(forces).mean()), rel=1e-5)
    assert found.stress_mae == pytest.approx(np.abs(stress).mean(), rel=1e-4)
    assert found.stress_rmse == pytest.approx(np.sqrt(np.square(stress).mean()), rel=1e-4)


def test_errors_are_kept_apart_by_label(made: list[Frame], pair_model: type) -> None:
    errors = frame_errors(pair_model(), made, max_edges=300)
    labels = ["no stress" if f.stress is None else "stress" for f in made]
    named = summarise_by(errors, labels)
    assert list(named) == ["no stress", "stress", "all"]
    assert np.isnan(named["no stress"].stress_mae)
    assert named["all"].stress_mae == named["stress"].stress_mae
    assert named["no stress"].n_frames + named["stress"].n_frames == named["all"].n_frames


def test_frames_without_a_label_have_no_part_in_its_mean(
    made: list[Frame], pair_model: type, tmp_path: Path
) -> None:
    whole = frame_errors(pair_model(), made, max_edges=300)
    partial = [
        replace(f, energy=None) if i % 3 == 0 else replace(f, forces=None) if i % 3 == 1 else f
        for i, f in enumerate(made)
    ]
    errors = frame_errors(pair_model(), partial, max_edges=300)
    with_energy = [i for i in range(16) if i % 3 != 0]
    with_forces = [i for i in range(16) if i % 3 != 1]
    found = summarise(errors)
    assert found.energy_rmse == pytest.approx(summarise(whole, with_energy).energy_rmse)
    assert found.force_rmse == pytest.approx(summarise(whole, with_forces).force_rmse)
    named = summarise_by(errors, [str(i % 3) for i in range(16)])
    assert np.isnan(named["0"].energy_mae)
    assert np.isnan(named["1"].force_rmse)

    write_table(tmp_path / "table.csv", named)
    with (tmp_path / "table.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows] == ["0", "1", "2", "all"]
    assert rows[0]["energy_mae"] == rows[1]["force_mae"] == ""
    assert float(rows[3]["force_mae"]) == pytest.approx(found.force_mae, rel=1e-5)


def test_errors_of_forces_are_kept_atom_by_atom(made: list[Frame], pair_model: type) -> None:
    model = pair_model()
    errors = frame_errors(model, made, max_edges=300)
    for frame, own in zip(made, errors.forces, strict=True):
        expected = predict(model, frame.graph).forces.numpy() - frame.forces.numpy()
        np.testing.assert_allclose(own, expected, atol=1e-5)


def test_frames_without_a_config_type_are_called_after_their_file(made: list[Frame]) -> None:
    bare = [replace(made[0], config_type=""), made[1]]
    assert config_types(bare) == [made[0].source, "cubic"]
