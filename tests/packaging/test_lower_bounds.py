"""The oldest versions that are allowed are those that tests were run with."""

import configparser
import re
from itertools import zip_longest
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def required():
    """Lower bound of each requirement, as its numbers."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = setup["options"]["install_requires"].strip().splitlines()
    found = [re.fullmatch(r"([\w-]+) >=([\d.]+)(,<[\d.]+)?", line) for line in lines]
    assert all(found), lines
    return {one[1]: numbers(one[2]) for one in found}


def tried():
    """Version of each, as its numbers."""
    lines = (ROOT / ".ci/lower-bounds.txt").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if not line.startswith("#"))
    return {name: numbers(version) for name, version in pairs}


def numbers(version):
    return [int(part) for part in version.split(".")]


def test_every_requirement_has_a_lower_bound_that_was_tried():
    assert required().keys() - {"torch"} == tried().keys()


@pytest.mark.parametrize("name", tried())
def test_it_is_the_one_that_was_tried(name):
    pairs = zip_longest(required()[name], tried()[name], fillvalue=0)
    assert all(one == other for one, other in pairs)
