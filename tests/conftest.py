"""A small potential with random weights, made on the fly: physics enough, no training."""

from pathlib import Path

import pytest
import torch
from ase import Atoms
from ase.build import bulk
from hypothesis import settings

from ase_symcalc import SymCalc, load_potential
from ase_symcalc.models import ModelConfig, build_model
from ase_symcalc.potential_files import PotentialCard, References, make_golden, save_potential

ELEMENTS = ("Li", "Si", "Ni", "Cu", "Ge", "Mo")
CUTOFF = 4.0


def pytest_configure() -> None:
    """One thread for each worker: threads that wait for each other on shared cores only spin."""
    torch.set_num_threads(1)
    settings.register_profile("shared", deadline=None)  # a busy machine is no failure
    settings.load_profile("shared")


def save_small_potential(
    folder: Path, *, seed: int = 1, cutoff: float = CUTOFF, num_layers: int = 2
) -> Path:
    """Write a potential drawn from ``seed``: energies and forces of the size of real ones."""
    config = ModelConfig(
        elements=ELEMENTS,
        cutoff=cutoff,
        num_layers=num_layers,
        num_channels=4,
        lmax=2,
        sh_lmax=2,
        num_bessel=4,
        radial_width=8,
        radial_depth=1,
        avg_num_neighbours=20.0,
        repulsion_radii=(1.2, 1.1, 1.1, 1.1, 1.2, 1.2),
    )
    model = build_model(config, seed=seed)
    model.set_baseline(torch.tensor([-1.9, -4.7, -5.5, -3.7, -4.5, -10.9]), scale=10.0)
    card = PotentialCard(
        name=folder.name,
        version="1",
        description="Random weights, for tests only.",
        elements=ELEMENTS,
        pairs=(),
        cutoff=model.cutoff,
        interaction_range=model.interaction_range,
        dtype="float32",
        level_of_theory="none",
        training_data="none",
        accuracy=(),
        limits="never trained",
        not_for="anything but tests",
        licence="MIT",
        authors=(),
        reproduce="tests/conftest.py",
        references=References(implementation="none", architecture="none", model="none"),
    )
    golden = make_golden(model, {"Si": bulk("Si")}, command="none")
    save_potential(folder, model, card, golden)
    return folder


@pytest.fixture(scope="session")
def potential_folder(tmp_path_factory):
    return save_small_potential(tmp_path_factory.mktemp("potentials") / "small")


@pytest.fixture(scope="session")
def other_folder(tmp_path_factory):
    """Other weights and a shorter cutoff: a second member for a committee."""
    folder = tmp_path_factory.mktemp("potentials") / "other"
    return save_small_potential(folder, seed=2, cutoff=3.5)


@pytest.fixture(scope="session")
def potential(potential_folder):
    return load_potential(potential_folder)


@pytest.fixture
def calc(potential):
    return SymCalc(potential)


@pytest.fixture
def silicon() -> Atoms:
    """Eight atoms, no symmetry left."""
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.05, seed=3)
    return atoms


@pytest.fixture
def committee(potential_folder, other_folder):
    return SymCalc([potential_folder, other_folder])
