"""Labelled frames of a copper-gold toy world, and a network small enough to train in a second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from torch import Tensor

from ase_symcalc.graph import Environments
from ase_symcalc.models import AbstractEnergyModel, ModelConfig
from ase_symcalc.training.config import (
    DataConfig,
    DataFile,
    OptimiserConfig,
    ScheduleConfig,
    TrainConfig,
)

CUTOFF = 3.5


def labelled(atoms: Atoms, *, stress: bool = True) -> Atoms:
    """Label with ASE's effective-medium potential."""
    atoms.calc = EMT()
    results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
    if stress:
        results["stress"] = atoms.get_stress()
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


@pytest.fixture(scope="session")
def frames() -> list[Atoms]:
    rng = np.random.default_rng(0)
    made = []
    for i in range(16):
        atoms = bulk("Cu", cubic=True) if i % 3 else bulk("Cu") * (2, 1, 1)
        atoms.symbols[: i % 3] = "Au"
        atoms.set_cell(atoms.cell * rng.uniform(0.97, 1.03), scale_atoms=True)
        atoms.rattle(0.08, seed=i)
        atoms.info["config_type"] = "small" if i % 3 == 0 else "cubic"
        made.append(labelled(atoms, stress=i % 4 != 0))
    return made


@pytest.fixture(scope="session")
def data_file(frames: list[Atoms], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "cuau.extxyz"
    ase.io.write(path, frames)
    return path


@pytest.fixture
def config(data_file: Path, tmp_path: Path) -> TrainConfig:
    return TrainConfig(
        folder=str(tmp_path / "run"),
        model=ModelConfig(elements=("Cu", "Au"), cutoff=CUTOFF),
        data=DataConfig(train=(DataFile(str(data_file)),), validation_fraction=0.25),
        optimiser=OptimiserConfig(max_edges=200, average_decay=0.9),
        schedule=ScheduleConfig(epochs=4),
        seed=1,
    )


@pytest.fixture(scope="session")
def tiny_model() -> ModelConfig:
    return ModelConfig(
        elements=("Cu", "Au"),
        cutoff=CUTOFF,
        num_layers=1,
        num_channels=4,
        lmax=1,
        sh_lmax=1,
        radial_width=8,
    )


@pytest.fixture
def tiny(config: TrainConfig, tiny_model: ModelConfig) -> TrainConfig:
    """Two epochs of a network that is real but small."""
    schedule = replace(config.schedule, epochs=2)
    return replace(config, model=tiny_model, schedule=schedule, device="cpu")


class PairModel(AbstractEnergyModel):
    """A two-layer perceptron of smooth pair features; knows copper and gold."""

    elements = ("Cu", "Au")
    cutoff = CUTOFF
    num_layers = 1
    group = "O3"
    irreps = "4x0e"

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.matrix = torch.nn.Parameter(0.5 * torch.randn(4, 4, generator=generator))
        self.readout = torch.nn.Parameter(0.5 * torch.randn(4, generator=generator))
        self.species = torch.nn.Parameter(torch.ones(2))

    def node_features(self, environments: Environments) -> Tensor:
        vectors = environments.edge_vectors
        x = vectors.square().sum(dim=1) / self.cutoff**2
        powers = torch.stack([(1 - x) ** k for k in range(3, 7)], dim=1)
        species = self.species[(environments.atomic_numbers == 79).long()]
        rows = powers * species[environments.neighbour, None]
        sums = vectors.new_zeros(environments.n_centres, 4)
        return torch.tanh(sums.index_add(0, environments.centre, rows) @ self.matrix)

    def forward(self, environments: Environments) -> Tensor:
        return self.node_features(environments) @ self.readout * 5


@pytest.fixture
def pair_model() -> type[PairModel]:
    return PairModel
