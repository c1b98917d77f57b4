import string
from dataclasses import fields

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ase_symcalc.errors import InputError, PotentialFileError
from ase_symcalc.potential_files import (
    AccuracyRow,
    PotentialCard,
    References,
    read_card,
    write_card,
)

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NUMBERS = st.floats(0, 1e6)
ROWS = st.builds(
    AccuracyRow, dataset=WORDS, energy=NUMBERS, forces=NUMBERS, stress=st.none() | NUMBERS
)
HASHES = st.dictionaries(
    st.sampled_from(["config.json", "a b.txt", 'quo"te', "weights.safetensors"]),
    st.text("0123456789abcdef", min_size=64, max_size=64),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    words=st.tuples(*[WORDS] * 7),
    accuracy=st.lists(ROWS, max_size=3).map(tuple),
    authors=st.lists(WORDS, max_size=3).map(tuple),
    sha256=HASHES,
    cutoff=st.floats(1e-3, 10),
    flags=st.tuples(st.booleans(), st.booleans()),
)
def test_a_card_is_read_as_it_was_written(
    make_card, tmp_path, words, accuracy, authors, sha256, cutoff, flags
):
    names = ("version", "description", "level_of_theory", "training_data", "limits", "not_for")
    card = make_card(
        **dict(zip(names, words, strict=False)),
        references=References(words[6], words[0], words[1]),
        accuracy=accuracy,
        authors=authors,
        sha256=sha256,
        cutoff=cutoff,
        interaction_range=2 * cutoff,
        default=flags[0],
        preview=flags[1],
    )
    write_card(tmp_path, card)
    assert read_card(tmp_path) == card


def test_what_may_be_left_out(make_card, tmp_path):
    write_card(tmp_path, make_card())
    path = tmp_path / "card.toml"
    optional = ("default", "preview", "[sha256]")
    lines = [x for x in path.read_text().splitlines() if not x.startswith(optional)]
    path.write_text("\n".join(lines))
    card = read_card(tmp_path)
    assert (card.default, card.preview, dict(card.sha256)) == (False, False, {})


@pytest.fixture
def edit(make_card, tmp_path):
    """Write a card with some of its text exchanged, and return its folder."""

    def write(old, new):
        write_card(tmp_path, make_card())
        path = tmp_path / "card.toml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")
        return tmp_path

    return write


TABLES = {"accuracy", "references"}  # not lines, so not left out by the test below
REQUIRED = [f.name for f in fields(PotentialCard) if f.default is f.default_factory]  # both missing


@pytest.mark.parametrize("name", [name for name in REQUIRED if name not in TABLES])
def test_every_required_field_is_missed(edit, name):
    with pytest.raises(PotentialFileError, match=f"expected a key {name}, found none"):
        read_card(edit(f"{name} = ", "# "))


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("schema = 1", "schema = 3", "expected schema 2 or older, got 3.*pip install --upgrade"),
        ("schema = 1", "schema = 0", "expected schema 1 to 2, got 0"),
        ("schema = 1", 'schema = "1"', "expected schema to be a whole number, got '1'"),
        ("schema = 1", "", "expected schema to be a whole number, got None"),
        ("schema = 1", "schema = 1\ncolour = 2", "got colour, which has no meaning here"),
        ("cutoff = 3.0", "cutoff = true", "expected cutoff to be a number, got True"),
        ("cutoff = 3.0", "cutoff = nan", "expected 0 < cutoff <= interaction_range"),
        ("cutoff = 3.0", "cutoff = 7", "expected 0 < cutoff <= interaction_range; got 7.0 Å"),
        ('"float32"', '"float16"', "expected dtype to be 'float32' or 'float64', got 'float16'"),
        ("preview = true", "preview = 1", "expected preview to be true or false, got 1"),
        ('"Random weights, for tests."', "3", "expected description to be text, got 3"),
        ('["H", "Si"]', '"H"', "expected elements to be a list, got 'H'"),
        ('["H", "Si"]', '["H", 14]', r"expected elements\[1\] to be text, got 14"),
        ('["H", "Si"]', '["Si", "H"]', "by atomic number, each once; got Si, H"),
        ('["H", "Si"]', '["H", "H"]', "each once; got H, H"),
        ('["H", "Si"]', '["H", "Xx"]', "chemical symbols"),
        ('["H", "Si"]', "[]", "each once; got none"),
        ('"H-Si"', '"Si-H"', "lower atomic number first; got 'Si-H'"),
        ('"H-Si"', '"H-O"', "got 'H-O'"),
        ('"tiny"', '"default"', "not 'default'; got 'default'"),
        ('"tiny"', '"../tiny"', "expected name to be lower-case letters"),
        ("energy = 1.0", 'energy = "low"', r"expected accuracy\[0\].energy to be a number"),
        ("energy = 1.0", "energy = -1.0", "energy error on silicon to be at least 0, got -1.0"),
        ("energy = 1.0", "", r"expected a key accuracy\[0\].energy, found none"),
        ("[references]", "[cite]", "got cite, which has no meaning here"),
        ("[sha256]", '[sha256]\n"../x" = ""', "expected sha256 to name files beside the card"),
        ("[sha256]", '[sha256]\nx = "12"', "expected sha256 of x to be 64 hexadecimal digits"),
        ("[sha256]", "[sha256]\nx = 12", "expected sha256.x to be text, got 12"),
        ("[sha256]", "[sha", "to be readable TOML"),
        ("Random", "Random\x00", "to be readable TOML"),
    ],
)
def test_a_wrong_card_is_refused(edit, old, new, match):
    folder = edit(old, new)
    with pytest.raises(PotentialFileError, match=match) as error:
        read_card(folder)
    assert "card.toml" in str(error.value)


def test_a_card_that_is_not_text(tmp_path):
    (tmp_path / "card.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PotentialFileError, match="to be readable TOML"):
        read_card(tmp_path)


def test_no_card(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(PotentialFileError, match=r"found no card.toml there"):
            read_card(place)


def test_a_card_without_meaning_cannot_be_made(make_card):
    with pytest.raises(InputError, match="expected 0 < cutoff <= interaction_range"):
        make_card(cutoff=-1.0)


@given(st.text(string.printable, max_size=12))
def test_no_name_leaves_the_folder(make_card, name):
    try:
        card = make_card(name=name)
    except InputError:
        return
    assert not set(card.name) & set("/\\ \n\t~$")
    assert not card.name.startswith((".", "-"))
