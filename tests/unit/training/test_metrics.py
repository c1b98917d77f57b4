from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ase_symcalc.response import predict
from ase_symcalc.training.config import DataFile
from ase_symcalc.training.dataset import Frame, read_frames
from ase_symcalc.training.metrics import frame_errors, summarise, summarise_by


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
