"""Several levels of theory trained together."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from ase_symcalc import evaluate
from ase_symcalc.errors import InputError, PotentialFileError
from ase_symcalc.models.heads import OWN
from ase_symcalc.potential_files import golden_deviation, load_potential
from ase_symcalc.training import TrainConfig, train
from ase_symcalc.training.config import (
    CardConfig,
    DataConfig,
    DataFile,
    HeadConfig,
    config_from_table,
)

HEADS = ("emt", "half")


def half(atoms: Atoms) -> Atoms:
    """Label with half of what there is, and other zeros of energy: another level of theory."""
    results = {key: value / 2 for key, value in atoms.calc.results.items()}
    results["energy"] += np.dot([4.0, -7.0], [sum(atoms.symbols == s) for s in ("Cu", "Au")])
    new = atoms.copy()
    new.calc = SinglePointCalculator(new, **results)
    return new


@pytest.fixture(scope="module")
def other_file(frames: list[Atoms], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "half.extxyz"
    ase.io.write(path, [half(atoms) for atoms in frames])
    return path


@pytest.fixture
def two(tiny: TrainConfig, data_file: Path, other_file: Path) -> TrainConfig:
    files = (DataFile(str(data_file), head="emt"), DataFile(str(other_file), head="half"))
    return replace(
        tiny,
        model=replace(tiny.model, heads=HEADS),
        data=replace(tiny.data, train=files),
        card=CardConfig(name="two", heads={"half": HeadConfig("half of EMT", "made up")}),
    )


def test_each_head_learns_its_own_level_of_theory(two: TrainConfig, frames: list[Atoms]) -> None:
    longer = replace(two, schedule=replace(two.schedule, epochs=20))
    folder = train(longer, progress=False) / "potential"
    with pytest.raises(PotentialFileError, match="two@emt, two@half"):
        load_potential(folder)
    emt, half_of_it = (load_potential(f"{folder}@{head}") for head in HEADS)
    assert max(*golden_deviation(emt), *golden_deviation(half_of_it)) < 1e-9
    assert half_of_it.card.level_of_theory == "half of EMT"
    assert {row.dataset.split(",")[0][-4:] for row in half_of_it.card.accuracy} == {"half", "all"}
    assert half_of_it.card.pairs == ("Cu-Cu", "Cu-Au", "Au-Au")
    assert float(half_of_it.model.scale) == pytest.approx(float(emt.model.scale) / 2, rel=0.2)
    a, b = emt.model.state_dict(), half_of_it.model.state_dict()
    assert {key for key in a if not a[key].equal(b[key])} == set(OWN)
    unlike = [half(atoms) for atoms in frames]
    for potential, same, other in ((emt, frames, unlike), (half_of_it, unlike, frames)):
        energies = np.array([result.energy for result in evaluate(frames, potential)])
        off, far = (
            np.abs(energies - [atoms.get_potential_energy() for atoms in labels]).mean()
            for labels in (same, other)
        )
        assert off < 0.3 * far  # the zeros are 4 and 7 eV an atom apart
    errors = json.loads((folder.parent / "errors.json").read_text())
    assert len(errors) == 3
    assert max(row["energy_mae"] for row in errors.values()) < 1000  # meV/atom


TABLE = {
    "folder": "run",
    "model": {"elements": ["Cu"], "cutoff": 4.0, "heads": ["a", "b"]},
    "data": {"train": [{"path": "a.xyz", "head": "a"}, {"path": "b.xyz", "head": "b"}]},
}


def test_a_configuration_names_heads_and_whose_each_file_is() -> None:
    config = config_from_table({**TABLE, "card": {"heads": {"b": {"level_of_theory": "HF"}}}})
    assert config.model.heads == ("a", "b")
    assert config.card.heads == {"b": HeadConfig("HF")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": {"train": ["a.xyz"]}}, "a.xyz: expected head to name one of .* a, b; got none"),
        ({"data": {"train": [{"path": "a", "head": "c"}]}}, "got c"),
        ({"data": {"train": [{"path": "a", "head": "a"}]}}, "no file .* for head b of model.heads"),
        ({"model": {"elements": ["Cu"], "cutoff": 4.0}}, "for head a, but model.heads lists none"),
        ({"card": {"default_head": "c"}}, "speaks of a head c, which model.heads lacks"),
        ({"card": {"heads": {"d": {}}}}, "speaks of a head d"),
    ],
)
def test_heads_that_do_not_match_are_refused(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        config_from_table({**TABLE, **changes})


def test_heads_of_the_data_config_default_to_none(data_file: Path) -> None:
    assert DataConfig(train=(DataFile(str(data_file)),)).train[0].head == ""
