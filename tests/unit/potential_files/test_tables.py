"""Nesting is bounded before Python's parsers, which recurse, meet a file."""

import json
import resource
import sys
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ase_symcalc.errors import PotentialFileError
from ase_symcalc.potential_files.card import read_card
from ase_symcalc.potential_files.tables import read_json, read_toml

MANY = 50_000
DEEP_JSON = [b"[", b'{"a":', b'["]",', b'["\\"]",', b'["\\\\]",', b'{"a]":']
DEEP_TOML = ["[", "{a=", '["]",', "[']',", '["""]""",', "[''']''',", "[# ]\n", '["\\"]",']
LONG_KEYS = ["a.", "a . ", '"a".', "'a'.", "1.", '"\\u2028".']


@pytest.fixture(autouse=True)
def no_limit():
    """As after an import of phonopy: nothing but the reader itself stands before the stack."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10_000_000)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.parametrize("level", DEEP_JSON)
def test_deep_json(level):
    with pytest.raises(ValueError, match="JSON nested more than 64 deep"):
        read_json(level * MANY)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32-le"])
def test_json_in_another_encoding(encoding):
    with pytest.raises(ValueError):  # noqa: PT011  (the words are those of Python's decoder)
        read_json(("[" * MANY).encode(encoding))


@pytest.mark.parametrize("level", DEEP_TOML)
def test_deep_toml(level):
    with pytest.raises(ValueError, match="TOML nested more than 64 deep"):
        read_toml(("x = " + level * MANY).encode())


@pytest.mark.parametrize("part", LONG_KEYS)
@pytest.mark.parametrize("line", ["{}b = 1", "[{}b]", "[[{}b]]", "x = {{ {}b = 1 }}"])
def test_a_key_of_many_parts(part, line):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ValueError, match="TOML with a key of more than 64 parts"):
        read_toml(line.format(part * MANY).encode())
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # kB


@pytest.mark.parametrize("content", ["x = " + "[" * MANY, "a." * MANY + "a = 1"])
def test_a_card_is_refused_with_a_sentence(tmp_path, content):
    (tmp_path / "card.toml").write_text(content)
    with pytest.raises(PotentialFileError, match=r"readable TOML, got: TOML .* than 64"):
        read_card(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        'a = ["""[[""""", \'\'\'[[\'\'\'\'] # [[\nb = \'"\'\nc = "\\""',
        'a = "' + "[." * 200 + '"\r\nb = [' + "1.5, " * 200 + "]",
        'a = 1\n"b.c" . d = {e.f = 2} # it\'s',
    ],
)
def test_toml_is_read_as_it_is(text):
    assert read_toml(text.encode()) == tomllib.loads(text)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))
values = st.recursive(TEXT | st.integers() | st.booleans(), st.lists, max_leaves=20)


@given(st.dictionaries(TEXT, values))
def test_json_is_read_as_it_is(value):
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)
        assert read_json(text.encode()) == value
