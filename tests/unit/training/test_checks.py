from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ase.io
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from ase_symcalc.errors import InputError
from ase_symcalc.training import TrainConfig, train
from ase_symcalc.training.config import DataFile


def test_a_run_is_refused_before_it_starts_unless_told_to_trust_its_data(
    config: TrainConfig, frames: list[Atoms], tmp_path: Path
) -> None:
    twin = frames[1].copy()
    results = dict(frames[1].calc.results)
    results["energy"] += 0.4
    twin.calc = SinglePointCalculator(twin, **results)
    ase.io.write(tmp_path / "twin.traj", [frames[2], twin])
    files = (*config.data.train, DataFile(str(tmp_path / "twin.traj")))
    config = replace(config, data=replace(config.data, train=files))
    with pytest.raises(InputError, match=r"frame 1 of .*twin.traj.* and frame 1 of .* same struct"):
        train(config, progress=False)
    assert not (Path(config.folder) / "checkpoint.pt").exists()
    trusting = replace(config, data=replace(config.data, check=False))
    trusting = replace(trusting, schedule=replace(config.schedule, epochs=1, warmup_epochs=0.0))
    assert (train(trusting, progress=False) / "checkpoint.pt").exists()
