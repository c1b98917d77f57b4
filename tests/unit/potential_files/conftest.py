"""A potential of a few weights, saved once; each test gets a copy to damage."""

import shutil
from pathlib import Path

import pytest
from ase import Atoms
from ase.build import bulk, molecule

from ase_symcalc.models import ModelConfig, build_model
from ase_symcalc.potential_files import (
    AccuracyRow,
    PotentialCard,
    References,
    make_golden,
    save_potential,
)


def _card(**changes):
    fields = {
        "name": "tiny",
        "version": "1.0",
        "description": "Random weights, for tests.",
        "preview": True,
        "elements": ("H", "Si"),
        "pairs": ("H-Si", "Si-Si"),
        "cutoff": 3.0,
        "interaction_range": 6.0,
        "dtype": "float32",
        "level_of_theory": "none",
        "training_data": "none",
        "accuracy": (AccuracyRow("silicon", 1.0, 20.0, 0.5), AccuracyRow("silane", 2.0, 30.0)),
        "limits": "never trained",
        "not_for": "anything but tests",
        "licence": "MIT",
        "authors": ("A. Author", "B. Author"),
        "reproduce": "pytest",
        "references": References("this", "that", "none"),
    }
    return PotentialCard(**{**fields, **changes})


@pytest.fixture(scope="session")
def make_card():
    return _card


@pytest.fixture(scope="session")
def model():
    config = ModelConfig(
        elements=("H", "Si"),
        cutoff=3.0,
        num_layers=2,
        num_channels=4,
        lmax=1,
        sh_lmax=1,
        radial_width=8,
        radial_depth=1,
        repulsion_radii=(0.3, 1.1),
    )
    return build_model(config, seed=3)


@pytest.fixture(scope="session")
def structures():
    return {
        "silicon": bulk("Si", a=5.2),
        "silane": molecule("SiH4"),
        "lone atom": Atoms("H", positions=[[1.0, 2.0, 3.0]]),
    }


@pytest.fixture(scope="session")
def golden(model, structures):
    return make_golden(model, structures, command="pytest")


@pytest.fixture(scope="session")
def saved(model, golden, tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved") / "tiny"
    save_potential(folder, model, _card(), golden)
    return folder


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "tiny"))
