"""What is in ``potentials/``, as a user gets it."""

from pathlib import Path

import pytest
from ase.build import bulk

from ase_symcalc import SymCalc
from ase_symcalc.apps import relax
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


@pytest.mark.parametrize(
    ("element", "lattice", "a"),
    [
        ("Li", "bcc", 3.427),
        ("Si", "diamond", 5.469),
        ("Ni", "fcc", 3.508),
        ("Cu", "fcc", 3.616),
        ("Ge", "diamond", 5.754),
        ("Mo", "bcc", 3.170),
    ],
)
def test_the_default_has_the_lattice_constants_of_its_data_within_one_percent(element, lattice, a):
    """Those of the unstrained frames of mlearn, in Å: PBE."""
    atoms = bulk(element, lattice, a=1.02 * a)
    atoms.calc = SymCalc()
    found = relax(atoms, fmax=1e-3).final
    unstrained = bulk(element, lattice, a=a).get_volume()
    assert (found.volume / unstrained) ** (1 / 3) == pytest.approx(1, abs=0.01)
