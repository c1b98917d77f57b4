from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib.image
import pytest

from ase_symcalc.training.config import DataFile
from ase_symcalc.training.dataset import Frame, read_frames
from ase_symcalc.training.metrics import frame_errors
from ase_symcalc.training.plots import plot_errors, plot_history, plot_parity


@pytest.fixture
def made(data_file: Path) -> list[Frame]:
    return read_frames(DataFile(str(data_file)), 3.5, ("Cu", "Au"), weights={})


def assert_is_small_picture(path: Path) -> None:
    height, width, _ = matplotlib.image.imread(path).shape
    assert 300 < height < 1200
    assert 600 < width < 1400
    assert path.stat().st_size < 300_000


def without(frames: Sequence[Frame], label: str) -> list[Frame]:
    return [replace(frame, **{label: None}) for frame in frames]


@pytest.mark.parametrize("missing", [None, "energy", "forces", "stress"])
def test_pictures_are_drawn_whatever_labels_there_are(
    made: list[Frame], pair_model: type, tmp_path: Path, missing: str | None
) -> None:
    frames = made if missing is None else without(made, missing)
    errors = frame_errors(pair_model(), frames, max_edges=300)
    plot_parity(tmp_path / "parity.png", frames, errors)
    plot_errors(tmp_path / "errors.png", frames, errors)
    for name in ("parity", "errors"):
        assert_is_small_picture(tmp_path / f"{name}.png")


def test_many_files_and_types_still_fit(
    made: list[Frame], pair_model: type, tmp_path: Path
) -> None:
    frames = [
        replace(frame, source=f"set/file_{i}", config_type=f"type {n}:{i}")
        for n in range(4)
        for i, frame in enumerate(made)
    ]
    errors = frame_errors(pair_model(), frames, max_edges=3000)
    plot_parity(tmp_path / "parity.png", frames, errors)
    plot_errors(tmp_path / "errors.png", frames, errors)
    for name in ("parity", "errors"):
        assert_is_small_picture(tmp_path / f"{name}.png")


def test_a_history_is_drawn_without_stresses(tmp_path: Path) -> None:
    keys = ("energy_mae", "energy_rmse", "force_mae", "force_rmse")
    rows = [
        {"epoch": n, "training_loss": 1 / n, **dict.fromkeys(keys, 2 / n)}
        | dict.fromkeys(("stress_mae", "stress_rmse"), float("nan"))
        for n in range(1, 5)
    ]
    plot_history(tmp_path / "loss.png", rows, second_stage=2.0)
    assert_is_small_picture(tmp_path / "loss.png")
