"""What is in ``potentials/``, as a user gets it."""

from pathlib import Path

import pytest

from ase_symcalc.potential_files import golden_deviation, load_potential, read_card

FOLDERS = sorted(path.parent for path in Path(__file__).parents[3].glob("potentials/*/card.toml"))


def test_one_of_them_is_the_default():
    assert sum(read_card(folder).default for folder in FOLDERS) == 1


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_each_is_what_its_card_says(folder):
    potential = load_potential(folder)
    assert potential.card.name == folder.name
    assert max(golden_deviation(potential)) < 1e-8


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_each_is_small_enough_to_ship(folder):
    assert (folder / "weights.safetensors").stat().st_size < 20e6
