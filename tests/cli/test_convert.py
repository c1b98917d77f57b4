"""``symcalc convert``: from a checkpoint of another package to a folder of ours."""

import re
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import read, write

from ase_symcalc.potential_files import golden_deviation, load_potential

CHECKPOINT = Path(__file__).parents[1] / "regression" / "sevennet" / "no_parity.pth"


def test_a_checkpoint_becomes_a_folder_that_evaluates_as_it_did(symcalc, tmp_path):
    code, out, err = symcalc("convert", CHECKPOINT, "converted")
    assert (code, err) == (0, "")
    assert "no-parity: Converted from no_parity.pth, written by SevenNet" in out
    assert "3 elements, cutoff 4 Å" in out
    assert "rotation but no mirror symmetry" in out
    assert golden_deviation(load_potential(tmp_path / "converted")).energy == 0
    write("crystal.extxyz", bulk("ZnO", "wurtzite", a=3.25, c=5.2))
    results = {}
    for name in (CHECKPOINT, "./converted"):
        code, _, err = symcalc(
            "evaluate", "crystal.extxyz", "--potential", name, "--out", "results.extxyz"
        )
        assert (code, err) == (0, "")
        results[name] = read("results.extxyz")
    first, second = results.values()
    assert first.get_potential_energy() == second.get_potential_energy()
    assert (first.get_forces() == second.get_forces()).all()


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nothing.pth", "or the name of one, such as 7net-0; got .nothing.pth., which is neither"),
        (str(Path(__file__).parent), "which is a folder"),
        (Path(__file__), "expected .* to be a complete archive"),
        (f"{CHECKPOINT}@PBE", "expected no @ and name"),
    ],
)
def test_what_cannot_be_converted_leaves_nothing_behind(symcalc, tmp_path, source, words):
    code, out, err = symcalc("convert", source, "converted")
    assert (code, out) == (2, "")
    assert re.search(words, err)
    assert not (tmp_path / "converted").exists()


def test_a_folder_that_exists_is_left_alone(symcalc, tmp_path):
    (tmp_path / "converted").mkdir()
    code, _, err = symcalc("convert", CHECKPOINT, "converted")
    assert code == 2
    assert "expected a folder that does not exist yet" in err
