"""Options that commands share."""

from argparse import ArgumentParser
from pathlib import Path

import pytest
from ase import Atoms

from ase_symcalc.cli.options import (
    CALCULATOR_DEFAULTS,
    add_calculator_options,
    add_output_options,
    calculator,
    settle_outputs,
    words_of,
)
from ase_symcalc.errors import InputError


@pytest.fixture
def parse(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("copper.cif").touch()
    parser = ArgumentParser()
    parser.add_argument("file", type=Path)
    add_calculator_options(parser)
    add_output_options(parser, json_name="NAME-eos.json")
    return lambda *words: parser.parse_args(["copper.cif", *words])


def test_names_are_filled_in(parse):
    args = parse()
    settle_outputs(args, "eos", Atoms("Cu"))
    assert (args.out, args.plot) == (Path("copper-eos.json"), Path("copper-eos.png"))
    assert (args.report, args.quiet, args.json) == (None, False, False)
    args = parse("--out", "a.json", "--plot", "a.pdf")
    settle_outputs(args, "eos", Atoms("Cu"))
    assert (args.out, args.plot) == (Path("a.json"), Path("a.pdf"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--out", "a.txt"), "expected results in a file ending in .json; got --out a.txt"),
        (("--out", "no/a.json"), "there is no folder no"),
        (("--plot", "a.gif"), "expected a picture ending in one of .png, .pdf, .svg; got a.gif"),
        (("--plot", "no/a.png"), "there is no folder no"),
        (("--report", "a.pdf"), "expected a report ending in .html; got a.pdf"),
        (("--report", "a.html", "--plot", "a.pdf"), "it must end in .png or .svg: a.pdf"),
    ],
)
def test_names_that_cannot_be_met(parse, words, sentence):
    with pytest.raises(InputError, match=sentence.replace(".", r"\.")):
        settle_outputs(parse(*words), "eos", Atoms("Cu"))


def test_nothing_to_compute(parse):
    with pytest.raises(InputError, match=r"copper\.cif holds a structure without atoms"):
        settle_outputs(parse(), "eos", Atoms())


def test_potential_dtype_and_symmetry_reach_the_calculator(parse, potential_folder):
    folder = str(potential_folder)
    words = ["--potential", folder, "--dtype", "float32", "--symmetry", "0.001"]
    args = parse(*words)
    assert words_of(args, CALCULATOR_DEFAULTS) == words
    assert words_of(parse(), CALCULATOR_DEFAULTS) == []
    expected = {"potential": folder, "dtype": "float32", "symmetry": 0.001}
    assert calculator(args).todict() == expected
    with pytest.raises(SystemExit):
        parse("--symmetry", "some")
