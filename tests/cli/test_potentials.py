"""``symcalc potentials``: the cards, for people and for programs."""

import json
from dataclasses import replace

import pytest

from ase_symcalc.cli.main import main
from ase_symcalc.potential_files import AccuracyRow, write_card


@pytest.fixture
def card(potential, tmp_path, monkeypatch):
    """A card with everything on it, alone in its folder."""
    card = replace(
        potential.card,
        name="shown",
        preview=True,
        default=True,
        accuracy=(AccuracyRow("silicon", 1.26, 80.4, 0.314), AccuracyRow("copper", 2.0, 33.0)),
    )
    (tmp_path / "shown").mkdir()
    write_card(tmp_path / "shown", card)
    monkeypatch.setenv("ASE_SYMCALC_POTENTIALS", str(tmp_path))
    return card


def test_table(card, capsys):
    assert main(["potentials"]) == 0
    out = capsys.readouterr().out
    row = next(line for line in out.splitlines() if "shown 1" in line)
    assert row.split()[:9] == ["shown", "1", *card.elements, "4"]
    assert row.split()[-4:] == ["silicon", "1.3", "80", "0.31"]
    assert "default" in out
    assert "A preview is for trying out" in out


def test_json_holds_the_card(card, capsys):
    assert main(["potentials", "--json"]) == 0
    shown = next(c for c in json.loads(capsys.readouterr().out) if c["name"] == "shown")
    assert shown["elements"] == list(card.elements)
    assert shown["accuracy"][0] == {
        "dataset": "silicon", "energy": 1.26, "forces": 80.4, "stress": 0.314, "head": None
    }  # fmt: skip
    assert shown["preview"] is True


def test_nothing_installed(capsys, monkeypatch):
    monkeypatch.setattr("ase_symcalc.potential_files.list_potentials", list)
    assert main(["potentials"]) == 0
    assert "no potential found" in capsys.readouterr().out
