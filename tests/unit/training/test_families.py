"""Training of networks of other families than our own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.morse import MorsePotential
from ase.calculators.singlepoint import SinglePointCalculator

from ase_symcalc import evaluate
from ase_symcalc.errors import InputError
from ase_symcalc.potential_files import load_potential
from ase_symcalc.training import TrainConfig, fine_tuning, train
from ase_symcalc.training.config import DataFile, ScheduleConfig, config_from_table
from ase_symcalc.training.start import load_starts

CHECKPOINTS = Path(__file__).parents[2] / "regression"
TABLE = {"folder": "run", "data": {"train": ["a.xyz"]}}
MACE_TABLE = {
    "family": "mace",
    "elements": ["Cu", "Au"],
    "cutoff": 3.5,
    "hidden_irreps": "4x0e+4x1o",
    "sh_lmax": 2,
    "correlation": [2, 2],
    "radial_widths": [8],
}


def errors(folder: Path, frames: list[Atoms]) -> tuple[float, float]:
    """Mean absolute errors per atom in energy, eV, and force components, eV/Å."""
    potential = load_potential(folder, dtype="float32")
    found = evaluate(frames, potential)
    energies = [
        (own.energy - atoms.get_potential_energy()) / len(atoms)
        for own, atoms in zip(found, frames, strict=True)
    ]
    forces = [own.forces - atoms.get_forces() for own, atoms in zip(found, frames, strict=True)]
    return float(np.abs(energies).mean()), float(np.abs(np.concatenate(forces)).mean())


def test_a_mace_learns_from_a_configuration(tiny: TrainConfig, frames: list[Atoms]) -> None:
    model = config_from_table({**TABLE, "model": MACE_TABLE}).model
    optimiser = replace(tiny.optimiser, learning_rate=0.03)
    config = replace(tiny, model=model, optimiser=optimiser, schedule=ScheduleConfig(epochs=40))
    folder = train(config, progress=False) / "potential"
    potential = load_potential(folder)
    assert potential.model.config.family == "mace"
    assert "Batatia" in potential.card.references.architecture
    assert potential.model.config.avg_num_neighbours != model.avg_num_neighbours
    zero = float(np.abs(np.concatenate([atoms.get_forces() for atoms in frames])).mean())
    energy, force = errors(folder, frames)
    assert force < 0.7 * zero
    assert energy < 0.1


@pytest.mark.parametrize("checkpoint", ["mace/one_layer.model", "sevennet/no_parity.pth"])
def test_a_converted_checkpoint_is_trained_further(checkpoint: str, tmp_path: Path) -> None:
    start = str(CHECKPOINTS / checkpoint)
    element = load_potential(start).model.elements[0]
    frames = []
    for i in range(12):
        atoms = bulk(element, "fcc", a=4.2, cubic=True)
        atoms.rattle(0.1, seed=i)
        atoms.calc = MorsePotential(epsilon=0.3, r0=2.9, rho0=4.0, rcut1=4.0, rcut2=5.0)
        labels = {"energy": atoms.get_potential_energy() - 7.0, "forces": atoms.get_forces()}
        atoms.calc = SinglePointCalculator(atoms, **labels)
        frames.append(atoms)
    ase.io.write(tmp_path / "new.extxyz", frames)
    config = fine_tuning(start, [str(tmp_path / "new.extxyz")], str(tmp_path / "run"))
    optimiser = replace(config.optimiser, learning_rate=2e-2, average_decay=0.9)
    config = replace(config, optimiser=optimiser, schedule=ScheduleConfig(epochs=30))
    folder = train(config, progress=False) / "potential"
    before, after = errors(start, frames), errors(folder, frames)
    assert after[0] < 0.5 * before[0]
    assert after[1] < 0.8 * before[1]


def test_only_our_own_networks_have_heads() -> None:
    with pytest.raises(InputError, match="expected a potential with a network of our own"):
        load_starts(str(CHECKPOINTS / "mace/one_layer.model"), ("a", "b"))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"family": "schnet"}, "expected model.family among symnet, mace; got 'schnet'"),
        (MACE_TABLE | {"heads": ["a"]}, "got model.heads, which has no meaning here"),
        (MACE_TABLE | {"correlation": 3}, "expected model.correlation to be a list"),
        (MACE_TABLE | {"correlation": [4, 4]}, "expected correlation orders from 1 to 3"),
    ],
)
def test_nonsense_is_refused(model: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        config_from_table({**TABLE, "model": model})


def test_files_name_a_network_by_its_family() -> None:
    config = config_from_table({**TABLE, "model": MACE_TABLE})
    assert config.data.train == (DataFile("a.xyz"),)
    assert config.model.hidden_irreps == "4x0e+4x1o"
