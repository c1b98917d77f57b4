import logging
import shutil

import pytest

from ase_symcalc.errors import PotentialFileError
from ase_symcalc.potential_files import (
    find,
    find_potential,
    list_potentials,
    load_potential,
    write_card,
)


@pytest.fixture
def shipped(monkeypatch, tmp_path):
    """Stand-in for the root of a checkout, with nothing in it."""
    monkeypatch.delenv(find.ENVIRONMENT, raising=False)
    monkeypatch.setattr(find, "PACKAGE", tmp_path / "root" / "ase_symcalc")
    monkeypatch.chdir(tmp_path)
    find.PACKAGE.mkdir(parents=True)
    return tmp_path / "root"


@pytest.fixture
def add(make_card):
    def add(folder, **changes):
        folder.mkdir(parents=True)
        write_card(folder, make_card(**{"name": folder.name, **changes}))
        return folder

    return add


def test_a_checkout_has_them_beside_the_package(shipped, add):
    folder = add(shipped / "potentials" / "tiny")
    assert find_potential("tiny") == folder


def test_a_wheel_has_them_inside_and_nothing_beside_it_counts(shipped, add):
    add(shipped / "potentials" / "tiny")
    folder = add(shipped / "ase_symcalc" / "_potentials" / "tiny")
    assert find_potential("tiny") == folder


def test_the_environment_comes_before_what_is_shipped(shipped, add, monkeypatch, tmp_path):
    add(shipped / "potentials" / "tiny", version="1")
    add(shipped / "potentials" / "other")
    own = add(tmp_path / "own" / "tiny", version="2")
    monkeypatch.setenv(find.ENVIRONMENT, str(own.parent))
    assert find_potential("tiny") == own
    assert find_potential("other") == shipped / "potentials" / "other"
    assert [(card.name, card.version) for card in list_potentials()] == [
        ("other", "1.0"),
        ("tiny", "2"),
    ]


def test_the_default_is_the_one_whose_card_says_so(shipped, add):
    add(shipped / "potentials" / "a")
    folder = add(shipped / "potentials" / "b", default=True)
    assert find_potential("default") == folder
    assert [card.name for card in list_potentials()] == ["b", "a"]


def test_a_name_is_that_on_the_card(shipped, add):
    folder = add(shipped / "potentials" / "folder", name="card")
    assert find_potential("card") == folder


@pytest.mark.parametrize("file", ["", "card.toml", "weights.safetensors"])
def test_a_path_names_the_folder_or_a_file_in_it(saved, file):
    assert find_potential(saved / file) == saved
    assert find_potential(str(saved / file)) == saved


def test_a_relative_path(shipped, add, tmp_path):
    folder = add(tmp_path / "tiny")
    assert find_potential("./tiny") == folder
    assert find_potential("tiny") == folder


def test_a_shipped_name_wins_over_a_folder_that_happens_to_be_here(shipped, add, tmp_path):
    folder = add(shipped / "potentials" / "tiny", default=True)
    add(tmp_path / "tiny")
    add(tmp_path / "default", name="mine")
    assert find_potential("tiny") == folder
    assert find_potential("default") == folder


def test_an_unknown_name_lists_the_known(shipped, add):
    add(shipped / "potentials" / "tiny")
    with pytest.raises(PotentialFileError, match=r"got 'tinny'. Known by name: tiny \(in "):
        load_potential("tinny")


def test_nothing_is_known_at_all(shipped):
    assert list_potentials() == []
    with pytest.raises(
        PotentialFileError, match=r"got 'default'. Known by name: none \(in no fold"
    ):
        load_potential("default")


def test_a_path_that_leads_nowhere(tmp_path):
    with pytest.raises(PotentialFileError, match=r"at .*nowhere, no such file or folder"):
        find_potential(tmp_path / "nowhere")
    (tmp_path / "weights.safetensors").touch()
    for path in (tmp_path, tmp_path / "weights.safetensors"):
        with pytest.raises(PotentialFileError, match=r"found no card.toml there"):
            find_potential(path)


def test_an_environment_that_names_no_folder(shipped, monkeypatch):
    monkeypatch.setenv(find.ENVIRONMENT, "/nowhere/at/all")
    with pytest.raises(PotentialFileError, match="to name a folder of potentials, got '/nowhere/"):
        find_potential("tiny")


def test_one_unreadable_card_does_not_hide_the_others(shipped, add, caplog):
    add(shipped / "potentials" / "a", default=True)
    broken = add(shipped / "potentials" / "b")
    (broken / "card.toml").write_text("schema = 99")
    with caplog.at_level(logging.WARNING):
        assert [card.name for card in list_potentials()] == ["a"]
    assert "expected schema 2 or older, got 99" in caplog.text


def test_a_copied_potential_is_found_under_its_name(shipped, saved):
    shutil.copytree(saved, shipped / "potentials" / "tiny")
    assert load_potential("tiny").digest == load_potential(saved).digest


def test_the_folder_does_not_depend_on_where_one_goes_next(shipped, add, monkeypatch, tmp_path):
    folder = add(tmp_path / "own" / "tiny")
    monkeypatch.setenv(find.ENVIRONMENT, "own")
    assert find_potential("tiny") == folder
