"""Potentials with several levels of theory."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from ase_symcalc import SymCalc
from ase_symcalc.errors import InputError, OutsideTrainingWarning, PotentialFileError
from ase_symcalc.models.heads import build_heads
from ase_symcalc.models.symnet import SymNet
from ase_symcalc.potential_files import (
    AccuracyRow,
    Head,
    find,
    golden_deviation,
    join_golden,
    list_potentials,
    load_potential,
    make_golden,
    read_card,
    save_potential,
    write_card,
)
from ase_symcalc.potential_files.find import find_head

HEADS = (
    Head("a", "level a", "data a", ("H-Si", "Si-Si")),
    Head("B", "level B", "data B", ("H-H", "Si-Si")),
)


@pytest.fixture
def card(make_card):
    rows = (AccuracyRow("of a", 1.0, 2.0, head="a"), AccuracyRow("of B", 3.0, 4.0, head="B"))
    return make_card(name="two", schema=2, heads=HEADS, accuracy=rows)


@pytest.fixture
def heads(model):
    heads = build_heads(replace(model.config, heads=("a", "B")), seed=3)
    with torch.no_grad():
        heads["B"].readout_out.mul_(2)
        heads["B"].reference_energies.fill_(-5.0)
    return heads


@pytest.fixture
def golden_of_heads(heads, structures):
    return join_golden({n: make_golden(heads[n], structures, f"@{n}") for n in heads.names})


@pytest.fixture
def two(tmp_path, heads, card, golden_of_heads):
    save_potential(tmp_path / "two", heads, card, golden_of_heads)
    return tmp_path / "two"


@pytest.mark.parametrize("head", ["a", "B"])
def test_a_head_is_loaded_as_a_plain_network(two, heads, head):
    potential = load_potential(f"{two}@{head}")
    assert type(potential.model) is SymNet
    assert potential.model.config == heads[head].config
    stored = heads[head].state_dict()
    for name, tensor in potential.model.state_dict().items():
        assert torch.equal(tensor, stored[name].to(tensor.dtype)), name
    assert max(golden_deviation(potential)) < 1e-12


def test_its_card_is_that_of_the_head(two):
    card = load_potential(f"{two}@B").card
    assert (card.name, card.level_of_theory, card.pairs) == ("two-b", "level B", HEADS[1].pairs)
    assert [row.dataset for row in card.accuracy] == ["of B"]
    assert (card.heads, card.default_head) == ((), None)


def test_without_a_name_the_heads_are_listed(two):
    with pytest.raises(PotentialFileError, match=r"got none\. .*: two@a, two@B"):
        load_potential(two)
    with pytest.raises(PotentialFileError, match=r"got @c\. .*: two@a, two@B"):
        load_potential(f"{two}@c")


def test_the_card_may_name_a_default(tmp_path, heads, card, golden_of_heads):
    save_potential(tmp_path / "two", heads, replace(card, default_head="B"), golden_of_heads)
    assert load_potential(tmp_path / "two").head == "B"
    assert load_potential(f"{tmp_path / 'two'}@a").head == "a"


def test_a_potential_without_heads_has_none_to_name(saved):
    with pytest.raises(PotentialFileError, match=r"expected no head to be named, .* got @a"):
        load_potential(f"{saved}@a")
    potential = load_potential(saved)
    assert (potential.head, potential.address) == (None, None)


def test_by_name_a_calculator_finds_its_head_again(two, monkeypatch, structures):
    monkeypatch.setenv(find.ENVIRONMENT, str(two.parent))
    assert load_potential("two@a").address == "two@a"
    assert load_potential("two@a").digest != load_potential("two@B").digest
    calc = SymCalc(["two@a", "two@B"])
    assert calc.todict()["potential"] == ["two@a", "two@B"]
    atoms = structures["silane"].copy()
    atoms.calc = SymCalc("two@B")
    energy = json.loads((two / "golden.json").read_text())["structures"]
    (row,) = (row for row in energy if (row["head"], row["name"]) == ("B", "silane"))
    with pytest.warns(OutsideTrainingWarning, match="No H was near Si where two-b was trained"):
        assert atoms.get_potential_energy() == pytest.approx(row["energy"])
    assert "two" in [card.name for card in list_potentials()]


def test_a_folder_with_an_at_in_its_name_is_a_folder(saved, tmp_path):
    folder = tmp_path / "x@y"
    saved_copy = folder / "z"
    folder.mkdir()
    saved_copy.symlink_to(saved)
    assert find_head(saved_copy) == (saved_copy, None)
    assert find_head(f"{saved_copy}@a") == (saved_copy, "a")


def test_the_shared_weights_are_stored_once(two, saved):
    extra = (two / "weights.safetensors").stat().st_size / (
        saved / "weights.safetensors"
    ).stat().st_size
    assert extra < 1.3


def test_a_file_without_heads_is_as_before(saved):
    assert "heads" not in json.loads((saved / "config.json").read_text())
    assert not any("head" in row for row in json.loads((saved / "golden.json").read_text()))
    text = (saved / "card.toml").read_text()
    assert "head" not in text
    assert read_card(saved).schema == 1


def test_card_and_network_must_have_the_same_heads(
    tmp_path, heads, make_card, model, card, golden_of_heads
):
    with pytest.raises(PotentialFileError, match="got none on the card and a, B of the network"):
        save_potential(tmp_path / "new", heads, make_card(), golden_of_heads)
    with pytest.raises(PotentialFileError, match="got a, B on the card and none of the network"):
        save_potential(tmp_path / "new", model, card, golden_of_heads)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"heads": (HEADS[0], HEADS[0])}, "named once each, got a, a"),
        ({"default_head": "c"}, r"to name heads \(a, B\), got 'c'"),
        ({"accuracy": (AccuracyRow("x", 1.0, 2.0, head="d"),)}, "got 'd'"),
        ({"schema": 1}, "expected schema 2 of a card with heads, got 1"),
        ({"heads": (HEADS[1], replace(HEADS[0], pairs=("H-O",)))}, "got 'H-O'"),
    ],
)
def test_heads_that_contradict_the_card_are_refused(card, change, words):
    with pytest.raises(InputError, match=words):
        replace(card, **change)


def test_the_page_for_people_lists_them(two):
    assert "- `two@B`: level B; data B" in (two / "README.md").read_text()


def test_weights_of_an_unknown_head_are_refused(two):
    path = two / "weights.safetensors"
    save_file({**load_file(path), "heads.c.scale": torch.ones(())}, path)
    card = read_card(two)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    write_card(two, replace(card, sha256={**card.sha256, path.name: digest}))
    with pytest.raises(PotentialFileError, match=r"'heads.c.scale' of none"):
        load_potential(f"{two}@a")


def test_energies_of_the_heads_differ(two, structures):
    atoms = structures["silicon"]
    energies = []
    for head in ("a", "B"):
        copy = atoms.copy()
        copy.calc = SymCalc(load_potential(f"{two}@{head}"))
        energies.append(copy.get_potential_energy())
    assert np.diff(energies) != 0
