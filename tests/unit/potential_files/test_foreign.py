"""Checkpoints of other packages: how they are named and found, and what stands on their cards."""

import hashlib
import pickle
import shutil
import sys
from pathlib import Path

import pytest
import torch
from ase.build import bulk
from ase.calculators.calculator import CalculatorSetupError

from ase_symcalc import SymCalc
from ase_symcalc.errors import PotentialFileError
from ase_symcalc.potential_files import (
    find,
    golden_deviation,
    load_potential,
    make_golden,
    save_potential,
)
from ase_symcalc.potential_files.convert import convert_file, sevennet
from ase_symcalc.potential_files.find import find_checkpoint

CHECKPOINTS = Path(__file__).parents[2] / "regression" / "sevennet"


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    """A checkpoint in the working directory, and no potential of our own."""
    monkeypatch.setenv(find.ENVIRONMENT, str(tmp_path))
    monkeypatch.setattr(find, "PACKAGE", tmp_path / "root" / "ase_symcalc")
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copy(CHECKPOINTS / "modal.pth", tmp_path / "modal.pth"))


@pytest.fixture
def package(checkpoint, monkeypatch):
    """An installed package sevenn that says so if anybody imports it."""
    folder = checkpoint.parent / "site-packages" / "sevenn"
    place = folder / "pretrained_potentials" / "SevenNet_0__11Jul2024"
    place.mkdir(parents=True)
    (folder / "__init__.py").write_text("raise RuntimeError('imported')\n")
    shutil.copy(CHECKPOINTS / "parity.pth", place / "checkpoint_sevennet_0.pth")
    monkeypatch.syspath_prepend(folder.parent)
    monkeypatch.setenv("HOME", str(checkpoint.parent))
    return folder


@pytest.mark.parametrize("address", ["modal.pth@PBE", "./modal.pth@PBE"])
def test_a_path_and_a_modality(checkpoint, address):
    path, selection, name, found = find_checkpoint(address)
    assert (path, selection, name) == (checkpoint, "PBE", "modal")
    assert found == f"{checkpoint}@PBE"
    assert find_checkpoint(found).path == checkpoint


def test_an_at_may_belong_to_the_name_of_a_file(checkpoint):
    other = checkpoint.rename("me@home.pth").absolute()
    assert find_checkpoint("me@home.pth")[:2] == (other, None)
    assert find_checkpoint(Path("me@home.pth@PBE"))[:2] == (other, "PBE")


def test_files_of_our_own_are_no_checkpoints(potential_folder):
    assert find_checkpoint(potential_folder / "weights.safetensors") is None
    assert find_checkpoint(str(potential_folder)) is None
    assert find_checkpoint("default") is None


def test_an_installed_package_is_found_without_importing_it(package):
    potential = load_potential("7net-0")
    assert "sevenn" not in sys.modules
    assert (potential.card.name, potential.address, potential.folder) == ("7net-0", "7net-0", None)
    assert potential.card.level_of_theory.startswith("PBE")
    assert find_checkpoint("SevenNet-0").path == find_checkpoint("7net-0_11Jul2024").path


def test_what_does_not_come_with_the_package(package):
    with pytest.raises(PotentialFileError, match=r"7net-mf-ompa does not come with.*path of the"):
        load_potential("7net-mf-ompa@mpa")


def test_without_the_package(checkpoint, monkeypatch):
    monkeypatch.setattr(sevennet, "find_spec", lambda name: None)
    monkeypatch.setenv("HOME", str(checkpoint.parent))
    with pytest.raises(CalculatorSetupError, match=r"pip install 'ase-symcalc.sevennet.'"):
        SymCalc("7net-0")


def test_a_potential_of_our_own_comes_first(package, tmp_path):
    model, card = convert_file(CHECKPOINTS / "parity.pth", name="7net-0", dtypes=())
    save_potential(tmp_path / "own", model, card, make_golden(model, {}, "none"))
    assert load_potential("7net-0").folder == tmp_path / "own"


def test_an_unknown_name_is_still_unknown(package):
    with pytest.raises(PotentialFileError, match=r"expected the name of a potential .* '7net-9'"):
        load_potential("7net-9")


def test_the_card_says_where_it_comes_from(checkpoint):
    potential = load_potential("modal.pth@PBE", dtype="float32")
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
    card = potential.card
    assert card.name == "modal-pbe"
    assert card.elements == ("O", "Cu", "Zn") == potential.model.elements
    assert "Converted from modal.pth, written by SevenNet 0.13" in card.description
    assert "at most" in card.description
    assert "MIT" in card.licence
    assert digest in card.reproduce
    assert card.sha256 == {"modal.pth": digest}
    assert potential.dtype == torch.float32


def test_the_digest_is_that_of_the_source(checkpoint):
    digests = [load_potential(f"modal.pth@{name}").digest for name in ("PBE", "PBE")]
    assert digests[0] == digests[1]


def test_a_calculator_survives_a_pickle(checkpoint):
    atoms = bulk("CuO", "rocksalt", a=4.3)
    atoms.calc = SymCalc("modal.pth@PBE")
    energy = atoms.get_potential_energy()
    copied = pickle.loads(pickle.dumps(atoms.calc))
    assert copied.todict() == {"potential": f"{checkpoint}@PBE"}
    assert copied.get_potential_energy(atoms) == energy
    pickled = pickle.dumps(atoms.calc)
    shutil.copy(CHECKPOINTS / "parity.pth", checkpoint)
    with pytest.raises(CalculatorSetupError):
        pickle.loads(pickled)


def test_there_are_no_golden_numbers(checkpoint):
    with pytest.raises(ValueError, match="expected a potential that was read from a folder"):
        golden_deviation(load_potential("modal.pth@PBE"))


def test_a_checkpoint_of_another_kind_is_refused(checkpoint):
    torch.save({"weights": torch.ones(3)}, checkpoint)
    with pytest.raises(PotentialFileError, match=r"SevenNet .*; MACE .*; NequIP .*got another"):
        load_potential("./modal.pth")
